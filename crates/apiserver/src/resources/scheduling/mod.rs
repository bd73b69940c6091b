//! scheduling.k8s.io: priorities of pods.

pub mod priorityclass;
