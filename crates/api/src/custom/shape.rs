//! Pruning and defaulting of custom resources: what a schema's structure does to an object.
//!
//! Upstream's rules: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

use serde_json::Value;

use crate::schema::{Schema, Type};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes what the schema does not know. Without a schema no field is known.
pub fn prune(value: &mut Value, schema: Option<Schema<'_>>, at: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let of = schema.and_then(Schema::as_struct);
            let is_map = schema.is_some_and(|schema| matches!(schema.ty(), Type::Map(_)));
            fields.retain(|name, value| {
                if of.is_some_and(|of| of.embedded) && META_FIELDS.contains(&name.as_str()) {
                    return true;
                }
                let child = schema.and_then(|schema| schema.child(name));
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                if child.is_none() && !is_map {
                    let kept = of.is_some_and(|of| of.preserve_unknown);
                    if !kept {
                        unknown.push(path);
                    }
                    return kept;
                }
                prune(value, child, &path, unknown);
                true
            });
        }
        Value::Array(items) => {
            let of = schema.and_then(Schema::as_struct);
            if of.is_some_and(|of| of.preserve_unknown) {
                return;
            }
            let item = schema.and_then(Schema::item);
            for (index, value) in items.iter_mut().enumerate() {
                prune(value, item, &format!("{at}[{index}]"), unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Removes nulls of fields that are not nullable and have no default to take their place.
pub fn prune_nulls(value: &mut Value, schema: Schema<'_>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let field = schema.field(name);
            if value.is_null() && field.is_some_and(|field| !field.nullable && field.default.is_none()) {
                return false;
            }
            if let Some(child) = schema.child(name) {
                prune_nulls(value, child);
            }
            true
        }),
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                items.iter_mut().for_each(|value| prune_nulls(value, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Fills in defaults, and those inside of defaults.
pub fn apply_defaults(value: &mut Value, schema: Schema<'_>) {
    match value {
        Value::Object(fields) => {
            for field in schema.as_struct().into_iter().flat_map(|of| &of.fields) {
                let Some(default) = field.default.as_deref() else { continue };
                let absent = fields.get(&*field.name).is_none_or(|value| value.is_null() && !field.nullable);
                if absent {
                    fields.insert(field.name.to_string(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(child) = schema.child(name) {
                    apply_defaults(value, child);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                items.iter_mut().for_each(|value| apply_defaults(value, item));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
