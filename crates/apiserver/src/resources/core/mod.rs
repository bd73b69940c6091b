//! The core group.

pub mod configmap;
mod data_rules;
pub mod endpoints;
pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
pub(super) mod pod_columns;
pub(super) mod pod_rules;
pub mod secret;
pub mod service;
pub(super) mod service_rules;
pub mod serviceaccount;
