//! Rules -> the text that `nft -f -` applies in one transaction.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::rule::{Backend, Choice, Front, Key, Protocol, Route, Rules, Value};
use crate::table::Delta;

/// What the fixed part of the ruleset depends on.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `10.96.0.0/12`: addresses in it that no service has are rejected.
    pub service_cidr: String,
    /// `10.244.0.0/16`: what leaves it for elsewhere gets the node's address.
    pub pod_cidr: String,
    pub local_vips: Vec<Ipv4Addr>,
}

const TABLE: &str = "ip ironclad-proxy";
/// The packet mark that asks for masquerading, as kube-proxy's.
const MARK: &str = "0x4000";

/// The chains that do not depend on services. Replaces whatever an earlier process left.
pub fn frame(frame: &Frame) -> String {
    let vips: Vec<String> = frame.local_vips.iter().map(ToString::to_string).collect();
    let exempt = if vips.is_empty() { String::new() } else { format!("ip daddr {{ {} }} accept", vips.join(", ")) };
    format!(
        "table {TABLE} {{ }}
delete table {TABLE}
table {TABLE} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain dispatch {{
    ip daddr . meta l4proto . th dport vmap @services
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports
  }}
  chain discard {{ drop; }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump dispatch; }}
  chain output {{ type nat hook output priority -100; policy accept; jump dispatch; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr . ip daddr @hairpin masquerade
    meta mark and {MARK} == {MARK} masquerade
    ip saddr {pods} ip daddr != {pods} masquerade
  }}
  chain reject-unknown {{ {exempt}
    ip daddr {services} reject
  }}
  chain guard-forward {{ type filter hook forward priority -90; policy accept; jump reject-unknown; }}
  chain guard-output {{ type filter hook output priority -90; policy accept; jump reject-unknown; }}
}}
",
        pods = frame.pod_cidr,
        services = frame.service_cidr,
    )
}

/// One transaction. `known_counts` are the endpoint counts whose chains exist already; new ones are added to it.
pub fn delta(delta: &Delta, known_counts: &mut BTreeSet<usize>) -> String {
    let mut text = String::new();
    for key in delta.added.keys() {
        if let Key::Endpoint { endpoint_count, .. } = key
            && known_counts.insert(*endpoint_count)
        {
            text += &pick_chains(*endpoint_count);
        }
    }
    // Elements come in the order of `Key`: a front goes before what it leads to.
    for (key, value) in &delta.removed {
        if sticky_in(&delta.added, key, value).is_none() {
            remove(&mut text, *key, value);
        }
    }
    for (key, value) in &delta.added {
        match sticky_in(&delta.removed, key, value) {
            Some(before) => change_sticky(&mut text, *key, before, value),
            None => add(&mut text, *key, value),
        }
    }
    text
}

/// The other state of a front that keeps its client affinity: its clients must keep their backends.
fn sticky_in<'a>(rules: &'a Rules, key: &Key, value: &Value) -> Option<&'a Value> {
    let other = rules.get(key)?;
    let timeout = |value: &Value| match value {
        Value::Route(Route { choice: Choice::Sticky { timeout_secs, .. }, masquerade }) => {
            Some((*timeout_secs, *masquerade))
        }
        _ => None,
    };
    (timeout(value).is_some() && timeout(value) == timeout(other)).then_some(other)
}

fn pick_chains(n: usize) -> String {
    format!(
        "table {TABLE} {{
  map ep-{n} {{ typeof ip daddr . meta l4proto . th dport . numgen random mod {n} : ip daddr . th dport; }}
  map np-{n} {{ typeof meta l4proto . th dport . numgen random mod {n} : ip daddr . th dport; }}
  chain pick-{n} {{ dnat ip to ip daddr . meta l4proto . th dport . numgen random mod {n} map @ep-{n}; }}
  chain pick-{n}-masq {{ meta mark set meta mark or {MARK}; goto pick-{n}; }}
  chain node-pick-{n} {{ dnat ip to meta l4proto . th dport . numgen random mod {n} map @np-{n}; }}
  chain node-pick-{n}-masq {{ meta mark set meta mark or {MARK}; goto node-pick-{n}; }}
}}
"
    )
}

