//! What a NetworkPolicy must be.

use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{cidr, parse_cidr, port_name, port_number};
use api::validation::selector::label_selector;
use serde_json::Value;

use crate::resources::fields::path;
use crate::tree;

pub fn validate(policy: &Value) -> Vec<Cause> {
    let at = path("spec");
    let mut causes = label_selector(tree::at(policy, "spec.podSelector"), &at.child("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in tree::list(policy, &format!("spec.{direction}")).iter().enumerate() {
            let at = at.child(direction).index(i);
            for (j, port) in tree::list(rule, "ports").iter().enumerate() {
                causes.extend(validate_port(port, &at.child("ports").index(j)));
            }
            for (j, peer) in tree::list(rule, peers).iter().enumerate() {
                causes.extend(validate_peer(peer, &at.child(peers).index(j)));
            }
        }
    }
    let types = tree::texts(policy, "spec.policyTypes");
    let at = at.child("policyTypes");
    if types.len() > 2 {
        causes.push(at.invalid(types, "may not specify more than two policyTypes"));
        return causes;
    }
    for (i, one) in types.into_iter().enumerate() {
        if !matches!(one, "Ingress" | "Egress") {
            causes.push(at.index(i).not_supported(one, &["Ingress", "Egress"]));
        }
    }
    causes
}

fn validate_port(port: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(protocol) = port.get("protocol").and_then(Value::as_str)
        && !matches!(protocol, "TCP" | "UDP" | "SCTP")
    {
        causes.push(at.child("protocol").not_supported(protocol, &["TCP", "UDP", "SCTP"]));
    }
    let end = tree::int(port, "endPort");
    let at_end = at.child("endPort");
    match (tree::int(port, "port"), port.get("port").and_then(Value::as_str), end) {
        (Some(number), _, end) => {
            causes.extend(port_number(number).iter().map(|why| at.child("port").invalid(number, why)));
            let Some(end) = end else { return causes };
            if end < number {
                causes.push(at_end.invalid(number, "must be greater than or equal to `port`"));
            }
            causes.extend(port_number(end).iter().map(|why| at_end.invalid(end, why)));
        }
        (None, Some(name), end) => {
            if let Some(end) = end {
                causes.push(at_end.invalid(end, "may not be specified when `port` is non-numeric"));
            }
            causes.extend(at.child("port").invalid_each(name, port_name(name)));
        }
        (None, None, Some(end)) => {
            causes.push(at_end.invalid(end, "may not be specified when `port` is not specified"));
        }
        (None, None, None) => {}
    }
    causes
}

fn validate_peer(peer: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for selector in ["podSelector", "namespaceSelector"] {
        causes.extend(label_selector(peer.get(selector), &at.child(selector)));
    }
    let block = peer.get("ipBlock");
    if let Some(block) = block {
        causes.extend(validate_block(block, &at.child("ipBlock")));
    }
    let kinds = ["podSelector", "namespaceSelector", "ipBlock"];
    match kinds.iter().filter(|kind| peer.get(**kind).is_some()).count() {
        0 => causes.push(at.required("must specify a peer")),
        1 => {}
        _ if block.is_some() => causes.push(at.forbidden("may not specify both ipBlock and another peer")),
        _ => {}
    }
    causes
}

fn validate_block(block: &Value, at: &Path) -> Vec<Cause> {
    let whole = tree::text(block, "cidr");
    if whole.is_empty() {
        return vec![at.child("cidr").required("")];
    }
    let mut causes = at.child("cidr").invalid_each(whole, cidr(whole));
    let Some(whole) = parse_cidr(whole) else { return causes };
    for (i, except) in tree::texts(block, "except").into_iter().enumerate() {
        let at = at.child("except").index(i);
        causes.extend(at.invalid_each(except, cidr(except)));
        let Some(inner) = parse_cidr(except) else { continue };
        if !contains(whole, inner.0) || whole.1 >= inner.1 {
            causes.push(at.invalid(except, "must be a strict subset of `cidr`"));
        }
    }
    causes
}

fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    };
    let ((network, v4), (address, also_v4)) = (bits(network), bits(address));
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    v4 == also_v4 && network & mask == address & mask
}
