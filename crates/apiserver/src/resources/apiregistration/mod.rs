//! apiregistration.k8s.io: who serves which group and version.

pub mod apiservice;
pub mod local;
mod rules;
