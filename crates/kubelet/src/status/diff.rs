//! From the status that the API holds to the one that is true now: the smallest strategic merge patch.
//!
//! Only fields that the kubelet owns are looked at; conditions merge by type, so that those of others stay.

use api::typed::Pod;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value, json};

/// Lists that the API merges by a key, and that the kubelet means as a whole.
const REPLACED: [&str; 2] = ["podIPs", "hostIPs"];
/// The fields of status that are the kubelet's.
const OWNED: [&str; 15] = [
    "conditions",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "observedGeneration",
    "phase",
    "podIP",
    "podIPs",
    "qosClass",
    "reason",
    "startTime",
    "allocatedResources",
];

/// The tree of a status, as it is written.
pub fn tree(status: &core::PodStatus) -> Value {
    let pod = Pod { status: Some(status.clone()), ..Pod::default() };
    let mut tree = api::typed::Typed::to_tree(&pod);
    tree.get_mut("status").map(Value::take).unwrap_or_default()
}

/// The patch that makes `old` say what `new` says for the pod of that UID; `None` when it says so already.
pub fn patch(uid: &str, old: &Value, new: &Value) -> Option<Value> {
    let mut changed = Map::new();
    for field in OWNED {
        let (before, after) = (old.get(field), new.get(field));
        if before == after {
            continue;
        }
        let value = match (field, after) {
            (_, None) => Value::Null,
            ("conditions", Some(after)) => match conditions(before, after) {
                Some(value) => value,
                None => continue,
            },
            (_, Some(after)) if REPLACED.contains(&field) && before.is_some() => {
                let mut list = vec![json!({"$patch": "replace"})];
                list.extend(after.as_array().into_iter().flatten().cloned());
                Value::Array(list)
            }
            (_, Some(after)) => after.clone(),
        };
        changed.insert(field.to_owned(), value);
    }
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changed}))
}

/// The conditions that differ, whole, with null for what they no longer say.
fn conditions(before: Option<&Value>, after: &Value) -> Option<Value> {
    let find =
        |kind: &Value| before.and_then(Value::as_array).into_iter().flatten().find(|old| old.get("type") == Some(kind));
    let mut list = Vec::new();
    for new in after.as_array().into_iter().flatten() {
        let old = new.get("type").and_then(find);
        if old == Some(new) {
            continue;
        }
        let mut merged = new.as_object().cloned().unwrap_or_default();
        for key in old.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            merged.entry(key.clone()).or_insert(Value::Null);
        }
        list.push(Value::Object(merged));
    }
    (!list.is_empty()).then_some(Value::Array(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent_and_gone_reasons_are_nulled() {
        let old = json!({"phase": "Pending", "qosClass": "BestEffort", "reason": "x", "podIPs": [{"ip": "1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "No"}, {"type": "Mine", "status": "True"}]});
        let new = json!({"phase": "Running", "qosClass": "BestEffort", "podIPs": [{"ip": "2"}],
            "conditions": [{"type": "Ready", "status": "True"}]});
        let patch = patch("u", &old, &new).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "reason": null, "podIPs": [{"$patch": "replace"}, {"ip": "2"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}]}})
        );
        assert_eq!(super::patch("u", &new, &new), None);
    }
}
