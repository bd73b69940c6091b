//! The APIServices of what this server serves itself.

use serde_json::{Value, json};

/// Groups with their place in the order of groups. A group's versions stand as often as there are, best first.
const PRIORITIES: &[(&str, i32)] = &[
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];
/// Groups of custom resources come after all built-in ones.
const OTHERS: i32 = 1_000;

/// The APIService of a group and version; none for the group of APIServices itself.
pub fn of(group: &str, version: &str) -> Option<Value> {
    if group == "apiregistration.k8s.io" {
        return None;
    }
    let known = PRIORITIES.iter().find(|(name, _)| *name == group).map(|(_, priority)| *priority);
    let version_priority = match (group, version, known) {
        ("", ..) => 1,
        ("autoscaling", "v2", _) => 30,
        ("flowcontrol.apiserver.k8s.io", ..) => 21,
        ("resource.k8s.io", ..) => 20,
        (_, _, Some(_)) => 15,
        (_, _, None) => 100,
    };
    let mut spec = json!({
        "version": version, "groupPriorityMinimum": known.unwrap_or(OTHERS), "versionPriority": version_priority,
    });
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    let managed = if known.is_some() { "onstart" } else { "true" };
    Some(json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {
            "name": format!("{version}.{group}"), "labels": { "kube-aggregator.kubernetes.io/automanaged": managed },
        },
        "spec": spec,
    }))
}
