//! Structural schemas: types are said outside of `allOf`, `anyOf`, `oneOf` and `not`, once, for every field.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>

use api::custom::keywords::compile_pattern;
use api::status::Cause;
use api::validation::Path;
use serde_json::{Map, Value, json};

use crate::tree;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn list<'s>(schema: &'s Value, name: &str) -> &'s [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn object<'s>(schema: &'s Value, name: &str) -> Option<&'s Map<String, Value>> {
    schema.get(name).and_then(Value::as_object).filter(|object| !object.is_empty())
}

/// A schema below this one, where it is a schema.
fn child<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    schema.get(name).filter(|child| child.is_object())
}

/// Why no structural schema can be made at all. These causes are told elsewhere as well, in better words.
pub fn unsupported(schema: &Value) -> Option<String> {
    let set = |name: &str| match schema.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(fields)) => name == "additionalItems" || !fields.is_empty(),
        Some(_) => true,
    };
    let names = [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ];
    if let Some((_, shown)) = names.into_iter().find(|(name, _)| set(name)) {
        return Some(format!("OpenAPIV3Schema '{shown}' is not supported"));
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    if schema.get("items").is_some_and(Value::is_array) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let parts = ["items", "not", "additionalProperties"].into_iter().filter_map(|name| child(schema, name));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(schema, name));
    let properties = object(schema, "properties").into_iter().flat_map(Map::values);
    parts.chain(lists).chain(properties).find_map(unsupported)
}

/// All causes, sorted by their texts.
pub fn check(schema: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = invariants(schema, Level::Root, path);
    causes.extend(completeness(schema, path));
    causes.sort_by_cached_key(|cause| format!("{}: {}", cause.field, cause.message));
    causes
}

fn invariants(schema: &Value, level: Level, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ty = tree::text(schema, "type");
    if ty == "array" && child(schema, "items").is_none() {
        causes.push(path.child("items").required("must be specified"));
    }
    if let Some(items) = child(schema, "items") {
        causes.extend(invariants(items, Level::Item, &path.child("items")));
    }
    for (name, property) in object(schema, "properties").into_iter().flatten() {
        causes.extend(invariants(property, Level::Field, &path.child("properties").key(name)));
    }
    let additional = schema.get("additionalProperties").filter(|additional| !additional.is_null());
    if additional.is_some() && level == Level::Root {
        causes.push(path.child("additionalProperties").forbidden("must not be used at the root"));
    }
    if let Some(additional) = child(schema, "additionalProperties") {
        causes.extend(invariants(additional, Level::Field, &path.child("additionalProperties")));
    }
    causes.extend(extensions(schema, path));
    let any_of = is_int_or_string(list(schema, "anyOf"));
    let all_of = list(schema, "allOf").first().is_some_and(|first| is_int_or_string(list(first, "anyOf")));
    causes.extend(values(schema, any_of, all_of, level, path));
    causes.extend(type_rules(schema, level, path));
    causes.extend(meta(schema, level, path));
    causes
}

fn is_int_or_string(any_of: &[Value]) -> bool {
    any_of == [json!({ "type": "integer" }), json!({ "type": "string" })]
}

fn extensions(schema: &Value, path: &Path) -> Vec<Cause> {
    let why = "must be false if x-kubernetes-int-or-string is true";
    let odd = ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"];
    let odd = odd.into_iter().filter(|name| flag(schema, "x-kubernetes-int-or-string") && flag(schema, name));
    odd.map(|name| path.child(name).invalid(true, why)).collect()
}

fn type_rules(schema: &Value, level: Level, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (ty, at) = (tree::text(schema, "type"), path.child("type"));
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let free = flag(schema, "x-kubernetes-int-or-string") || flag(schema, "x-kubernetes-preserve-unknown-fields");
    if embedded && ty != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        causes.push(if ty.is_empty() { at.required(why) } else { at.invalid(ty, why) });
    } else if ty.is_empty() && !free {
        causes.push(at.required(match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        }));
    }
    if embedded && schema.get("additionalProperties").is_some_and(|additional| !additional.is_null()) {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        causes.push(path.child("additionalProperties").forbidden(why));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        causes.push(at.invalid(ty, "must be object at the root"));
    }
    causes
}

/// What a schema may say about apiVersion, kind and metadata.
fn meta(schema: &Value, level: Level, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let is_object = level == Level::Root || embedded;
    let properties = object(schema, "properties");
    let at = |name: &str| path.child("properties").key(name);
    for name in ["kind", "apiVersion"] {
        if let Some(found) = properties.and_then(|all| all.get(name)).filter(|_| is_object)
            && tree::text(found, "type") != "string"
        {
            causes.push(at(name).child("type").invalid(tree::text(found, "type"), "must be string"));
        }
    }
    if let Some(metadata) = properties.and_then(|all| all.get("metadata")) {
        if is_object && tree::text(metadata, "type") != "object" {
            causes.push(at("metadata").child("type").invalid(tree::text(metadata, "type"), "must be object"));
        }
        if level == Level::Root && !is_plain_metadata(metadata) {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            causes.push(at("metadata").forbidden(why));
        }
    }
    if embedded && !flag(schema, "x-kubernetes-preserve-unknown-fields") && properties.is_none() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        causes.push(path.child("properties").required(why));
    }
    causes
}

