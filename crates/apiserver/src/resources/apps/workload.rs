//! What Deployment and ReplicaSet share: a selector, a template, and how both are shown and checked.

use api::status::Cause;
use serde_json::Value;

use crate::causes::{invalid_value, required};
use crate::resource::Column;
use crate::subresources::scale::selector_text;
use crate::tree;

pub const CONTAINERS: Column =
    Column::text("Containers", "Names of each container in the template.", |o, _| containers(o, "name").into()).wide();
pub const IMAGES: Column = Column::text("Images", "Images referenced by each container in the template.", |o, _| {
    containers(o, "image").into()
})
.wide();
pub const SELECTOR: Column = Column::text("Selector", "The labels that the pods have.", |o, _| {
    selector_text(tree::at(o, "spec.selector")).into()
})
.wide();

fn containers(object: &Value, field: &str) -> String {
    let all = tree::list(object, "spec.template.spec.containers").iter();
    all.map(|container| tree::text(container, field)).collect::<Vec<_>>().join(",")
}

pub fn count(object: &Value, path: &str) -> i64 {
    tree::int(object, path).unwrap_or_default()
}

pub fn validate(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(replicas) = tree::int(object, "spec.replicas").filter(|replicas| *replicas < 0) {
        causes.push(invalid_value("spec.replicas", &replicas.into(), "must be greater than or equal to 0"));
    }
    let selector = tree::at(object, "spec.selector").filter(|selector| !selector.is_null());
    match selector {
        None => causes.push(required("spec.selector", "")),
        Some(selector) if selector.as_object().is_some_and(serde_json::Map::is_empty) => {
            causes.push(invalid_value("spec.selector", selector, "empty selector is invalid for deployment"));
        }
        Some(_) => {}
    }
    if !selector.is_some_and(|selector| selects(selector, object)) {
        let labels = tree::at(object, "spec.template.metadata.labels").cloned().unwrap_or(Value::Null);
        let why = "`selector` does not match template `labels`";
        causes.push(invalid_value("spec.template.metadata.labels", &labels, why));
    }
    causes.extend(super::super::core::pod_rules::validate_template(object));
    causes
}

fn selects(selector: &Value, object: &Value) -> bool {
    let labels = tree::at(object, "spec.template.metadata.labels").and_then(Value::as_object);
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let matched = tree::at(selector, "matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut matched = matched.map(|(key, value)| label(key) == value.as_str());
    let expressions = tree::list(selector, "matchExpressions").iter();
    let mut expressions = expressions.map(|term| {
        let (value, values) = (label(tree::text(term, "key")), tree::texts(term, "values"));
        match tree::text(term, "operator") {
            "In" => value.is_some_and(|value| values.contains(&value)),
            "NotIn" => !value.is_some_and(|value| values.contains(&value)),
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    });
    matched.all(|ok| ok) && expressions.all(|ok| ok)
}

/// A selector is for life.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let (selector, before) = (tree::at(new, "spec.selector"), tree::at(old, "spec.selector"));
    if selector == before {
        return Vec::new();
    }
    vec![invalid_value("spec.selector", selector.unwrap_or(&Value::Null), "field is immutable")]
}
