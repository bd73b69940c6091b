//! Reasons why an object is refused, by the dotted path of the field.

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

pub fn invalid_value(field: &str, value: &Value, why: &str) -> Cause {
    Path::new(field).invalid(value.clone(), why)
}

pub fn forbidden(field: &str, why: &str) -> Cause {
    Path::new(field).forbidden(why)
}

pub fn required(field: &str, why: &str) -> Cause {
    Path::new(field).required(why)
}

/// `supported` is the list as it is printed: quoted, sorted, with commas.
pub fn unsupported(field: &str, value: &str, supported: &str) -> Cause {
    let message = format!("Unsupported value: {}: supported values: {supported}", api::go::quote(value));
    Cause { reason: "FieldValueNotSupported".to_owned(), message, field: field.to_owned() }
}

pub fn duplicate(field: &str, value: &Value) -> Cause {
    Path::new(field).duplicate(value.clone())
}

pub fn not_found(field: &str, value: &str) -> Cause {
    Path::new(field).not_found(value)
}
