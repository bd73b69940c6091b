//! What a schema's structure asks for besides types: unique items in sets and lists by key, valid embedded objects.

use std::collections::BTreeMap;

use serde_json::{Map as Json, Value};

use crate::schema::{ListKind, Schema, Type};
use crate::status::Cause;
use crate::validation::{Path, meta, name};

/// Items that occur more than once where they may not.
pub fn duplicates(value: &Value, schema: Schema<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (value, schema.ty()) {
        (Value::Object(fields), ty) => {
            for (name, value) in fields {
                if let Some(child) = schema.child(name) {
                    let at = if matches!(ty, Type::Map(_)) { path.key(name) } else { path.child(name) };
                    causes.extend(duplicates(value, child, &at));
                }
            }
        }
        (Value::Array(items), Type::List(list)) => {
            match &list.kind {
                ListKind::Atomic => {}
                ListKind::Set => causes.extend(repeated(items.iter().cloned(), path)),
                ListKind::Map(keys) => {
                    let odd = items.iter().position(|item| !item.is_null() && !item.is_object());
                    if let Some(index) = odd {
                        let why = "must be an object for an array of list-type map";
                        return vec![path.index(index).invalid(items[index].clone(), why)];
                    }
                    causes.extend(repeated(items.iter().map(|item| keys_of(item, keys)), path));
                }
            }
            if let Some(item) = schema.item() {
                for (index, value) in items.iter().enumerate() {
                    causes.extend(duplicates(value, item, &path.index(index)));
                }
            }
        }
        _ => {}
    }
    causes
}

fn keys_of(item: &Value, keys: &[crate::name::Str]) -> Value {
    let found = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
    Value::Object(found.collect::<Json<String, Value>>())
}

/// A value is told once, at its second place.
fn repeated(values: impl Iterator<Item = Value>, path: &Path) -> Vec<Cause> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut causes = Vec::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            causes.push(path.index(index).duplicate(value));
        }
    }
    causes
}

/// Embedded objects must say what they are, and have valid metadata. The root has been checked as every object is.
pub fn embedded(value: &Value, schema: Schema<'_>, path: &Path, root: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    match value {
        Value::Object(fields) => {
            let is_object = schema.as_struct().is_some_and(|of| of.embedded);
            if is_object && !root {
                causes.extend(embedded_object(fields, path));
            }
            for (name, value) in fields {
                if is_object && name == "metadata" {
                    continue;
                }
                if let Some(child) = schema.child(name) {
                    let is_map = matches!(schema.ty(), Type::Map(_));
                    let at = if is_map { path.key(name) } else { path.child(name) };
                    causes.extend(embedded(value, child, &at, false));
                }
            }
        }
        Value::Array(items) => {
            for (item, (index, value)) in schema.item().into_iter().cycle().zip(items.iter().enumerate()) {
                causes.extend(embedded(value, item, &path.index(index), false));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    causes
}

fn embedded_object(fields: &Json<String, Value>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["apiVersion", "kind"] {
        let at = path.child(field);
        match fields.get(field) {
            None => causes.push(at.required("")),
            Some(Value::String(text)) if text.is_empty() => causes.push(at.required("")),
            Some(Value::String(text)) if field == "kind" => {
                let whys = name::dns1035_label(&text.to_lowercase());
                if !whys.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", whys.join(","));
                    causes.push(at.invalid(text.as_str(), &why));
                }
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                causes.push(at.invalid(text.as_str(), &format!("unexpected GroupVersion string: {text}")));
            }
            Some(Value::String(_)) => {}
            Some(other) => causes.push(at.invalid(other.clone(), "must be a string")),
        }
    }
    if let Some(Value::Object(metadata)) = fields.get("metadata") {
        let mut metadata = metadata.clone();
        metadata.entry("name").or_insert_with(|| "fakename".into());
        let namespaced = metadata.get("namespace").is_some_and(|namespace| namespace != "");
        let object = serde_json::json!({ "metadata": metadata });
        let found = meta::object_meta(&object, namespaced, |_| Vec::new());
        causes.extend(found.into_iter().map(|cause| Cause { field: format!("{path}.{}", cause.field), ..cause }));
    }
    causes
}
