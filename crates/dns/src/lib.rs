//! The cluster's DNS on each node: names of Services, their endpoints and pods, and a way to the names outside.
//!
//! ```text
//! hub (Services, EndpointSlices, Namespaces) -> compile(service, slices) -> Zone (indexed, updated by service)
//! query -> server -> answer(zone, config, query) -> reply | upstream resolver -> reply
//! ```
//! Names, codes and TTLs are those of the Kubernetes DNS specification 1.1.0 as CoreDNS answers them (its `pods insecure`
//! mode, which is kubeadm's). Deciding is pure (`compile`, `zone`, `answer`); only `server`, `upstream` and `run` do I/O.

pub mod answer;
pub mod compile;
mod run;
pub mod server;
mod upstream;
mod wire;
pub mod zone;

use std::net::{IpAddr, SocketAddr};

pub use run::{follow, run};
pub use server::Listeners;

/// What does not come from the API.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's domain, without dots at its ends: `cluster.local`.
    pub domain: String,
    /// Of all answers about the cluster, also negative ones.
    pub ttl_secs: u32,
    /// Where pods reach this server: the address of `ns.dns.DOMAIN`.
    pub addresses: Vec<IpAddr>,
    /// Resolvers for all other names, asked in turn. With none such names are refused at once.
    pub upstreams: Vec<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self { domain: "cluster.local".into(), ttl_secs: 5, addresses: Vec::new(), upstreams: Vec::new() }
    }
}
