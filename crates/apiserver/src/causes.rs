//! Reasons why an object is refused, in upstream's words.

use api::status::Cause;
use serde_json::Value;

fn cause(reason: &str, field: &str, message: String) -> Cause {
    Cause { reason: reason.to_owned(), message, field: field.to_owned() }
}

pub fn invalid_value(field: &str, value: &Value, why: &str) -> Cause {
    cause("FieldValueInvalid", field, format!("Invalid value: {value}: {why}"))
}

pub fn forbidden(field: &str, why: &str) -> Cause {
    cause("FieldValueForbidden", field, format!("Forbidden: {why}"))
}

pub fn required(field: &str, why: &str) -> Cause {
    let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
    cause("FieldValueRequired", field, message)
}

/// `supported` is the list as it is printed: quoted, sorted, with commas.
pub fn unsupported(field: &str, value: &str, supported: &str) -> Cause {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    cause("FieldValueNotSupported", field, message)
}

pub fn duplicate(field: &str, value: &Value) -> Cause {
    cause("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
}

pub fn not_found(field: &str, value: &str) -> Cause {
    cause("FieldValueNotFound", field, format!("Not found: {value:?}"))
}