fn remove(text: &mut String, key: Key, value: &Value) {
    match (key, value) {
        (Key::Front(front), Value::Route(route)) => {
            let _ = writeln!(text, "delete element {TABLE} {} {{ {} }}", front_map(front), front_key(front));
            remove_sticky(text, front, route);
        }
        (Key::Endpoint { front, endpoint_count, position }, _) => {
            let (map, key) = endpoint_slot(front, endpoint_count, position);
            let _ = writeln!(text, "delete element {TABLE} {map} {{ {key} }}");
        }
        (Key::Hairpin(ip), _) => {
            let _ = writeln!(text, "delete element {TABLE} hairpin {{ {ip} . {ip} }}");
        }
        (Key::Front(_), _) => {}
    }
}

fn add(text: &mut String, key: Key, value: &Value) {
    match (key, value) {
        (Key::Front(front), Value::Route(route)) => {
            add_sticky(text, front, route);
            let (map, key, verdict) = (front_map(front), front_key(front), verdict(front, route));
            let _ = writeln!(text, "add element {TABLE} {map} {{ {key} : {verdict} }}");
        }
        (Key::Endpoint { front, endpoint_count, position }, Value::Backend(backend)) => {
            let (map, key) = endpoint_slot(front, endpoint_count, position);
            let _ = writeln!(text, "add element {TABLE} {map} {{ {key} : {} . {} }}", backend.ip, backend.port);
        }
        (Key::Hairpin(ip), _) => {
            let _ = writeln!(text, "add element {TABLE} hairpin {{ {ip} . {ip} }}");
        }
        (Key::Front(_) | Key::Endpoint { .. }, _) => {}
    }
}

fn front_map(front: Front) -> &'static str {
    match front {
        Front::Address { .. } => "services",
        Front::NodePort { .. } => "node-ports",
    }
}

fn front_key(front: Front) -> String {
    match front {
        Front::Address { ip, protocol, port } => format!("{ip} . {protocol} . {port}"),
        Front::NodePort { protocol, port } => format!("{protocol} . {port}"),
    }
}

fn endpoint_slot(front: Front, count: usize, position: usize) -> (String, String) {
    let map = match front {
        Front::Address { .. } => format!("ep-{count}"),
        Front::NodePort { .. } => format!("np-{count}"),
    };
    (map, format!("{} . {position}", front_key(front)))
}

fn verdict(front: Front, route: &Route) -> String {
    let masquerade = if route.masquerade { "-masq" } else { "" };
    match (&route.choice, front) {
        (Choice::Pick { endpoint_count: n }, Front::Address { .. }) => format!("goto pick-{n}{masquerade}"),
        (Choice::Pick { endpoint_count: n }, Front::NodePort { .. }) => format!("goto node-pick-{n}{masquerade}"),
        (Choice::Sticky { .. }, _) => format!("goto {}", sticky_chain(front)),
        (Choice::Drop, _) => "goto discard".to_owned(),
    }
}

fn sticky_chain(front: Front) -> String {
    match front {
        Front::Address { ip, protocol, port } => format!("sticky-{ip}-{protocol}-{port}"),
        Front::NodePort { protocol, port } => format!("sticky-node-{protocol}-{port}"),
    }
}

/// Names the set of clients of one backend.
fn clients(front: Front, backend: Backend) -> String {
    format!("{}-{}-{}", sticky_chain(front), backend.ip, backend.port)
}

/// A set of clients for each backend, refreshed by the packets themselves, and a chain that asks them in turn.
fn add_sticky(text: &mut String, front: Front, route: &Route) {
    let Choice::Sticky { backends, timeout_secs } = &route.choice else { return };
    for backend in backends {
        add_sticky_backend(text, front, *backend, *timeout_secs);
    }
    fill_sticky_chain(text, front, route.masquerade, backends);
}

