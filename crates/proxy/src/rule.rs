//! The vocabulary of the ruleset: elements of a few flat maps, and chains only where a service wants client affinity.
//!
//! A service port with N endpoints is one element of `services` that goes to `pick-N`, and N elements of `ep-N` of which
//! one is drawn. So the number of chains does not grow with the number of services or endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// TCP when the name is absent; `None` for names that Kubernetes does not know.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Where a packet is sent in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    pub ip: Ipv4Addr,
    pub port: u16,
}

/// What clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Front {
    /// A cluster IP, external IP or load balancer IP.
    Address { ip: Ipv4Addr, protocol: Protocol, port: u16 },
    /// Any address of the node.
    NodePort { protocol: Protocol, port: u16 },
}

impl Front {
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Address { protocol, .. } | Self::NodePort { protocol, .. } => *protocol,
        }
    }
}

/// How a front finds its backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub choice: Choice,
    /// The source must become the node's, so that replies come back through it (traffic from outside).
    pub masquerade: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of the N elements of `ep-N`, by lot.
    Pick { endpoint_count: usize },
    /// The backend that this client had last, for `timeout_secs`; a new one by lot.
    Sticky { backends: Vec<Backend>, timeout_secs: u32 },
    /// The front exists but must not be answered (a local traffic policy without local endpoints).
    Drop,
}

/// One element of the ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Front(Front),
    /// The backend of a front at `position` of `0..endpoint_count`.
    Endpoint {
        front: Front,
        endpoint_count: usize,
        position: usize,
    },
    /// An endpoint that may reach itself through a service.
    Hairpin(Ipv4Addr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Route(Route),
    Backend(Backend),
    Present,
}

/// The elements of one service, or of all.
pub type Rules = BTreeMap<Key, Value>;
