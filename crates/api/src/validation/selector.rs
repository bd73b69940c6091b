//! The object form of a label selector, as specs carry it: what it must be.

use serde_json::Value;

use super::cause::Path;
use super::meta::labels;
use super::name::{label_value, qualified_name};
use crate::status::Cause;

/// Nothing is wrong with a selector that is absent.
pub fn label_selector(selector: Option<&Value>, path: &Path) -> Vec<Cause> {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return Vec::new() };
    let mut causes = labels(selector.get("matchLabels"), &path.child("matchLabels"));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    for (at, expression) in expressions.enumerate() {
        causes.extend(requirement(expression, &path.child("matchExpressions").index(at)));
    }
    causes
}

fn requirement(expression: &Value, path: &Path) -> Vec<Cause> {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let values: Vec<&str> =
        expression.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut causes = Vec::new();
    match text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            causes.push(path.child("values").required(why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            causes.push(path.child("values").forbidden(why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => causes.push(path.child("operator").invalid(other, "not a valid selector operator")),
    }
    causes.extend(path.child("key").invalid_each(text("key"), qualified_name(text("key"))));
    for (at, value) in values.iter().enumerate() {
        causes.extend(path.child("values").index(at).invalid_each(value, label_value(value)));
    }
    causes
}
