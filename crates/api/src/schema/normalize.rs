//! The form in which upstream writes an object: what a trip through its Go structs does to it.
//!
//! Unknown fields, nulls and optional zero values go; structs that are values, and required scalars, are written even when
//! empty; quantities and times get their canonical text.

use serde_json::{Map as Json, Value};

use super::{Field, Presence, Schema, Type};
use crate::quantity::Quantity;

/// Brings a tree that decodes cleanly into the form that is stored and sent. Idempotent.
pub fn normalize(value: &mut Value, schema: Schema<'_>) {
    match (schema.ty(), value) {
        (Type::Struct(of), Value::Object(fields)) => {
            if !of.preserve_unknown {
                fields.retain(|name, _| schema.field(name).is_some());
            }
            for field in &of.fields {
                normalize_field(fields, field, schema.part(&field.ty));
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

fn normalize_field(fields: &mut Json<String, Value>, field: &Field, part: Schema<'_>) {
    let name: &str = &field.name;
    if fields.get(name).is_none_or(Value::is_null) {
        fields.remove(name);
        if matches!(field.presence, Presence::Always | Presence::Required)
            && let Some(mut zero) = zero(part, field.presence)
        {
            normalize(&mut zero, part);
            fields.insert(name.to_owned(), zero);
        }
        return;
    }
    let Some(value) = fields.get_mut(name) else { return };
    normalize(value, part);
    match field.presence {
        Presence::Optional if is_zero(value) => drop(fields.remove(name)),
        Presence::Pointer if is_empty(value, part) => drop(fields.remove(name)),
        // An empty list is none at all once it has been through upstream's storage.
        Presence::Always | Presence::Required if is_empty(value, part) => *value = Value::Null,
        Presence::Optional | Presence::Pointer | Presence::Always | Presence::Required | Presence::Verbatim => {}
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
