//! What pods and pod templates must be, and what of a pod may change.
//!
//! [`validate`] is for Pods, [`validate_template`] for every kind that makes pods; both end in [`spec`], which asks each part's
//! file in upstream's order. Paths and texts are upstream's; all causes are given at once.

mod affinity;
mod annotations;
mod containers;
mod env;
mod mounts;
mod network;
mod paths;
mod placement;
mod probes;
mod projected;
mod resize;
mod resources;
mod restart;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod update;
mod volumes;
pub mod warnings;
mod windows;

use api::status::Cause;
use api::validation::name::{dns1123_label, dns1123_subdomain, in_range};
use api::validation::{Path, meta};
use serde_json::Value;

pub use affinity::node_selector;
pub use annotations::{MIRROR, is_mirror};
pub use mounts::no_backsteps;
pub use placement::{taint_effect, tolerations};
pub use probes::port as port_or_name;
pub use resize::{keep_resizable, part};
pub use status::validate as validate_status;
pub use update::validate as validate_update;

use crate::tree;

/// What is asked besides the spec itself.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The pod's own name; `None` in a template.
    pub pod: Option<&'a str>,
}

impl Asked<'_> {
    pub fn is_pod(self) -> bool {
        self.pod.is_some()
    }
}

/// A pod, but for its metadata.
pub fn validate(pod: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    annotations::pod(pod, &Path::new("metadata").child("annotations"), &mut causes);
    let empty = Value::Object(serde_json::Map::new());
    let path = Path::new("spec");
    let own = pod.get("spec").unwrap_or(&empty);
    spec(own, &path, Asked { pod: Some(tree::text(pod, "metadata.name")) }, &mut causes);
    if tree::text(own, "serviceAccountName").is_empty() {
        projected::no_tokens(own, &path, &mut causes);
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in tree::list(own, list).iter().enumerate() {
            containers::trimmed_image(container, &path.child(list).index(i), &mut causes);
        }
    }
    causes
}

pub fn validate_create(pod: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let path = Path::new("spec");
    if !tree::list(pod, "spec.ephemeralContainers").is_empty() {
        causes.push(path.child("ephemeralContainers").forbidden("cannot be set on create"));
    }
    if !tree::text(pod, "spec.nodeName").is_empty() && !tree::list(pod, "spec.schedulingGates").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        causes.push(path.child("nodeName").forbidden(why));
    }
    annotations::profiles_match(pod, &path, &mut causes);
    causes
}

/// The pod template of a workload: labels, annotations and spec. Which restart policies it may have is the workload's rule.
pub fn validate_template(template: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = meta::labels(tree::at(template, "metadata.labels"), &path.child("labels"));
    let of = path.child("annotations");
    causes.extend(meta::annotations(tree::at(template, "metadata.annotations"), &of));
    annotations::pod(template, &of, &mut causes);
    let empty = Value::Object(serde_json::Map::new());
    let at = path.child("spec");
    spec(template.get("spec").unwrap_or(&empty), &at, Asked { pod: None }, &mut causes);
    annotations::profiles_match(template, &at, &mut causes);
    if !tree::list(template, "spec.ephemeralContainers").is_empty() {
        causes.push(at.child("ephemeralContainers").forbidden("ephemeral containers not allowed in pod template"));
    }
    causes
}

fn spec(spec: &Value, path: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    if !tree::is_set(spec, "terminationGracePeriodSeconds") {
        out.push(path.child("terminationGracePeriodSeconds").required(""));
    }
    let volumes = volumes::all(spec, &path.child("volumes"), asked, out);
    resources::pod_claims(tree::list(spec, "resourceClaims"), &path.child("resourceClaims"), out);
    containers::all(spec, &volumes, path, out);
    resources::pod_level(spec, &path.child("resources"), out);
    network::host_ports(spec, path, asked, out);
    restart::pod_policy(tree::text(spec, "restartPolicy"), &path.child("restartPolicy"), out);
    network::dns_policy(tree::text(spec, "dnsPolicy"), &path.child("dnsPolicy"), out);
    out.extend(meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector")));
    security::pod(spec, path, out);
    affinity::all(spec.get("affinity"), &path.child("affinity"), out);
    network::dns_config(spec, &path.child("dnsConfig"), out);
    placement::gates(spec, path, out);
    placement::spread(tree::list(spec, "topologySpreadConstraints"), &path.child("topologySpreadConstraints"), out);
    windows::host_process(spec, path, out);
    security::host_users(spec, path, out);
    names(spec, path, out);
    out.extend(tolerations(tree::list(spec, "tolerations"), &path.child("tolerations")));
    network::host_aliases(tree::list(spec, "hostAliases"), &path.child("hostAliases"), out);
    classes(spec, path, out);
    windows::os(spec, path, out);
}

/// Names of the pod's account, node and host, and its deadline.
fn names(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    for field in ["serviceAccountName", "nodeName"] {
        let name = tree::text(spec, field);
        if !name.is_empty() {
            out.extend(path.child(field).invalid_each(name, dns1123_subdomain(name)));
        }
    }
    if let Some(secs) = tree::int(spec, "activeDeadlineSeconds") {
        let whys = in_range(secs, 1, i64::from(i32::MAX));
        out.extend(whys.iter().map(|why| path.child("activeDeadlineSeconds").invalid(secs, why)));
    }
    for field in ["hostname", "subdomain"] {
        let name = tree::text(spec, field);
        if !name.is_empty() {
            out.extend(path.child(field).invalid_each(name, dns1123_label(name)));
        }
    }
    network::hostname_override(spec, path, out);
}

/// Priority class, runtime class, preemption and overhead.
fn classes(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    let class = tree::text(spec, "priorityClassName");
    if !class.is_empty() {
        out.extend(path.child("priorityClassName").invalid_each(class, dns1123_subdomain(class)));
    }
    if let Some(class) = tree::at(spec, "runtimeClassName").and_then(Value::as_str) {
        out.extend(path.child("runtimeClassName").invalid_each(class, dns1123_subdomain(class)));
    }
    if let Some(policy) = tree::at(spec, "preemptionPolicy").and_then(Value::as_str) {
        let at = path.child("preemptionPolicy");
        choice(policy, &["PreemptLowerPriority", "Never"], &at, out);
    }
    if let Some(overhead) = spec.get("overhead").filter(|overhead| !overhead.is_null()) {
        resources::overhead(overhead, &path.child("overhead"), out);
    }
}

/// One of `supported`: required when empty, and refused when it is anything else.
pub(crate) fn choice(value: &str, supported: &[&str], path: &Path, out: &mut Vec<Cause>) {
    if value.is_empty() {
        out.push(path.required(""));
    } else if !supported.contains(&value) {
        out.push(path.not_supported(value, supported));
    }
}

/// Containers of all three lists with their paths, in upstream's order of visiting.
fn every_container<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let lists = ["initContainers", "containers", "ephemeralContainers"].into_iter();
    lists
        .flat_map(|list| {
            let path = path.child(list);
            tree::list(spec, list).iter().enumerate().map(move |(i, container)| (container, path.index(i)))
        })
        .collect()
}