fn change_sticky(text: &mut String, key: Key, before: &Value, after: &Value) {
    let (Key::Front(front), Value::Route(before), Value::Route(after)) = (key, before, after) else { return };
    let (Choice::Sticky { backends: old, .. }, Choice::Sticky { backends: new, timeout_secs }) =
        (&before.choice, &after.choice)
    else {
        return;
    };
    for backend in new.iter().filter(|backend| !old.contains(backend)) {
        add_sticky_backend(text, front, *backend, *timeout_secs);
    }
    let _ = writeln!(text, "flush chain {TABLE} {}", sticky_chain(front));
    fill_sticky_chain(text, front, after.masquerade, new);
    for backend in old.iter().filter(|backend| !new.contains(backend)) {
        remove_sticky_backend(text, front, *backend);
    }
}

fn add_sticky_backend(text: &mut String, front: Front, backend: Backend, timeout_secs: u32) {
    let set = clients(front, backend);
    let _ = writeln!(
        text,
        "table {TABLE} {{
  set {set} {{ type ipv4_addr; size 65535; flags dynamic,timeout; timeout {timeout_secs}s; }}
  chain {set}-go {{ meta l4proto {} update @{set} {{ ip saddr }} dnat ip to {}:{}; }}
}}",
        front.protocol(),
        backend.ip,
        backend.port
    );
}

fn fill_sticky_chain(text: &mut String, front: Front, masquerade: bool, backends: &[Backend]) {
    let _ = writeln!(text, "table {TABLE} {{\n  chain {} {{", sticky_chain(front));
    if masquerade {
        let _ = writeln!(text, "    meta mark set meta mark or {MARK}");
    }
    for backend in backends {
        let set = clients(front, *backend);
        let _ = writeln!(text, "    ip saddr @{set} goto {set}-go");
    }
    let by_lot: Vec<String> =
        backends.iter().enumerate().map(|(i, backend)| format!("{i} : goto {}-go", clients(front, *backend))).collect();
    let _ = writeln!(text, "    numgen random mod {} vmap {{ {} }}\n  }}\n}}", backends.len(), by_lot.join(", "));
}

fn remove_sticky(text: &mut String, front: Front, route: &Route) {
    let Choice::Sticky { backends, .. } = &route.choice else { return };
    let chain = sticky_chain(front);
    let _ = writeln!(text, "flush chain {TABLE} {chain}\ndelete chain {TABLE} {chain}");
    for backend in backends {
        remove_sticky_backend(text, front, *backend);
    }
}

fn remove_sticky_backend(text: &mut String, front: Front, backend: Backend) {
    let set = clients(front, backend);
    let _ = writeln!(text, "flush chain {TABLE} {set}-go\ndelete chain {TABLE} {set}-go\ndelete set {TABLE} {set}");
}

/// Fronts whose datagram flows must be forgotten because a backend went away: the kernel would go on sending to it.
pub fn stale_flows(delta: &Delta) -> Vec<(Front, Backend)> {
    let udp_backends = |rules: &Rules| -> BTreeSet<(Front, Backend)> {
        rules.iter().flat_map(|(key, value)| backends_of(*key, value)).collect()
    };
    let gone = udp_backends(&delta.removed);
    let here = udp_backends(&delta.added);
    gone.difference(&here).copied().filter(|(front, _)| front.protocol() == Protocol::Udp).collect()
}

fn backends_of(key: Key, value: &Value) -> Vec<(Front, Backend)> {
    match (key, value) {
        (Key::Endpoint { front, .. }, Value::Backend(backend)) => vec![(front, *backend)],
        (Key::Front(front), Value::Route(Route { choice: Choice::Sticky { backends, .. }, .. })) => {
            backends.iter().map(|backend| (front, *backend)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
