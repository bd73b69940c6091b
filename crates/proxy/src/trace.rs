//! Walks a packet through the rules as the kernel would: the semantic test of the ruleset, and `why` later.

use std::net::Ipv4Addr;

use crate::rule::{Backend, Choice, Front, Key, Protocol, Route, Rules, Value};

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: Protocol,
    pub port: u16,
    /// The destination is an address of this node.
    pub to_node: bool,
    /// What `numgen random` will draw.
    pub lot: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No service's: goes on as it is.
    Untouched,
    Sent {
        to: Backend,
        masqueraded: bool,
    },
    Dropped,
}

/// `last` is the backend that the client had last, for services with client affinity.
pub fn trace(rules: &Rules, packet: Packet, last: Option<Backend>) -> Fate {
    let address = Front::Address { ip: packet.destination, protocol: packet.protocol, port: packet.port };
    let node_port = Front::NodePort { protocol: packet.protocol, port: packet.port };
    let fronts = [Some(address), packet.to_node.then_some(node_port)];
    for front in fronts.into_iter().flatten() {
        if let Some(Value::Route(route)) = rules.get(&Key::Front(front)) {
            return follow(rules, packet, front, route, last);
        }
    }
    Fate::Untouched
}

fn follow(rules: &Rules, packet: Packet, front: Front, route: &Route, last: Option<Backend>) -> Fate {
    let to = match &route.choice {
        Choice::Drop => return Fate::Dropped,
        Choice::Sticky { backends, .. } => match last.filter(|last| backends.contains(last)) {
            Some(last) => last,
            None => backends[packet.lot % backends.len()],
        },
        Choice::Pick { endpoint_count } => {
            let position = packet.lot % endpoint_count;
            let key = Key::Endpoint { front, endpoint_count: *endpoint_count, position };
            match rules.get(&key) {
                Some(Value::Backend(backend)) => *backend,
                _ => return Fate::Untouched,
            }
        }
    };
    let hairpin = packet.source == to.ip && rules.contains_key(&Key::Hairpin(to.ip));
    Fate::Sent { to, masqueraded: route.masquerade || hairpin }
}
