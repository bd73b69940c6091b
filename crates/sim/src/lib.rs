//! A whole cluster in one deterministic thread: the real API server, controllers and scheduler over a memory store, with
//! fake nodes, faulty transports, and checkers that watch every write.
//!
//! Time is tokio's paused time: an hour passes as fast as its events can be worked off. All chance comes from one seed,
//! so that the same seed gives the same trace, and a failure is a seed to run again.

mod check;
mod cluster;
mod node;
mod trace;
mod transport;
pub mod workload;

pub use check::Checker;
pub use cluster::Cluster;
pub use trace::Trace;
pub use transport::Faults;

/// Runs a simulation in a runtime of its own, with paused time.
pub fn run<T>(simulation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("invariant: a runtime of one thread can be made").block_on(simulation)
}
