//! What several kinds warn of: labels of nodes that have gone out of use, addresses in odd forms, fractions of a byte. Each
//! takes the path as upstream's warning begins with it.

use std::net::IpAddr;

use api::go::quote;
use api::quantity::Quantity;
use api::validation::Path;
use api::validation::name::{label_value, parse_cidr};
use serde_json::Value;

use crate::tree;

/// Labels of nodes that nobody should select by any more, and what to do instead.
const OLD_NODE_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    ("failure-domain.beta.kubernetes.io/zone", r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#),
    ("beta.kubernetes.io/instance-type", r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", r#"use "node-role.kubernetes.io/control-plane" instead"#),
];

/// Where storage classes were named before they had a field.
pub const CLASS_ANNOTATION: (&str, &str) =
    ("volume.beta.kubernetes.io/storage-class", r#"deprecated since v1.8; use "storageClassName" attribute instead"#);

pub fn node_label(key: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(old, _)| *old == key).map(|(_, why)| *why)
}

/// The terms of a node selector; what is only preferred is checked no further than here.
pub fn node_term(term: &Value, preferred: bool, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, expression) in tree::list(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let key = tree::text(expression, "key");
        warnings.extend(node_label(key).map(|why| format!("{}: {key} is {why}", path.child("key"))));
        for (at, value) in tree::texts(expression, "values").into_iter().enumerate().filter(|_| preferred) {
            let path = path.child("values").index(at);
            warnings.extend(label_value(value).into_iter().map(|why| format!("{path}: {value} is invalid, {why}")));
        }
    }
    warnings
}

/// A label selector of nodes.
pub fn node_selector(selector: Option<&Value>, path: &Path) -> Vec<String> {
    let Some(selector) = selector else { return Vec::new() };
    let mut warnings = node_term(selector, false, path);
    let labels = tree::at(selector, "matchLabels").and_then(Value::as_object);
    warnings.extend(
        labels.into_iter().flatten().filter_map(|(key, _)| {
            node_label(key).map(|why| format!("{}: {why}", path.child("matchLabels").child(key)))
        }),
    );
    warnings
}

/// An address that validation took, in a form that it may not take for ever.
pub fn ip(text: &str, path: &Path) -> Option<String> {
    let IpAddr::V6(address) = text.parse().ok()? else { return None };
    if let Some(plain) = address.to_ipv4_mapped() {
        return Some(format!(
            "{path}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}",
            quote(text),
            quote(&plain.to_string())
        ));
    }
    let canonical = address.to_string();
    (canonical != text).then(|| {
        format!("{path}: IPv6 address {} should be in RFC 5952 canonical format ({})", quote(text), quote(&canonical))
    })
}

/// A network, likewise. Bits behind the prefix leave open whether an address or its network is meant.
pub fn cidr(text: &str, path: &Path) -> Vec<String> {
    let Some((address, length)) = parse_cidr(text) else { return Vec::new() };
    let network = network(address, length);
    let (shown, bits) = (format!("{network}/{length}"), if address.is_ipv4() { 32 } else { 128 });
    let mut warnings = Vec::new();
    if network != address {
        warnings.push(format!(
            "{path}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            quote(text),
            quote(&shown),
            quote(&format!("{address}/{bits}"))
        ));
    }
    if warnings.is_empty() && address.is_ipv6() && shown != text {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {} should be in RFC 5952 canonical format ({})",
            quote(text),
            quote(&shown)
        ));
    }
    warnings
}

fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// An amount of bytes in `amounts` that is no whole number.
pub fn fraction(amounts: Option<&Value>, name: &str, path: &Path) -> Option<String> {
    let amount = Quantity::parse(amounts?.get(name)?.as_str()?).ok()?;
    let why = || format!("fractional byte value {} is invalid, must be an integer", quote(&amount.to_string()));
    (amount.milli_value() % 1000 != 0).then(|| format!("{}: {}", path.key(name), why()))
}

/// The spec of a PersistentVolumeClaim.
pub fn claim_spec(spec: &Value, path: &Path) -> Vec<String> {
    let of = |list: &str| {
        fraction(tree::at(spec, &format!("resources.{list}")), "storage", &path.child("resources").child(list))
    };
    ["requests", "limits"].into_iter().filter_map(of).collect()
}

/// An annotation that has a field in its place.
pub fn annotation(object: &Value, (key, why): (&str, &str), path: &Path) -> Option<String> {
    let found = tree::at(object, "metadata.annotations")?.get(key);
    found.map(|_| format!("{}: {why}", path.child("metadata").child("annotations").key(key)))
}
