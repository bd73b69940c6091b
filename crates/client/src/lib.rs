//! How a component reaches the API: transports, typed calls, reflectors, the shared cache, the controller driver, the
//! event recorder.
//!
//! ```text
//! Transport <- Client <- Reflector -> Hub (one Snapshot, news of changes) -> driver | scheduler | kubelet | proxy | dns
//! ```
//! Components in one process and in many use the same calls; only the [`Transport`] differs. The in-process one enters
//! the API server at its filters with the component's own identity, never behind them. Nothing here polls.

pub mod client;
pub mod driver;
pub mod election;
mod env;
pub mod error;
mod execute;
pub mod follow;
pub mod https;
pub mod hub;
pub mod kubeconfig;
pub mod query;
pub mod queue;
pub mod recorder;
mod reflector;
pub mod servers;
#[cfg(test)]
mod testing;
pub mod transport;
pub mod watch;

pub use client::{Client, Page};
pub use election::Election;
pub use env::Env;
pub use error::{Error, Result};
pub use https::Https;
pub use hub::{Changes, Hub, News};
pub use kubeconfig::Kubeconfig;
pub use query::{DeleteOptions, ListQuery, Patch, WatchQuery};
pub use recorder::Recorder;
pub use servers::Servers;
pub use transport::{Body, Transport, TransportError};
pub use watch::{WatchEvent, WatchStream};
