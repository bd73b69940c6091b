//! Field paths, and one function per kind of cause.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// Where a value is: `spec.containers[0].name`, `spec.resources[storage]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    pub fn new(field: &str) -> Self {
        Self(field.to_owned())
    }

    #[must_use]
    pub fn child(&self, field: &str) -> Self {
        Self(if self.0.is_empty() { field.to_owned() } else { [&self.0, ".", field].concat() })
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    fn cause(&self, reason: &str, message: String) -> Cause {
        let field = if self.0.is_empty() { "<nil>".to_owned() } else { self.0.clone() };
        Cause { reason: reason.to_owned(), message, field }
    }

    pub fn required(&self, why: &str) -> Cause {
        self.cause("FieldValueRequired", with_why("Required value", why))
    }

    /// Strings are quoted, everything else is shown as JSON.
    pub fn invalid(&self, value: impl Into<Value>, why: &str) -> Cause {
        self.cause("FieldValueInvalid", with_why(&format!("Invalid value: {}", shown(&value.into())), why))
    }

    /// As [`Self::invalid`], where upstream shows the value in a form of its own.
    pub fn invalid_shown(&self, shown: &str, why: &str) -> Cause {
        self.cause("FieldValueInvalid", with_why(&format!("Invalid value: {shown}"), why))
    }

    /// A cause without the value.
    pub fn invalid_whole(&self, why: &str) -> Cause {
        self.cause("FieldValueInvalid", with_why("Invalid value", why))
    }

    pub fn type_invalid(&self, value: impl Into<Value>, why: &str) -> Cause {
        self.cause("FieldValueTypeInvalid", with_why(&format!("Invalid value: {}", shown(&value.into())), why))
    }

    pub fn not_supported(&self, value: impl Into<Value>, supported: &[&str]) -> Cause {
        self.not_supported_shown(&shown(&value.into()), supported)
    }

    /// See [`Path::invalid_shown`].
    pub fn not_supported_shown(&self, value: &str, supported: &[&str]) -> Cause {
        let list: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
        let message = if list.is_empty() {
            format!("Unsupported value: {value}")
        } else {
            format!("Unsupported value: {value}: supported values: {}", list.join(", "))
        };
        self.cause("FieldValueNotSupported", message)
    }

    pub fn duplicate(&self, value: impl Into<Value>) -> Cause {
        self.cause("FieldValueDuplicate", format!("Duplicate value: {}", shown(&value.into())))
    }

    pub fn not_found(&self, value: impl Into<Value>) -> Cause {
        self.cause("FieldValueNotFound", format!("Not found: {}", shown(&value.into())))
    }

    pub fn forbidden(&self, why: &str) -> Cause {
        self.cause("FieldValueForbidden", with_why("Forbidden", why))
    }

    pub fn too_long(&self, bytes_max: usize) -> Cause {
        self.cause("FieldValueTooLong", format!("Too long: may not be more than {bytes_max} bytes"))
    }

    pub fn too_many(&self, count: usize, count_max: usize) -> Cause {
        let items = if count_max == 1 { "item" } else { "items" };
        self.cause("FieldValueTooMany", format!("Too many: {count}: must have at most {count_max} {items}"))
    }

    pub fn internal(&self, why: &str) -> Cause {
        self.cause("InternalError", format!("Internal error: {why}"))
    }

    /// One `invalid` for each reason why `value` is wrong.
    pub fn invalid_each(&self, value: &str, whys: Vec<String>) -> Vec<Cause> {
        whys.iter().map(|why| self.invalid(value, why)).collect()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn with_why(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => crate::go::quote(text),
        other => other.to_string(),
    }
}
