//! Rules for single fields that many kinds have. Each takes the object and the field's dotted path, or a value and its
//! path, and gives the causes in upstream's words.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use crate::tree;

pub fn path(field: &str) -> Path {
    Path::new(field)
}

/// The text at `field`, where there is one, is one of `supported` (in the order in which they are printed).
pub fn one_of(object: &Value, field: &str, supported: &[&str]) -> Vec<Cause> {
    one_of_at(tree::at(object, field), &path(field), supported)
}

/// The field is what it was.
pub fn immutable(new: &Value, old: &Value, field: &str) -> Vec<Cause> {
    if tree::at(new, field) == tree::at(old, field) {
        return Vec::new();
    }
    vec![path(field).invalid(tree::at(new, field).cloned().unwrap_or_default(), "field is immutable")]
}

pub fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}

pub fn quantity_not_negative(value: Option<&Value>, at: &Path) -> Vec<Cause> {
    match value.and_then(quantity) {
        Some(amount) if amount < Quantity::ZERO => {
            vec![at.invalid(amount.to_string(), "must be greater than or equal to 0")]
        }
        _ => Vec::new(),
    }
}

/// A struct as upstream prints it whose internal type has no JSON names: capitalized fields in their order, with what Go
/// writes for those that are not set.
pub fn internal(object: &Value, fields: &[(&str, Value)]) -> String {
    let one = |(name, zero): &(&str, Value)| {
        let known = name.chars().next().map(|first| first.to_lowercase().to_string() + &name[first.len_utf8()..]);
        let known = known.unwrap_or_default();
        let found = object.get(&known).or_else(|| object.get(name.to_lowercase())).unwrap_or(zero);
        format!("{name:?}:{found}")
    };
    format!("{{{}}}", fields.iter().map(one).collect::<Vec<_>>().join(","))
}

/// As [`one_of`], for a value that was found.
pub fn one_of_at(value: Option<&Value>, at: &Path, supported: &[&str]) -> Vec<Cause> {
    match value.and_then(Value::as_str) {
        Some(text) if !supported.contains(&text) => vec![at.not_supported(text, supported)],
        _ => Vec::new(),
    }
}

pub fn quantity_positive(value: &Value, at: &Path) -> Vec<Cause> {
    match quantity(value) {
        Some(amount) if amount <= Quantity::ZERO => vec![at.invalid(amount.to_string(), "must be greater than zero")],
        _ => Vec::new(),
    }
}
