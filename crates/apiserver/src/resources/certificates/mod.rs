//! certificates.k8s.io: certificates that are asked for.

pub mod certificatesigningrequest;
mod rules;
