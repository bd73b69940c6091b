//! events.k8s.io: the newer Event.

pub mod event;
