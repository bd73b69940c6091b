//! networking.k8s.io: who reaches which pods and services, and the addresses of services.

pub mod ingress;
mod ingress_rules;
pub mod ingressclass;
pub mod ipaddress;
pub mod networkpolicy;
mod policy_rules;
mod rules;
pub mod servicecidr;
