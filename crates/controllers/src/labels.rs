//! Whether a selector, as it stands in an object, selects another object by its labels.

use api::Object;
use api::selector::LabelSelector;
use serde_json::{Value, json};

use crate::tree::Tree;

/// A selector that is empty, absent or malformed selects nothing: no controller may claim everything by mistake.
fn selector_of(selector: &Value) -> LabelSelector {
    let read = LabelSelector::from_object(Some(selector)).ok();
    read.filter(|selector| !selector.is_everything()).unwrap_or_else(LabelSelector::nothing)
}

/// The pods that a workload means: a ReplicationController's selector is a plain map, all others' are LabelSelectors.
pub(crate) fn workload_selector(workload: &Value) -> LabelSelector {
    let selector = workload.at("spec.selector");
    if workload.text("kind") != "ReplicationController" {
        return selector_of(selector);
    }
    selector_of(&json!({ "matchLabels": selector }))
}

/// Whether a plain map of labels (a Service's selector) selects the object. An empty one selects nothing.
pub(crate) fn map_selects(map: &Value, object: &Object) -> bool {
    map.as_object()
        .is_some_and(|map| !map.is_empty() && map.iter().all(|(key, value)| object.label(key) == value.as_str()))
}