fn is_plain_metadata(metadata: &Value) -> bool {
    let names_only = |properties: &Value| {
        let names = properties.as_object().into_iter().flat_map(Map::keys);
        names.into_iter().all(|name| matches!(name.as_str(), "name" | "generateName"))
    };
    metadata.as_object().into_iter().flatten().all(|(name, value)| match name.as_str() {
        "type" | "default" | "externalDocs" | "example" => true,
        "properties" => names_only(value),
        _ => matches!(value, Value::Null | Value::Bool(false)) || *value == "" || *value == json!([]),
    })
}

/// The junctors and the pattern of a schema, nested or not.
fn values(schema: &Value, skip_any_of: bool, skip_first: bool, level: Level, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut each = |name: &str, skip_inside_first: bool| {
        for (index, clause) in list(schema, name).iter().enumerate() {
            causes.extend(nested(clause, skip_inside_first && index == 0, level, &path.child(name).index(index)));
        }
    };
    if !skip_any_of {
        each("anyOf", false);
    }
    each("allOf", skip_first);
    each("oneOf", false);
    if let Some(not) = child(schema, "not") {
        causes.extend(nested(not, false, level, &path.child("not")));
    }
    let pattern = tree::text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(error) = compile_pattern(pattern)
    {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let why = format!("must be a valid regular expression, but isn't: error parsing regexp: {last}");
        causes.push(path.child("pattern").invalid(pattern, &why));
    }
    causes
}

/// Inside of junctors only values may be restricted, not structure told.
fn nested(schema: &Value, skip_any_of: bool, level: Level, path: &Path) -> Vec<Cause> {
    let mut causes = values(schema, skip_any_of, false, level, path);
    if let Some(items) = child(schema, "items") {
        causes.extend(nested(items, false, level, &path.child("items")));
    }
    for (name, property) in object(schema, "properties").into_iter().flatten() {
        causes.extend(nested(property, false, Level::Field, &path.child("properties").key(name)));
    }
    let set = |name: &str| match schema.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => name == "additionalProperties" && schema.get(name).is_some(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    const FORBIDDEN: &[(&str, &str)] = &[
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ];
    causes.extend(FORBIDDEN.iter().filter(|(name, _)| set(name)).map(|(name, why)| path.child(name).forbidden(why)));
    if object(schema, "properties").is_some_and(|all| all.contains_key("metadata")) {
        causes.push(path.child("properties").key("metadata").forbidden("must not be specified in a nested context"));
    }
    causes
}

/// Fields and items that junctors restrict must be told outside as well.
fn completeness(schema: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = complete_values(schema, schema, path, path);
    if let Some(items) = child(schema, "items") {
        causes.extend(completeness(items, &path.child("items")));
    }
    for (name, property) in object(schema, "properties").into_iter().flatten() {
        causes.extend(completeness(property, &path.child("properties").key(name)));
    }
    if let Some(additional) = child(schema, "additionalProperties") {
        causes.extend(completeness(additional, &path.child("additionalProperties")));
    }
    causes
}

/// `at` is where the outer schema stands that `values` restricts.
fn complete_values(values: &Value, schema: &Value, values_path: &Path, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, clause) in list(values, name).iter().enumerate() {
            causes.extend(complete_nested(clause, Some(schema), &values_path.child(name).index(index), at));
        }
    }
    if let Some(not) = child(values, "not") {
        causes.extend(complete_nested(not, Some(schema), &values_path.child("not"), at));
    }
    causes
}

fn complete_nested(clause: &Value, schema: Option<&Value>, path: &Path, at: &Path) -> Vec<Cause> {
    let Some(schema) = schema else {
        return vec![at.required(&format!("because it is defined in {path}"))];
    };
    let mut causes = complete_values(clause, schema, path, at);
    if let Some(items) = child(clause, "items") {
        causes.extend(complete_nested(items, child(schema, "items"), &path.child("items"), &at.child("items")));
    }
    for (name, property) in object(clause, "properties").into_iter().flatten() {
        let outer = object(schema, "properties").and_then(|all| all.get(name));
        let (path, at) = (path.child("properties").key(name), at.child("properties").key(name));
        causes.extend(complete_nested(property, outer, &path, &at));
    }
    causes
}
