//! The form in which upstream writes an object: what a trip through its Go structs does to it.
//!
//! Unknown fields, nulls and optional zero values go; structs that are values, and required scalars, are written even when
//! empty; quantities and times get their canonical text.

use serde_json::{Map as Json, Value};

use super::{Field, Presence, Schema, Type};
use crate::quantity::Quantity;

/// Brings a tree that decodes cleanly into the form that is sent, but for required lists that are empty: whoever gives one
/// owns it, and only [`settle`] makes it null. Idempotent.
pub fn normalize(value: &mut Value, schema: Schema<'_>) {
    match (schema.ty(), value) {
        (Type::Struct(of), Value::Object(fields)) => {
            // One walk over what is there: most fields of most types are absent.
            fields.retain(|name, value| match schema.field(name) {
                Some(field) => stays(value, field, schema.part(&field.ty)),
                None => of.preserve_unknown,
            });
            for field in of.fields.iter().filter(|field| field.presence.is_always()) {
                fill_in(fields, field, schema.part(&field.ty));
            }
        }
        (Type::Map(map), Value::Object(entries)) => {
            let part = schema.part(&map.value);
            for entry in entries.values_mut() {
                fill(entry, part);
                normalize(entry, part);
            }
        }
        (Type::List(list), Value::Array(items)) => {
            let part = schema.part(&list.item);
            for item in items {
                fill(item, part);
                normalize(item, part);
            }
        }
        (Type::Quantity, value) => normalize_quantity(value),
        (Type::Time, Value::String(text)) => replace(text, normalize_time(text, false)),
        (Type::MicroTime, Value::String(text)) => replace(text, normalize_time(text, true)),
        (Type::IntOrString, value @ Value::Number(_)) => whole(value),
        _ => {}
    }
}

/// Normalizes the value of a field; false where it is not written at all.
fn stays(value: &mut Value, field: &Field, part: Schema<'_>) -> bool {
    if value.is_null() {
        return false;
    }
    normalize(value, part);
    match field.presence {
        Presence::Optional => !is_zero(value),
        Presence::Pointer => !is_empty(value, part),
        Presence::Always | Presence::Required | Presence::Verbatim => true,
    }
}

/// An empty list or map in a field that is always written is none at all once it has been through upstream's storage.
pub fn settle(value: &mut Value, schema: Schema<'_>) {
    if holds_empty(value) {
        settle_empty(value, schema);
    }
}

/// Most objects hold none, which is seen without looking at their types.
fn holds_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(holds_empty),
        Value::Object(fields) => fields.is_empty() || fields.values().any(holds_empty),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn settle_empty(value: &mut Value, schema: Schema<'_>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let Some(part) = schema.child(name) else { continue };
                if schema.field(name).is_some_and(|field| field.presence.is_always()) && is_empty(value, part) {
                    *value = Value::Null;
                }
                settle_empty(value, part);
            }
        }
        Value::Array(items) => {
            let Some(part) = schema.item() else { return };
            items.iter_mut().for_each(|item| settle_empty(item, part));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A field that is always written gets its zero value.
fn fill_in(fields: &mut Json<String, Value>, field: &Field, part: Schema<'_>) {
    if !fields.contains_key(&*field.name)
        && let Some(mut zero) = zero(part, field.presence)
    {
        normalize(&mut zero, part);
        fields.insert(field.name.to_string(), zero);
    }
}

/// What Go writes for a field without `omitempty` that nobody set.
fn zero(schema: Schema<'_>, presence: Presence) -> Option<Value> {
    Some(match schema.ty() {
        Type::String => Value::String(String::new()),
        Type::Int32 | Type::Int64 => Value::from(0),
        Type::Bool => Value::Bool(false),
        // creationTimestamp is left out when zero; it is the only value of its type in ObjectMeta.
        Type::Time | Type::MicroTime | Type::List(_) | Type::Map(_) => Value::Null,
        // Structs are values in Go, except for the selectors that the API asks for.
        Type::Struct(of) if presence == Presence::Always || !of.name.ends_with(".LabelSelector") => {
            Value::Object(Json::new())
        }
        Type::Struct(_) | Type::Double | Type::Bytes | Type::Quantity | Type::IntOrString => return None,
        Type::Any | Type::Object | Type::Ref(_) | Type::Builtin(_) => return None,
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// Lists and maps are never pointers: `omitempty` always drops empty ones.
fn is_empty(value: &Value, schema: Schema<'_>) -> bool {
    matches!(schema.ty(), Type::List(_) | Type::Map(_)) && is_zero(value)
}

/// An item or entry that is null reads as the zero value of its type.
fn fill(value: &mut Value, schema: Schema<'_>) {
    if value.is_null()
        && let Some(zero) = zero(schema, Presence::Always)
    {
        *value = zero;
    }
}

fn replace(text: &mut String, canonical: Option<String>) {
    if let Some(canonical) = canonical {
        *text = canonical;
    }
}

fn normalize_quantity(value: &mut Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Ok(quantity) = Quantity::parse(&text) {
        *value = Value::String(quantity.to_string());
    }
}

fn whole(value: &mut Value) {
    if let Some(number) = value.as_f64()
        && value.as_i64().is_none()
        && number.fract() == 0.0
        && number.abs() < 9e15
    {
        #[allow(clippy::cast_possible_truncation)] // A whole number of that size is exact.
        let exact = number as i64;
        *value = Value::from(exact);
    }
}

/// A time as upstream prints it: UTC, whole seconds or six digits. `None` when it is no RFC 3339 time.
pub fn normalize_time(text: &str, micro: bool) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let form = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Some(time.strftime(form).to_string())
}
