//! resource.k8s.io: devices, and who has them.

pub mod deviceclass;
pub mod resourceclaim;
pub mod resourceclaimtemplate;
pub mod resourceslice;
mod rules;
mod slice_rules;
