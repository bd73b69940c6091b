//! Reading and writing an object's tree by dotted paths. What is absent reads as empty; writing makes what is missing.

use serde_json::{Map, Value};

/// The value at `path`, if every step of it is there.
pub fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(tree, |value, step| value.get(step))
}

/// The text at `path`; empty when absent.
pub fn text<'a>(tree: &'a Value, path: &str) -> &'a str {
    at(tree, path).and_then(Value::as_str).unwrap_or_default()
}

pub fn int(tree: &Value, path: &str) -> Option<i64> {
    at(tree, path).and_then(Value::as_i64)
}

pub fn flag(tree: &Value, path: &str) -> bool {
    at(tree, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of the list at `path`; none when absent.
pub fn list<'a>(tree: &'a Value, path: &str) -> &'a [Value] {
    at(tree, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of the list at `path`.
pub fn texts<'a>(tree: &'a Value, path: &str) -> Vec<&'a str> {
    list(tree, path).iter().filter_map(Value::as_str).collect()
}

pub fn is_set(tree: &Value, path: &str) -> bool {
    at(tree, path).is_some_and(|value| !value.is_null())
}

/// The map at `path`, made when absent. A value of another type is replaced.
pub fn map_mut<'a>(tree: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let mut value = tree;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        value = as_map(value).entry(step).or_insert_with(|| Value::Object(Map::new()));
    }
    as_map(value)
}

/// The list at `path`, made when absent.
pub fn list_mut<'a>(tree: &'a mut Value, path: &str) -> &'a mut Vec<Value> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let slot = map_mut(tree, parent).entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("invariant: the slot was just made a list")
}

pub fn set(tree: &mut Value, path: &str, value: impl Into<Value>) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    map_mut(tree, parent).insert(name.to_owned(), value.into());
}

/// Sets the value where there is none (or null).
pub fn set_default(tree: &mut Value, path: &str, value: impl Into<Value>) {
    if !is_set(tree, path) {
        set(tree, path, value);
    }
}

pub fn remove(tree: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut value = tree;
    for step in parent.split('.').filter(|step| !step.is_empty()) {
        value = value.get_mut(step)?;
    }
    value.as_object_mut()?.remove(name)
}

/// Makes `path` in `tree` what it is in `other`: the same value, or absent.
pub fn copy(tree: &mut Value, other: &Value, path: &str) {
    match at(other, path) {
        Some(value) => set(tree, path, value.clone()),
        None => drop(remove(tree, path)),
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("invariant: the value was just made a map")
}
