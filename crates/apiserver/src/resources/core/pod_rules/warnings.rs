//! What pods and pod templates are taken with, but warned of: each of upstream's warnings in its order.

use std::collections::BTreeSet;

use api::go::quote;
use api::validation::Path;
use serde_json::Value;

use super::paths;
use crate::resources::warnings::{annotation, claim_spec, fraction, ip, node_label, node_term};
use crate::tree;

/// Annotations that do nothing any more.
const DEAD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    ("security.alpha.kubernetes.io/unsafe-sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
];

/// Kinds of volumes that are going or gone.
pub const OLD_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// A pod's own, at its creation: those who change pods are no humans.
pub fn pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let whys = api::validation::name::dns1123_label(tree::text(new, "metadata.name"));
    let name = (!whys.is_empty()).then(|| {
        let why =
            "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended";
        format!("metadata.name: {why}: [{}]", whys.join(" "))
    });
    name.into_iter().chain(all(new, &Path::default(), false)).collect()
}

/// Those of a pod template.
pub fn template(template: &Value, path: &Path) -> Vec<String> {
    all(template, path, true)
}

fn all(of: &Value, path: &Path, is_template: bool) -> Vec<String> {
    let none = Value::Null;
    let spec = of.get("spec").unwrap_or(&none);
    let at = path.child("spec");
    let mut out = Vec::new();
    placement(spec, &at, &mut out);
    out.extend(DEAD_ANNOTATIONS.iter().filter_map(|dead| annotation(of, *dead, path)));
    volumes(spec, &at, &mut out);
    paths::overlaps(spec, &mut out);
    names(spec, &at, &mut out);
    for name in ["memory", "ephemeral-storage"] {
        out.extend(fraction(spec.get("overhead"), name, &at.child("overhead")));
    }
    let seccomp = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;
    if !tree::is_set(spec, "securityContext.seccompProfile") {
        out.extend(annotation(of, (POD_SECCOMP, seccomp), path));
    }
    for (container, at) in containers(spec, &at) {
        let name = tree::text(container, "name");
        if !tree::is_set(container, "securityContext.seccompProfile") {
            out.extend(annotation(of, (&format!("{CONTAINER_SECCOMP}{name}"), seccomp), path));
        }
        let profiled = [spec, container].iter().any(|of| tree::is_set(of, "securityContext.appArmorProfile"));
        if is_template && !profiled {
            let why = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
            out.extend(annotation(of, (&format!("{APP_ARMOR}{name}"), why), path));
        }
        for name in ["memory", "ephemeral-storage"] {
            for list in ["limits", "requests"] {
                let amounts = tree::at(container, &format!("resources.{list}"));
                out.extend(fraction(amounts, name, &at.child("resources").child(list)));
            }
        }
        hidden_variables(container, &at, &mut out);
    }
    ports(spec, &at, &mut out);
    if tree::int(spec, "terminationGracePeriodSeconds").is_some_and(|secs| secs < 0) {
        let why = "must be >= 0; negative values are invalid and will be treated as 1";
        out.push(format!("{}: {why}", at.child("terminationGracePeriodSeconds")));
    }
    affinity(spec, &at.child("affinity"), &mut out);
    let servers = tree::texts(spec, "dnsConfig.nameservers").into_iter().enumerate();
    out.extend(servers.filter_map(|(i, server)| ip(server, &at.child("dnsConfig").child("nameservers").index(i))));
    let aliases = tree::list(spec, "hostAliases").iter().enumerate();
    out.extend(
        aliases.filter_map(|(i, alias)| ip(tree::text(alias, "ip"), &at.child("hostAliases").index(i).child("ip"))),
    );
    out
}

/// Every container with its path, in the order in which upstream visits them.
fn containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let of = |list: &'static str| {
        let path = path.child(list);
        tree::list(spec, list).iter().enumerate().map(move |(i, container)| (container, path.index(i)))
    };
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(of).collect()
}

/// Labels of nodes by which the pod asks for them.
fn placement(spec: &Value, path: &Path, out: &mut Vec<String>) {
    let selected = spec.get("nodeSelector").and_then(Value::as_object);
    out.extend(
        selected.into_iter().flatten().filter_map(|(key, _)| {
            node_label(key).map(|why| format!("{}: {why}", path.child("nodeSelector").key(key)))
        }),
    );
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    let at = path.child("affinity").child("nodeAffinity");
    let terms = tree::list(spec, &format!("affinity.nodeAffinity.{required}.nodeSelectorTerms"));
    for (i, term) in terms.iter().enumerate() {
        out.extend(node_term(term, false, &at.child(required).child("nodeSelectorTerms").index(i)));
    }
    for (i, term) in tree::list(spec, &format!("affinity.nodeAffinity.{preferred}")).iter().enumerate() {
        out.extend(node_term(&term["preference"], true, &at.child(preferred).index(i).child("preference")));
    }
    for (i, constraint) in tree::list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = tree::text(constraint, "topologyKey");
        out.extend(node_label(key).map(|why| format!("{}: {key} is {why}", path.child("topologyKey"))));
        if !tree::is_set(constraint, "labelSelector") {
            out.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
        }
    }
}

