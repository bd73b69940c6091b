//! Pod: containers that run together on one node.

use api::Gvr;
use api::quantity::Quantity;
use serde_json::{Value, json};

use super::{pod_columns, pod_rules};
use crate::resource::{HookContext, Hooks, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        generation: true,
        returns_deleted: true,
        selectable_fields: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        subresources: &[
            Subresource::Connect("attach"),
            Subresource::Binding,
            Subresource::EphemeralContainers,
            Subresource::Eviction,
            Subresource::Connect("exec"),
            Subresource::Connect("log"),
            Subresource::Connect("portforward"),
            Subresource::Connect("proxy"),
            Subresource::Resize,
            Subresource::Status,
        ],
        columns: pod_columns::COLUMNS,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(pod_rules::validate),
            validate_create: Some(pod_rules::validate_create),
            validate_update: Some(pod_rules::validate_update),
            validate_part: Some(pod_rules::validate_part),
            graceful_deletion: Some(grace),
            ..Hooks::default()
        },
        ..Resource::new(Gvr::new("", "v1", "pods"), "Pod", "pod", Scope::Namespaced, "io.k8s.api.core.v1.Pod")
    }
}

fn default(pod: &mut Value) {
    tree::set_default(pod, "spec.enableServiceLinks", true);
    // One address is the first of all addresses, whichever of the two the writer gave.
    let ip = tree::text(pod, "status.podIP").to_owned();
    if !ip.is_empty() && tree::list(pod, "status.podIPs").first().is_none_or(|first| tree::text(first, "ip") != ip) {
        tree::set(pod, "status.podIPs", json!([{ "ip": ip }]));
    }
}

fn prepare_create(pod: &mut Value, _: &HookContext<'_>) {
    let class = qos_class(pod);
    tree::set(pod, "status", json!({ "phase": "Pending", "qosClass": class }));
}

fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    if context.subresource == "status" {
        tree::copy(new, old, "metadata.deletionTimestamp");
        tree::copy(new, old, "status.qosClass");
    }
}

/// Pods that no kubelet has, and those that have ended, need no grace.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let ended = matches!(tree::text(pod, "status.phase"), "Failed" | "Succeeded");
    if tree::text(pod, "spec.nodeName").is_empty() || ended {
        return 0;
    }
    let secs = asked.or_else(|| tree::int(pod, "spec.terminationGracePeriodSeconds")).unwrap_or_default();
    if secs < 0 { 1 } else { secs }
}

/// Guaranteed, Burstable or BestEffort, by the CPU and memory of all containers.
pub fn qos_class(pod: &Value) -> &'static str {
    let containers = || ["spec.containers", "spec.initContainers"].into_iter().flat_map(|list| tree::list(pod, list));
    let amount = |container: &Value, kind: &str, resource: &str| {
        let text = tree::text(container, &format!("resources.{kind}.{resource}"));
        Quantity::parse(text).ok().filter(|quantity| !quantity.is_zero())
    };
    let mut any = false;
    let mut guaranteed = true;
    for container in containers() {
        for resource in ["cpu", "memory"] {
            let (request, limit) = (amount(container, "requests", resource), amount(container, "limits", resource));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
