//! How a component reaches the API: transports, typed calls, reflectors, work queues, the controller driver, the event
//! recorder.
//!
//! Components in one process and in many use the same calls; only the [`Transport`] differs. The in-process one enters
//! the API server at its filters with the component's own identity, never behind them.

pub mod transport;

pub use transport::{Body, Transport, TransportError};
