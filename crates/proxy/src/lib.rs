//! The service proxy: Services + EndpointSlices -> flat nftables maps, one transaction a change.
//!
//! ```text
//! changes -> names of services -> compile(service, slices) -> rules of that service --+
//!                                          rules before ------------- difference -----+--> nft, one transaction
//! ```
//! The ruleset is data: a set of map elements ([`rule::Rules`]) under a fixed program of chains. What was applied last
//! is remembered; the kernel is never read to decide. [`trace`] walks a packet through the same data.

pub mod compile;
mod nftables;
pub mod render;
pub mod rule;
mod run;

pub mod table;
pub mod trace;

pub use nftables::Nftables;
pub use run::{Dataplane, follow, run};
