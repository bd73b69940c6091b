//! Objects of the outside as values: what a schema knows of is seen, under the names that expressions use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::library::time;
use crate::schema::{DYN, Decl, Shape};
use crate::value::{Text, Value};

/// A value of the outside. What does not have the form that its schema asks for is seen as it is.
pub fn value<'a>(json: &'a Json, decl: &'a Decl) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), &decl.shape) {
            (Some(value), Shape::Double) => {
                #[allow(clippy::cast_precision_loss)] // So does upstream.
                let value = value as f64;
                Value::Double(value)
            }
            (Some(value), _) => Value::Int(value),
            (None, _) => match number.as_u64() {
                Some(value) => Value::Uint(value),
                None => Value::Double(number.as_f64().unwrap_or_default()),
            },
        },
        Json::String(text) => self::text(text, decl),
        Json::Array(_) | Json::Object(_) => Value::Data(json, decl),
    }
}

fn text<'a>(text: &'a str, decl: &'a Decl) -> Value<'a> {
    let made = match decl.shape {
        Shape::Bytes => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        Shape::Duration => time::parse_duration(text).map(Value::Duration),
        Shape::Timestamp => text.parse::<Timestamp>().ok().or_else(|| time::parse_date(text)).map(Value::Timestamp),
        _ => None,
    };
    made.unwrap_or(Value::Text(Text::Borrowed(text)))
}

/// An item of a list whose declaration is given.
pub fn item<'a>(json: &'a Json, list: &'a Decl) -> Value<'a> {
    match &list.shape {
        Shape::List { item, .. } => value(json, item),
        _ => value(json, &DYN),
    }
}

/// How many fields expressions see.
pub fn visible(fields: &Map<String, Json>, decl: &Decl) -> usize {
    match &decl.shape {
        Shape::Object(known) => known.values().filter(|field| fields.contains_key(&field.name)).count(),
        _ => fields.len(),
    }
}

pub fn keys<'a>(fields: &'a Map<String, Json>, decl: &'a Decl) -> Vec<Value<'a>> {
    let borrowed = |name: &'a String| Value::Text(Text::Borrowed(name));
    match &decl.shape {
        Shape::Object(known) => {
            let seen = known.iter().filter(|(_, field)| fields.contains_key(&field.name));
            seen.map(|(name, _)| borrowed(name)).collect()
        }
        _ => fields.keys().map(borrowed).collect(),
    }
}

/// A field by the name that expressions use, or an entry by its key.
pub fn field<'a>(fields: &'a Map<String, Json>, decl: &'a Decl, name: &str) -> Option<Value<'a>> {
    match &decl.shape {
        Shape::Object(known) => {
            let field = known.get(name)?;
            Some(value(fields.get(&field.name)?, &field.decl))
        }
        Shape::Map(of) => Some(value(fields.get(name)?, of)),
        _ => Some(value(fields.get(name)?, &DYN)),
    }
}
