//! The built-in container runtime: images, sandboxes, containers and their streams behind CRI. It knows CRI, not Pods.
//!
//! ```text
//!  cri::Runtime (service) -> sandbox, container, exec -> compile -> Spec on disk -> shim (one per pod) -> execve
//!                         -> image store (archives, registries) -> layers for overlayfs
//! ```
//! [`shim::main`] must be called first thing by the binary that [`ShimCommand`] names, when its arguments ask for it.

mod attend;
mod client;
pub mod compile;
mod container;
mod core;
mod exec;
pub mod image;
pub mod network;
mod proto;
mod sandbox;
mod seccomp;
mod service;
pub mod shim;
mod socket;
pub mod spec;
mod state;
mod stats;
mod streaming;
mod terminal;

pub use client::ShimCommand;
pub use core::Config;
pub use network::{Loopback, PodNet, PodNetwork};
pub use service::Builtin;
