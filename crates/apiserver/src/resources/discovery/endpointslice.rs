//! EndpointSlice: a part of the addresses behind a Service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, label_value, non_special_ip, qualified_name};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

use crate::resource::{Column, HookContext, Hooks, Resource};
use crate::resources::fields::one_of_at;
use crate::resources::warnings::ip;
use crate::tree;

const SHOWN_MAX: usize = 3;
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const HINTS_MAX: usize = 8;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        columns: const {
            &[
                Column::text("AddressType", "io.k8s.api.discovery.v1.EndpointSlice.addressType", |slice, _| {
                    tree::text(slice, "addressType").into()
                }),
                Column::text("Ports", "io.k8s.api.discovery.v1.EndpointSlice.ports", |slice, _| ports(slice).into()),
                Column::text("Endpoints", "io.k8s.api.discovery.v1.EndpointSlice.endpoints", |slice, _| {
                    endpoints(slice).into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(|slice, _| drop_topology(slice)),
            prepare_update: Some(prepare_update),
            validate: Some(validate),
            validate_update: Some(validate_update),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<EndpointSlice>()
    }
}

fn shorten(all: &[String], none: &str) -> String {
    match all.len() {
        0 => none.to_owned(),
        count if count > SHOWN_MAX => format!("{} + {} more...", all[..SHOWN_MAX].join(","), count - SHOWN_MAX),
        _ => all.join(","),
    }
}

fn ports(slice: &Value) -> String {
    let port = |port: &Value| tree::int(port, "port").map_or_else(|| "*".to_owned(), |number| number.to_string());
    shorten(&tree::list(slice, "ports").iter().map(port).collect::<Vec<_>>(), "<unset>")
}

fn endpoints(slice: &Value) -> String {
    let all = tree::list(slice, "endpoints").iter().flat_map(|endpoint| tree::texts(endpoint, "addresses"));
    shorten(&all.map(str::to_owned).collect::<Vec<_>>(), "<unset>")
}

fn validate(slice: &Value) -> Vec<Cause> {
    let kind = tree::text(slice, "addressType");
    let path = Path::new("addressType");
    let mut causes = match kind {
        "" => vec![path.required("")],
        "IPv4" | "IPv6" | "FQDN" => Vec::new(),
        other => vec![path.not_supported(other, &["FQDN", "IPv4", "IPv6"])],
    };
    let (path, endpoints) = (Path::new("endpoints"), tree::list(slice, "endpoints"));
    if endpoints.len() > ENDPOINTS_MAX {
        causes.push(path.too_many(endpoints.len(), ENDPOINTS_MAX));
    } else {
        for (i, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, kind, &path.index(i), &mut causes);
        }
    }
    validate_ports(slice, &mut causes);
    causes
}

fn validate_endpoint(endpoint: &Value, kind: &str, path: &Path, out: &mut Vec<Cause>) {
    let at = path.child("addresses");
    let addresses = tree::texts(endpoint, "addresses");
    if addresses.is_empty() {
        out.push(at.required("must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        out.push(at.too_many(addresses.len(), ADDRESSES_MAX));
    }
    for (i, address) in addresses.into_iter().enumerate() {
        validate_address(address, kind, &at.index(i), out);
    }
    let text = |field: &str| endpoint.get(field).and_then(Value::as_str);
    if let Some(node) = text("nodeName") {
        out.extend(path.child("nodeName").invalid_each(node, dns1123_subdomain(node)));
    }
    if let Some(host) = text("hostname") {
        out.extend(path.child("hostname").invalid_each(host, dns1123_label(host)));
    }
    for (hints, rule) in [("forZones", label_value as fn(&str) -> Vec<String>), ("forNodes", dns1123_subdomain)] {
        let (at, hints) = (path.child("hints").child(hints), tree::list(endpoint, &format!("hints.{hints}")));
        if hints.len() > HINTS_MAX {
            out.push(at.too_many(hints.len(), HINTS_MAX));
            continue;
        }
        let mut seen = BTreeSet::new();
        for (i, hint) in hints.iter().enumerate() {
            let (name, at) = (tree::text(hint, "name"), at.index(i).child("name"));
            if !seen.insert(name) {
                out.push(at.duplicate(name));
            }
            out.extend(at.invalid_each(name, rule(name)));
        }
    }
}

fn validate_address(address: &str, kind: &str, at: &Path, out: &mut Vec<Cause>) {
    let family = match (kind, address.parse::<IpAddr>()) {
        ("IPv4" | "IPv6", Err(_)) => return out.extend(at.invalid_each(address, non_special_ip(address))),
        ("IPv4", Ok(ip)) if ip.is_ipv6() => Some("must be an IPv4 address"),
        ("IPv6", Ok(ip)) if ip.is_ipv4() => Some("must be an IPv6 address"),
        ("IPv4" | "IPv6", Ok(_)) => None,
        ("FQDN", _) => return full_name(address, at, out),
        _ => return,
    };
    out.extend(family.map(|why| at.invalid(address, why)));
    out.extend(at.invalid_each(address, non_special_ip(address)));
}

/// A name of at least two labels.
fn full_name(name: &str, at: &Path, out: &mut Vec<Cause>) {
    if name.is_empty() {
        return out.push(at.required(""));
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    let whys = dns1123_subdomain(bare);
    if !whys.is_empty() {
        return out.push(at.invalid(bare, &whys.join(",")));
    }
    if !bare.contains('.') {
        return out.push(at.invalid(bare, "should be a domain with at least two segments separated by dots"));
    }
    let long = bare.split('.').flat_map(dns1123_label);
    out.extend(long.map(|why| at.invalid(bare, &why)));
}

fn validate_ports(slice: &Value, out: &mut Vec<Cause>) {
    let (path, ports) = (Path::new("ports"), tree::list(slice, "ports"));
    if ports.len() > PORTS_MAX {
        return out.push(path.too_many(ports.len(), PORTS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = tree::text(port, "name");
        if !name.is_empty() {
            out.extend(path.child("name").invalid_each(name, dns1123_label(name)));
        }
        if !seen.insert(name) {
            out.push(path.child("name").duplicate(name));
        }
        out.extend(one_of_at(port.get("protocol"), &path.child("protocol"), &["SCTP", "TCP", "UDP"]));
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            out.extend(path.child("appProtocol").invalid_each(protocol, qualified_name(protocol)));
        }
    }
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    if new.get("addressType") == old.get("addressType") {
        return Vec::new();
    }
    vec![Path::new("addressType").invalid(new["addressType"].clone(), "field is immutable")]
}

/// Labels count as content: they say which service the slice belongs to.
fn prepare_update(new: &mut Value, old: &Value, _: &HookContext<'_>) {
    if tree::at(new, "metadata.labels") != tree::at(old, "metadata.labels") {
        let generation = tree::int(old, "metadata.generation").unwrap_or_default();
        tree::set(new, "metadata.generation", generation + 1);
    }
    if new.get("endpoints") != old.get("endpoints") {
        drop_topology(new);
    }
}

/// What v1beta1 said of a place is not written any more.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        tree::remove(endpoint, "deprecatedTopology");
    }
}

/// Names in place of addresses, and addresses in odd forms but for those that a controller made.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    const OURS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    let mut warnings = Vec::new();
    if old.is_none() && tree::text(new, "addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let by = tree::at(new, "metadata.labels").and_then(|labels| labels.get("endpointslice.kubernetes.io/managed-by"));
    if by.and_then(Value::as_str).is_some_and(|by| OURS.contains(&by)) {
        return warnings;
    }
    for (i, endpoint) in tree::list(new, "endpoints").iter().enumerate() {
        for (j, address) in tree::texts(endpoint, "addresses").into_iter().enumerate() {
            warnings.extend(ip(address, &Path::new("endpoints").index(i).child("addresses").index(j)));
        }
    }
    warnings
}
