//! Containers of a pod: what all have in common, and what init, regular and ephemeral ones add.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, port_name, port_number};
use serde_json::Value;

use super::volumes::Volumes;
use super::{choice, env, mounts, probes, resources, restart, security};
use crate::tree;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const NOT_FOR_INIT: &str = "may not be set for init containers without restartPolicy=Always";

/// What of the pod its containers are checked against.
struct Pod<'a> {
    spec: &'a Value,
    volumes: &'a Volumes<'a>,
    grace_secs: Option<i64>,
}

pub fn all(spec: &Value, volumes: &Volumes<'_>, path: &Path, out: &mut Vec<Cause>) {
    let pod = Pod { spec, volumes, grace_secs: tree::int(spec, "terminationGracePeriodSeconds") };
    regular(&pod, &path.child("containers"), out);
    init(&pod, &path.child("initContainers"), out);
    ephemeral(&pod, &path.child("ephemeralContainers"), out);
}

fn regular(pod: &Pod<'_>, path: &Path, out: &mut Vec<Cause>) {
    let containers = tree::list(pod.spec, "containers");
    if containers.is_empty() {
        out.push(path.required(""));
        return;
    }
    let mut names = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let at = path.index(i);
        common(container, pod, &at, out);
        let name = tree::text(container, "name");
        if !names.insert(name) {
            out.push(at.child("name").duplicate(name));
        }
        probes::all(container, pod.grace_secs, &at, out);
        restart::container(container, &at, out);
    }
    host_ports(containers.iter().enumerate(), path, out);
}

fn init(pod: &Pod<'_>, path: &Path, out: &mut Vec<Cause>) {
    let mut names: BTreeSet<&str> = names_of(pod.spec, &["containers"]);
    for (i, container) in tree::list(pod.spec, "initContainers").iter().enumerate() {
        let at = path.index(i);
        common(container, pod, &at, out);
        restart::container(container, &at, out);
        let name = tree::text(container, "name");
        if names.contains(name) {
            out.push(at.child("name").duplicate(name));
        } else if !name.is_empty() {
            names.insert(name);
        }
        // They run one by one, so only ports within one of them can collide. Upstream names the list's first.
        host_ports(std::iter::once((0, container)), path, out);
        if is_sidecar(container) {
            probes::all(container, pod.grace_secs, &at, out);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if tree::is_set(container, field) {
                out.push(at.child(field).forbidden(NOT_FOR_INIT));
            }
        }
    }
}

/// An init container that keeps running beside the others.
pub fn is_sidecar(container: &Value) -> bool {
    tree::text(container, "restartPolicy") == "Always"
}

/// Fields of a container that an ephemeral one may not have, in the order of upstream's type.
const NOT_FOR_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

fn ephemeral(pod: &Pod<'_>, path: &Path, out: &mut Vec<Cause>) {
    let others = names_of(pod.spec, &["containers", "initContainers"]);
    let mut names = others.clone();
    let why = "cannot be set for an Ephemeral Container";
    for (i, container) in tree::list(pod.spec, "ephemeralContainers").iter().enumerate() {
        let at = path.index(i);
        common(container, pod, &at, out);
        trimmed_image(container, &at, out);
        let name = tree::text(container, "name");
        if !names.insert(name) {
            out.push(at.child("name").duplicate(name));
        }
        let target = tree::text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            out.push(at.child("targetContainerName").not_found(target));
        }
        for field in NOT_FOR_EPHEMERAL {
            if container.get(field).is_some_and(is_written) {
                out.push(at.child(field).forbidden(why));
            }
        }
        for (j, mount) in tree::list(container, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !tree::text(mount, field).is_empty() {
                    out.push(at.child("volumeMounts").index(j).child(field).forbidden(why));
                }
            }
        }
    }
}

fn is_written(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn names_of<'a>(spec: &'a Value, lists: &[&str]) -> BTreeSet<&'a str> {
    lists.iter().flat_map(|list| tree::list(spec, list)).map(|container| tree::text(container, "name")).collect()
}

fn common(container: &Value, pod: &Pod<'_>, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(container, "name");
    if name.is_empty() {
        out.push(path.child("name").required(""));
    } else {
        out.extend(path.child("name").invalid_each(name, dns1123_label(name)));
    }
    if tree::text(container, "image").is_empty() {
        out.push(path.child("image").required(""));
    }
    let policy = tree::text(container, "terminationMessagePolicy");
    choice(policy, &["File", "FallbackToLogsOnError"], &path.child("terminationMessagePolicy"), out);
    ports(tree::list(container, "ports"), &path.child("ports"), out);
    env::variables(tree::list(container, "env"), &path.child("env"), pod.volumes, out);
    env::sources(tree::list(container, "envFrom"), &path.child("envFrom"), out);
    mounts::mounts(container, pod.volumes, &path.child("volumeMounts"), out);
    mounts::devices(container, pod.volumes, &path.child("volumeDevices"), out);
    pull_policy(tree::text(container, "imagePullPolicy"), &path.child("imagePullPolicy"), out);
    resources::container(container, pod.spec, &path.child("resources"), out);
    resources::resize_policy(container, pod.spec, &path.child("resizePolicy"), out);
    security::container(container, pod.spec, &path.child("securityContext"), out);
}

pub fn pull_policy(policy: &str, path: &Path, out: &mut Vec<Cause>) {
    choice(policy, PULL_POLICIES, path, out);
}

/// Pods must be exact where templates were once allowed to be sloppy.
pub fn trimmed_image(container: &Value, path: &Path, out: &mut Vec<Cause>) {
    let image = tree::text(container, "image");
    if image.trim() != image {
        out.push(path.child("image").invalid(image, "must not have leading or trailing whitespace"));
    }
}

fn ports(ports: &[Value], path: &Path, out: &mut Vec<Cause>) {
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let name = tree::text(port, "name");
        let whys = if name.is_empty() { Vec::new() } else { port_name(name) };
        if !whys.is_empty() {
            out.extend(at.child("name").invalid_each(name, whys));
        } else if !name.is_empty() && !names.insert(name) {
            out.push(at.child("name").duplicate(name));
        }
        let numbers = [("containerPort", true), ("hostPort", false)];
        for (field, needed) in numbers {
            let number = tree::int(port, field).unwrap_or_default();
            if number == 0 && needed {
                out.push(at.child(field).required(""));
            } else if number != 0 {
                out.extend(port_number(number).iter().map(|why| at.child(field).invalid(number, why)));
            }
        }
        choice(tree::text(port, "protocol"), PROTOCOLS, &at.child("protocol"), out);
    }
}

/// No two ports of these containers may ask for the same port of the node.
fn host_ports<'a>(containers: impl Iterator<Item = (usize, &'a Value)>, path: &Path, out: &mut Vec<Cause>) {
    let mut taken = BTreeSet::new();
    for (i, container) in containers {
        for (j, port) in tree::list(container, "ports").iter().enumerate() {
            let number = tree::int(port, "hostPort").unwrap_or_default();
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", tree::text(port, "protocol"), tree::text(port, "hostIP"));
            if taken.contains(&key) {
                out.push(path.index(i).child("ports").index(j).child("hostPort").duplicate(key));
            } else {
                taken.insert(key);
            }
        }
    }
}
