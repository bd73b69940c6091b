//! Defaults must themselves be valid, and have no fields that would be pruned.

use api::custom::CustomSchema;
use api::status::Cause;
use api::validation::Path;
use serde_json::{Map, Value};

use crate::custom::rule_check;
use crate::custom::rules::Node;
use crate::tree;

pub fn check(schema: &Value, path: &Path) -> Vec<Cause> {
    visit(schema, path, true, false)
}

/// `inside_meta`: the schema is of apiVersion, kind or metadata, or below.
fn visit(schema: &Value, path: &Path, root: bool, inside_meta: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let embedded = root || tree::flag(schema, "x-kubernetes-embedded-resource");
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        causes.extend(one(schema, default, &path.child("default"), inside_meta && !embedded));
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        causes.extend(visit(items, &path.child("items"), false, inside_meta && !embedded));
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter) {
        let meta = embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        let inside = meta || (inside_meta && !embedded);
        causes.extend(visit(property, &path.child("properties").key(name), false, inside));
    }
    causes
}

fn one(schema: &Value, default: &Value, path: &Path, inside_meta: bool) -> Vec<Cause> {
    let custom = CustomSchema::of_field(schema);
    let mut causes = Vec::new();
    if !inside_meta {
        let mut pruned = default.clone();
        if !custom.prune(&mut pruned).is_empty() {
            causes.push(path.invalid(default.clone(), "must not have unknown fields"));
        }
    }
    let below = |cause: Cause| {
        let field = match cause.field.as_str() {
            "<nil>" => path.to_string(),
            field => format!("{path}.{field}"),
        };
        Cause { field, ..cause }
    };
    causes.extend(custom.validate(default, None).into_iter().map(below));
    if crate::custom::has_rules(schema)
        && causes.is_empty()
        && let Some(rules) = Node::compile(schema, tree::flag(schema, "x-kubernetes-embedded-resource"))
    {
        causes.extend(rule_check::check(&rules, default, None).causes.into_iter().map(below));
    }
    causes
}
