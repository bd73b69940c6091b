//! batch: work that ends.

pub mod cronjob;
mod indexes;
pub mod job;
mod job_failure;
mod job_rules;
mod job_status;
