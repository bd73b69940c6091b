//! Pod: containers that run together on one node.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{pod_columns, pod_rules};
use crate::resource::{HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        generation: true,
        returns_deleted: true,
        status_keeps: &["metadata.deletionTimestamp", "metadata.ownerReferences"],
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
            validate_status: Some(pod_rules::validate_status),
            validate_part: Some(pod_rules::part),
            warn: Some(pod_rules::warnings::pod),
            graceful_deletion: Some(grace),
            ..Hooks::default()
        },
        ..Resource::of::<Pod>()
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

fn prepare_create(pod: &mut Value, context: &HookContext<'_>) {
    let class = api::usage::qos_class(tree::at(pod, "spec").unwrap_or(&Value::Null));
    tree::set(pod, "status", json!({ "phase": "Pending", "qosClass": class }));
    if !tree::list(pod, "spec.schedulingGates").is_empty() {
        let since = context.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let gated = json!({
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": since,
        });
        tree::list_mut(pod, "status.conditions").push(gated);
    }
    merge_label_keys(pod);
}

/// Requirements that follow from the pod's own labels (KEP-3633, KEP-3243) become a part of the selectors.
fn merge_label_keys(pod: &mut Value) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let labels = tree::at(pod, "metadata.labels").cloned().unwrap_or_default();
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (list, inner) in [(REQUIRED, ""), (PREFERRED, "podAffinityTerm")] {
            let path = format!("spec.affinity.{kind}.{list}");
            if !tree::is_set(pod, &path) {
                continue;
            }
            for term in tree::list_mut(pod, &path) {
                let term = if inner.is_empty() { Some(term) } else { term.get_mut(inner) };
                if let Some(term) = term {
                    merge_keys(term, "matchLabelKeys", "In", &labels);
                    merge_keys(term, "mismatchLabelKeys", "NotIn", &labels);
                }
            }
        }
    }
    if tree::is_set(pod, "spec.topologySpreadConstraints") {
        for constraint in tree::list_mut(pod, "spec.topologySpreadConstraints") {
            merge_keys(constraint, "matchLabelKeys", "In", &labels);
        }
    }
}

fn merge_keys(term: &mut Value, keys: &str, operator: &str, labels: &Value) {
    let keys: Vec<String> = tree::texts(term, keys).into_iter().map(str::to_owned).collect();
    if !tree::is_set(term, "labelSelector") {
        return;
    }
    for key in keys {
        if let Some(value) = labels.get(&key) {
            let requirement = json!({ "key": key, "operator": operator, "values": [value] });
            tree::list_mut(term, "labelSelector.matchExpressions").push(requirement);
        }
    }
}

fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    if context.subresource == "status" {
        tree::copy(new, old, "metadata.deletionTimestamp");
        if tree::text(new, "status.qosClass").is_empty() {
            tree::copy(new, old, "status.qosClass");
        }
        keep_observed(new, old);
    }
}

/// Which generation was seen is not forgotten by a writer that does not know of it (KEP-5067).
fn keep_observed(new: &mut Value, old: &Value) {
    const SEEN: &str = "observedGeneration";
    if tree::int(new, "status.observedGeneration").unwrap_or_default() == 0 {
        tree::copy(new, old, "status.observedGeneration");
    }
    if !tree::is_set(new, "status.conditions") {
        return;
    }
    let mut before: Vec<&Value> = tree::list(old, "status.conditions").iter().collect();
    for condition in tree::list_mut(new, "status.conditions") {
        let same = before.iter().position(|old| old.get("type") == condition.get("type"));
        let Some(old) = same.map(|at| before.remove(at)) else { continue };
        if tree::int(condition, SEEN).unwrap_or_default() == 0 {
            tree::copy(condition, old, SEEN);
        }
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
