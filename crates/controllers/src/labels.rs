//! Whether a LabelSelector, as it stands in an object, selects another object by its labels.

use api::Object;
use serde_json::Value;

use crate::tree::Tree;

/// A selector that is empty, absent or malformed selects nothing: no controller may claim everything by mistake.
pub(crate) fn selects(selector: &Value, object: &Object) -> bool {
    let labels = selector.at("matchLabels").as_object();
    let expressions = selector.items("matchExpressions");
    if labels.is_none_or(serde_json::Map::is_empty) && expressions.is_empty() {
        return false;
    }
    labels.into_iter().flatten().all(|(key, value)| object.label(key) == value.as_str())
        && expressions.iter().all(|expression| holds(expression, object))
}

/// Whether a plain map of labels (a Service's selector) selects the object. An empty one selects nothing.
pub(crate) fn map_selects(map: &Value, object: &Object) -> bool {
    map.as_object()
        .is_some_and(|map| !map.is_empty() && map.iter().all(|(key, value)| object.label(key) == value.as_str()))
}

fn holds(expression: &Value, object: &Object) -> bool {
    let label = object.label(expression.text("key"));
    let listed = || expression.items("values").iter().any(|value| value.as_str() == label);
    match expression.text("operator") {
        "In" => label.is_some() && listed(),
        "NotIn" => label.is_none() || !listed(),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}
