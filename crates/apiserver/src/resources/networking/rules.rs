//! What IngressClass, IPAddress and ServiceCIDR must be, and what of them may change.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{self, dns1123_label, dns1123_subdomain, parse_cidr, path_segment};
use serde_json::{Value, json};

use crate::resources::fields::{immutable, internal, path};
use crate::tree;

const CONTROLLER_LEN_MAX: usize = 250;

pub fn ingress_class(class: &Value) -> Vec<Cause> {
    let controller = tree::text(class, "spec.controller");
    let at = path("spec.controller");
    let mut causes = Vec::new();
    if controller.len() > CONTROLLER_LEN_MAX {
        causes.push(at.too_long(CONTROLLER_LEN_MAX));
    }
    causes.extend(domain_prefixed(controller, &at));
    if let Some(parameters) = tree::at(class, "spec.parameters") {
        causes.extend(class_parameters(parameters, &path("spec.parameters")));
    }
    causes
}

/// `acme.io/foo`.
fn domain_prefixed(text: &str, at: &Path) -> Vec<Cause> {
    if text.is_empty() {
        return vec![at.required("")];
    }
    let (host, rest) = match text.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => (host, rest),
        _ => return vec![at.invalid(text, "must be a domain-prefixed path (such as \"acme.io/foo\")")],
    };
    let mut causes = at.invalid_each(host, dns1123_subdomain(host));
    if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)) {
        let form = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
        causes.push(at.invalid(rest, &format!("Invalid path (e.g. '/foo', regex used for validation is '{form}')")));
    }
    causes
}

/// A reference to an object by group, kind and name.
pub(super) fn typed_reference(reference: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(group) = reference.get("apiGroup").and_then(Value::as_str) {
        causes.extend(at.child("apiGroup").invalid_each(group, dns1123_subdomain(group)));
    }
    for field in ["kind", "name"] {
        let at = at.child(field);
        match tree::text(reference, field) {
            "" => causes.push(at.required(&format!("{field} is required"))),
            text => causes.extend(at.invalid_each(text, path_segment(text))),
        }
    }
    causes
}

fn class_parameters(parameters: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = typed_reference(parameters, at);
    let namespace = parameters.get("namespace").and_then(Value::as_str);
    let at_namespace = at.child("namespace");
    match (parameters.get("scope").and_then(Value::as_str), namespace) {
        (None, _) => causes.push(at.child("scope").required("")),
        (Some("Namespace"), None) => {
            causes.push(at_namespace.required("`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(name)) => causes.extend(at_namespace.invalid_each(name, dns1123_label(name))),
        (Some("Cluster"), Some(_)) => causes.push(at_namespace.forbidden("`parameters.scope` is set to 'Cluster'")),
        (Some("Cluster"), None) => {}
        (Some(scope), _) => causes.push(at.child("scope").not_supported(scope, &["Cluster", "Namespace"])),
    }
    causes
}

pub fn ingress_class_update(new: &Value, old: &Value) -> Vec<Cause> {
    immutable(new, old, "spec.controller")
}

/// The name of an IPAddress is its address, in the one form that counts.
pub fn canonical_ip(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Err(_) => name::ip(text),
        Ok(std::net::IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        }
        Ok(address) if address.to_string() != text => {
            vec![format!("must be in canonical form ({:?})", address.to_string())]
        }
        Ok(_) => Vec::new(),
    }
}

pub fn ip_address(address: &Value) -> Vec<Cause> {
    let at = path("spec.parentRef");
    // What nobody wrote reads as empty here.
    let written = |parent: &&Value| {
        ["group", "resource", "namespace", "name"].iter().any(|field| !tree::text(parent, field).is_empty())
    };
    let Some(parent) = tree::at(address, "spec.parentRef").filter(written) else { return vec![at.required("")] };
    let mut causes = Vec::new();
    let group = tree::text(parent, "group");
    if !group.is_empty() {
        causes.extend(at.child("group").invalid_each(group, dns1123_subdomain(group)));
    }
    for (field, wanted) in [("resource", true), ("name", true), ("namespace", false)] {
        let at = at.child(field);
        match tree::text(parent, field) {
            "" if wanted => causes.push(at.required("")),
            text => causes.extend(at.invalid_each(text, path_segment(text))),
        }
    }
    causes
}

pub fn ip_address_update(new: &Value, old: &Value) -> Vec<Cause> {
    let field = "spec.parentRef";
    if tree::at(new, field) == tree::at(old, field) {
        return Vec::new();
    }
    let parent = tree::at(new, field).cloned().unwrap_or_default();
    let shown = internal(
        &parent,
        &[("Group", json!("")), ("Resource", json!("")), ("Namespace", json!("")), ("Name", json!(""))],
    );
    vec![path(field).invalid_shown(&shown, "field is immutable")]
}

pub fn service_cidr(object: &Value) -> Vec<Cause> {
    let at = path("spec.cidrs");
    let cidrs = tree::texts(object, "spec.cidrs");
    let whole = || internal(&object["spec"], &[("CIDRs", Value::Null)]);
    match cidrs.as_slice() {
        [] => return vec![at.required("at least one CIDR required")],
        [_] => {}
        [first, second] => {
            let families = [first, second].map(|cidr| parse_cidr(cidr).map(|(address, _)| address.is_ipv4()));
            if !matches!(families, [Some(first), Some(second)] if first != second) {
                let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
                return vec![at.invalid_shown(&whole(), why)];
            }
        }
        _ => return vec![at.invalid_shown(&whole(), "may only hold up to 2 values")],
    }
    let each = cidrs.iter().enumerate();
    each.flat_map(|(i, cidr)| at.index(i).invalid_each(cidr, canonical_cidr(cidr))).collect()
}

fn canonical_cidr(text: &str) -> Vec<String> {
    let Some((address, length)) = parse_cidr(text) else { return name::cidr(text) };
    let masked: std::net::IpAddr = match address {
        std::net::IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            std::net::Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        std::net::IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            std::net::Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    };
    let canonical = format!("{masked}/{length}");
    if masked != address {
        vec!["must not have bits set beyond the prefix length".to_owned()]
    } else if canonical != text {
        vec![format!("must be in canonical form ({canonical:?})")]
    } else {
        Vec::new()
    }
}

pub fn service_cidr_update(new: &Value, old: &Value) -> Vec<Cause> {
    immutable(new, old, "spec.cidrs")
}