fn volumes(spec: &Value, path: &Path, out: &mut Vec<String>) {
    for (i, volume) in tree::list(spec, "volumes").iter().enumerate() {
        let path = path.child("volumes").index(i);
        for (kind, why) in OLD_VOLUMES {
            if kind == "cephfs"
                && let Some(claim) = tree::at(volume, "ephemeral.volumeClaimTemplate.spec")
            {
                let path = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
                out.extend(claim_spec(claim, &path));
            }
            if tree::is_set(volume, kind) {
                out.push(format!("{}: {why}", path.child(if kind == "storageos" { "storageOS" } else { kind })));
            }
        }
    }
}

/// Addresses and secrets that are named twice, or not at all.
fn names(spec: &Value, path: &Path, out: &mut Vec<String>) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = BTreeSet::new();
        for (i, item) in tree::list(spec, list).iter().enumerate() {
            let name = tree::text(item, field);
            if !seen.insert(name) {
                out.push(format!("{}: duplicate {field} {}", path.child(list).index(i).child(field), quote(name)));
            }
        }
    }
    for (i, secret) in tree::list(spec, "imagePullSecrets").iter().enumerate() {
        if tree::text(secret, "name").is_empty() {
            out.push(format!("{}: invalid empty name \"\"", path.child("imagePullSecrets").index(i).child("name")));
        }
    }
}

/// Variables that are set again without using what they were.
fn hidden_variables(container: &Value, path: &Path, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, variable) in tree::list(container, "env").iter().enumerate() {
        let (name, value) = (tree::text(variable, "name"), tree::text(variable, "value"));
        let reference = format!("$({name})");
        let extends = !tree::is_set(variable, "valueFrom") && value != reference && value.contains(&reference);
        if !seen.insert(name) && !extends {
            let why = format!("hides previous definition of {}, which may be dropped when using apply", quote(name));
            out.push(format!("{}: {why}", path.child("env").index(i)));
        }
    }
}

/// A container's port where it is defined.
struct Port<'a> {
    path: Path,
    number: i64,
    protocol: &'a str,
    host: (i64, &'a str),
    name: &'a str,
}

/// Ports that get in each other's way.
fn ports(spec: &Value, path: &Path, out: &mut Vec<String>) {
    let mut all: Vec<Port<'_>> = Vec::new();
    for (container, at) in containers(spec, path) {
        for (i, port) in tree::list(container, "ports").iter().enumerate() {
            let number = |field| tree::int(port, field).unwrap_or_default();
            let new = Port {
                path: at.child("ports").index(i),
                number: number("containerPort"),
                protocol: tree::text(port, "protocol"),
                host: (number("hostPort"), tree::text(port, "hostIP")),
                name: tree::text(port, "name"),
            };
            if new.host.0 == 0 && !new.host.1.is_empty() {
                let (name, number, protocol) = (new.name, new.number, new.protocol);
                let shown = format!(
                    "{{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{}}}",
                    new.host.1
                );
                out.push(format!("{}: hostIP set without hostPort: {shown}", new.path));
            }
            let same = all.iter().filter(|other| other.number == new.number && other.protocol == new.protocol);
            out.extend(
                same.filter_map(|other| Some(format!("{}: {} with {}", new.path, clash(&new, other)?, other.path))),
            );
            all.push(new);
        }
    }
    for (i, port) in all.iter().enumerate().filter(|(_, port)| !port.name.is_empty()) {
        let Some(first) = all[..i].iter().find(|other| other.name == port.name) else { continue };
        let (at, name, first) = (&port.path, quote(port.name), &first.path);
        let why = format!("services and probes that select ports by name will use {first}");
        out.push(format!("{at}: duplicate port name {name} with {first}, {why}"));
    }
}

fn clash(new: &Port<'_>, other: &Port<'_>) -> Option<&'static str> {
    if new.host == other.host {
        return Some("duplicate port definition");
    }
    if new.host.0 == 0 || other.host.0 == 0 {
        return Some("overlapping port definition");
    }
    let one_everywhere = new.host.1.is_empty() != other.host.1.is_empty();
    (new.host.0 == other.host.0 && one_everywhere).then_some("dangerously ambiguous port definition")
}

fn affinity(spec: &Value, path: &Path, out: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, inner) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm"),
        ] {
            for (i, term) in tree::list(spec, &format!("affinity.{kind}.{list}")).iter().enumerate() {
                let path = path.child(kind).child(list).index(i);
                let (term, path) = if inner.is_empty() { (term, path) } else { (&term[inner], path.child(inner)) };
                if !tree::is_set(term, "labelSelector") {
                    out.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
                }
            }
        }
    }
}
