//! Where a DaemonSet's pods may be: the node's name, labels and taints against the pod template, and the template made
//! to fit one node.

use api::selector::node_requirement_holds;
use cache::Change;
use serde_json::{Value, json};

use crate::pods::tolerates;
use crate::tree::{Tree, set};

/// What daemons tolerate beside what their template says: they keep running on nodes that are in trouble.
/// (key, effect)
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// Those in the host's network need none of the cluster's.
const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
const REQUIRED: &str = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";

/// What a set's pods do on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// There shall be one.
    Runs,
    /// None is made; one that is there may stay.
    Stays,
    Goes,
}

/// Whether a change of a node can change what fits there: heartbeats do not.
pub(super) fn matters(change: &Change) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return true };
    let (Ok(before), Ok(after)) = (before.tree(), after.tree()) else { return true };
    ["metadata.labels", "spec"].iter().any(|part| before.at(part) != after.at(part))
}

/// The spec of the set's pods, with the tolerations that all daemons have.
pub(super) fn template(set_tree: &Value) -> Value {
    let mut spec = set_tree.at("spec.template.spec").clone();
    let mut tolerations = spec.items("tolerations").to_vec();
    let network = spec.flag("hostNetwork").then_some((NETWORK_UNAVAILABLE, "NoSchedule"));
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    set(&mut spec, "tolerations", Value::Array(tolerations));
    spec
}

pub(super) fn fit(spec: &Value, name: &str, node: &Value) -> Fit {
    let asked = spec.text("nodeName");
    if !(asked.is_empty() || asked == name) || !is_selected(spec, name, node) {
        return Fit::Goes;
    }
    let refused = |effects: &[&str]| {
        let mut taints = node.items("spec.taints").iter().filter(|taint| effects.contains(&taint.text("effect")));
        taints.any(|taint| !spec.items("tolerations").iter().any(|toleration| tolerates(toleration, taint)))
    };
    if !refused(&["NoSchedule", "NoExecute"]) {
        Fit::Runs
    } else if refused(&["NoExecute"]) {
        Fit::Goes
    } else {
        Fit::Stays
    }
}

fn is_selected(spec: &Value, name: &str, node: &Value) -> bool {
    let labels = node.at("metadata.labels");
    let mut wanted = spec.at("nodeSelector").as_object().into_iter().flatten();
    if !wanted.all(|(key, value)| labels.get(key) == Some(value)) {
        return false;
    }
    let required = spec.at(REQUIRED);
    let holds = |requirement: &Value, actual: Option<&str>| {
        let values: Vec<&str> = requirement.items("values").iter().filter_map(Value::as_str).collect();
        node_requirement_holds(requirement.text("operator"), &values, actual)
    };
    let matches = |term: &Value| {
        let (labeled, fields) = (term.items("matchExpressions"), term.items("matchFields"));
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        let field = |key: &str| (key == "metadata.name").then_some(name);
        (!labeled.is_empty() || !fields.is_empty())
            && labeled.iter().all(|requirement| holds(requirement, label(requirement.text("key"))))
            && fields.iter().all(|requirement| holds(requirement, field(requirement.text("key"))))
    };
    required.is_null() || required.items("nodeSelectorTerms").iter().any(matches)
}

/// The node that a pod is on, or that its affinity names.
pub(super) fn node_of(pod: &Value) -> &str {
    let bound = pod.text("spec.nodeName");
    if !bound.is_empty() {
        return bound;
    }
    let terms = pod.at("spec").at(REQUIRED).items("nodeSelectorTerms");
    let fields = terms.iter().flat_map(|term| term.items("matchFields"));
    let mut named = fields.filter(|field| field.text("key") == "metadata.name" && field.text("operator") == "In");
    named.next().and_then(|field| field.items("values").first()).and_then(Value::as_str).unwrap_or_default()
}

/// The pod's spec for one node: any node affinity of the template that is required was decided already, and the node's
/// name takes its place.
pub(super) fn spec_for(template: &Value, node: &str) -> Value {
    let mut spec = self::template(&json!({"spec": {"template": {"spec": template}}}));
    let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    set(&mut spec, REQUIRED, json!({"nodeSelectorTerms": [by_name]}));
    spec
}
