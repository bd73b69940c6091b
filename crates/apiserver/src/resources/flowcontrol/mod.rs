//! flowcontrol.apiserver.k8s.io: how requests share the server.

pub mod defaults;
pub mod flowschema;
pub mod prioritylevelconfiguration;
mod rules;
