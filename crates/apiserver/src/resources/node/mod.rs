//! node.k8s.io: how containers are run.

pub mod runtimeclass;
