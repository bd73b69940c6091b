//! autoscaling: replicas by load. One storage, in the form of v2, serves both versions.

pub mod hpa;
mod hpa_annotations;
mod hpa_rules;
pub mod hpa_v1;
