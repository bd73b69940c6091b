//! Reading and writing objects as trees by dotted paths.
//!
//! Controllers work on trees and not on typed structs: what they do not know (a newer field of a pod template) passes
//! through them unharmed.

use api::Object;
use api::object::DecodeError;
use cache::PlanError;
use jiff::Timestamp;
use serde_json::{Value, json};

static NULL: Value = Value::Null;
const NOTHING: &[Value] = &[];

/// Reading access. What is absent or of another type reads as empty.
pub(crate) trait Tree {
    fn at(&self, path: &str) -> &Value;

    fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    fn int(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or(0)
    }

    fn flag(&self, path: &str) -> bool {
        self.at(path).as_bool().unwrap_or(false)
    }

    fn items(&self, path: &str) -> &[Value] {
        self.at(path).as_array().map_or(NOTHING, Vec::as_slice)
    }

    fn time(&self, path: &str) -> Option<Timestamp> {
        self.at(path).as_str()?.parse().ok()
    }

    /// An annotation of the object; keys hold dots, so they are no path.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.at("metadata.annotations").get(key)?.as_str()
    }
}

impl Tree for Value {
    fn at(&self, path: &str) -> &Value {
        path.split('.').fold(self, |tree, step| tree.get(step).unwrap_or(&NULL))
    }
}

/// Sets the value at a dotted path and makes the objects on the way.
pub(crate) fn set(tree: &mut Value, path: &str, value: Value) {
    let mut at = tree;
    for step in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = value;
}

pub(crate) fn set_annotation(tree: &mut Value, key: &str, value: &str) {
    let mut annotations = tree.at("metadata.annotations").clone();
    if !annotations.is_object() {
        annotations = json!({});
    }
    annotations[key] = json!(value);
    set(tree, "metadata.annotations", annotations);
}

/// Takes out what says nothing: fields that are null.
pub(crate) fn without_nulls(tree: &Value) -> Value {
    match tree {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The object's tree, or why it cannot be planned from.
pub(crate) fn tree_of(object: &Object) -> Result<Value, PlanError> {
    object.tree().map_err(|source: DecodeError| PlanError::Decode {
        what: format!("{} {}", object.meta().kind, object.key()),
        source,
    })
}

/// The API's Time: whole seconds.
pub(crate) fn time_text(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// The condition of a type in a status.
pub(crate) fn condition<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition.text("type") == kind)
}
