//! policy: how far pods may be disturbed.

pub mod poddisruptionbudget;
