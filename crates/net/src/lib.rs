//! Pod networking of one node: a bridge, an address for each pod, routes to the other nodes' pods.
//!
//! ```text
//!   pod eth0 (address/32, default via the bridge) -- veth -- cni0 (first address of the node's /24) -- routes -- node eth0
//! ```
//! A pod knows only its gateway, never its neighbours, so that every packet between pods passes the node's IP layer and
//! service addresses are translated back on the way home, on one node as between two. MACs follow from the addresses
//! and all neighbour entries are permanent: the kernel's table of learnt ones is small and shared by all nodes of a
//! machine.

pub mod cidr;
mod host_ports;
pub mod ipam;
pub mod plan;
mod pods;
pub mod routes;

pub use cidr::Cidr;
pub use pods::{NetError, PodNetwork, PortMapping};
