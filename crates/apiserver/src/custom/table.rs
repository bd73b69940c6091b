//! Printer columns of custom resources: what `kubectl get` shows.

use api::custom::{JsonPath, go_float};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::CustomColumn;
use crate::output::age;
use crate::tree;

/// The columns of a version; without any, the age is shown.
pub fn columns(version: &Value) -> Vec<CustomColumn> {
    let given = tree::list(version, "additionalPrinterColumns");
    let age = json!({
        "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
        "description": "The time since this object was created.",
    });
    let given = if given.is_empty() { std::slice::from_ref(&age) } else { given };
    given.iter().filter_map(column).collect()
}

fn column(column: &Value) -> Option<CustomColumn> {
    let text = |name: &str| tree::text(column, name).to_owned();
    let path = text("jsonPath");
    let description = match tree::text(column, "description") {
        "" => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description.to_owned(),
    };
    Some(CustomColumn {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description,
        priority: tree::int(column, "priority").unwrap_or_default(),
        path: JsonPath::parse(&path)?,
    })
}

impl CustomColumn {
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(value) = self.path.first(object) else { return Value::Null };
        match (self.kind.as_str(), value) {
            ("string", value) => shown(value).into(),
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(_) => value.clone(),
                None => json!(whole(number.as_f64().unwrap_or_default())),
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("date", Value::String(text)) if text.parse::<Timestamp>().is_err() => "<invalid>".into(),
            ("date", Value::String(text)) => age::since(text, now).into(),
            _ => Value::Null,
        }
    }
}

/// Text as Go prints a value.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

fn whole(number: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)] // What is cut is meant to be.
    let cut = number as i64;
    cut
}
