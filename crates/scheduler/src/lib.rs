//! The scheduler: pods without a node -> queue -> filter -> score -> bind.
//!
//! ```text
//! changes --> Cluster (nodes, their pods) ---------+
//!    +------> Queue (active, backoff, unschedulable)--> cycle: filter, score --> Decision --> bind or status
//! ```
//!
//! All deciding is synchronous and pure: [`Scheduler`] is a state machine that is fed changes and the time, and gives
//! decisions. Only [`run`] talks to the API. One task owns the state, so the cycle reads it in place and copies nothing.

mod affinity;
mod budget;
mod cluster;
mod cycle;
mod diagnosis;
mod node;
pub mod plugin;
mod plugins;
mod pod;
mod preemption;
mod queue;
mod resources;
pub mod run;
mod scheduler;

pub use preemption::Preemption;
pub use scheduler::{Decision, Scheduler};

/// The name that pods ask for when they ask for nothing else.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";
