//! Ring 5: whole clusters, started by the real binary and used with the real kubectl.
//!
//! Needs root; without it every test says that it skips. Clusters have no way out (`--egress none`) and keep their state
//! in a directory of their own. One test runs at a time, across processes too.

mod chaos;
mod cluster;
mod deployments;
mod errors;
mod images;
mod kinds;
mod lifecycle;
mod nodes;
mod objects;
mod planes;
mod pods;
mod store;
mod workloads;
