//! What each node of an OpenAPI schema must keep to: what is supported at all, list and map types, validation rules.

use api::status::Cause;
use api::validation::Path;
use serde_json::{Map, Value};

use crate::tree;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Where in the document a schema stands, as far as it matters.
#[derive(Clone, Default)]
struct Place {
    root: bool,
    inside_meta: bool,
    /// Why no default may be here.
    no_defaults: Option<String>,
}

pub fn check(schema: &Value, path: &Path) -> Vec<Cause> {
    visit(schema, path, &Place { root: true, ..Place::default() })
}

fn visit(schema: &Value, path: &Path, place: &Place) -> Vec<Cause> {
    let mut causes = supported(schema, path, place);
    let text = |name: &str| tree::text(schema, name);
    let child = |name: &str| schema.get(name).filter(|child| child.is_object());
    let inner = Place { root: false, ..place.clone() };
    let properties = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty());
    if tree::flag(schema, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(path.child("uniqueItems").forbidden(why));
    }
    if let Some(additional) = schema.get("additionalProperties").filter(|additional| !additional.is_null()) {
        let at = path.child("additionalProperties");
        if properties.is_some() && *additional != Value::Bool(true) {
            causes.push(at.forbidden("additionalProperties and properties are mutual exclusive"));
        }
        let mut inner = inner.clone();
        if inner.inside_meta {
            inner.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        causes
            .extend(child("additionalProperties").map(|additional| visit(additional, &at, &inner)).unwrap_or_default());
    }
    for (name, property) in properties.into_iter().flat_map(Map::iter) {
        let mut inner = inner.clone();
        let embedded = place.root || tree::flag(schema, "x-kubernetes-embedded-resource");
        if embedded && META_FIELDS.contains(&name.as_str()) {
            inner.inside_meta = true;
            if place.root {
                inner.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        causes.extend(visit(property, &path.child("properties").key(name), &inner));
    }
    causes.extend(child("not").map(|not| visit(not, &path.child("not"), &inner)).unwrap_or_default());
    for name in ["allOf", "oneOf", "anyOf"] {
        for (index, clause) in tree::list(schema, name).iter().enumerate() {
            causes.extend(visit(clause, &path.child(name).index(index), &inner));
        }
    }
    match schema.get("items") {
        Some(items @ Value::Object(_)) => causes.extend(visit(items, &path.child("items"), &inner)),
        Some(Value::Array(all)) => {
            for (index, items) in all.iter().enumerate() {
                causes.extend(visit(items, &path.child("items").index(index), &inner));
            }
        }
        _ => {}
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        causes.push(path.child("x-kubernetes-preserve-unknown-fields").invalid(false, "must be true or undefined"));
    }
    if schema.get("x-kubernetes-map-type").is_some_and(Value::is_string) {
        causes.extend(of_type(text("type"), "object", "x-kubernetes-map-type", path));
        if !matches!(text("x-kubernetes-map-type"), "atomic" | "granular") {
            let at = path.child("x-kubernetes-map-type");
            causes.push(at.not_supported(text("x-kubernetes-map-type"), &["atomic", "granular"]));
        }
    }
    causes.extend(list_type(schema, path));
    causes.extend(rules(schema, path));
    causes
}

fn of_type(ty: &str, wanted: &str, extension: &str, path: &Path) -> Option<Cause> {
    let why = format!("must be {wanted} if {extension} is specified");
    match ty {
        _ if ty == wanted => None,
        "" => Some(path.child("type").required(&why)),
        _ => Some(path.child("type").invalid(ty, &why)),
    }
}

/// What the dialect leaves out.
fn supported(schema: &Value, path: &Path, place: &Place) -> Vec<Cause> {
    let mut causes = Vec::new();
    let ty = tree::text(schema, "type");
    if !ty.is_empty() && !TYPES.contains(&ty) {
        causes.push(path.child("type").not_supported(ty, &TYPES));
    }
    if let Some(reason) = &place.no_defaults
        && schema.get("default").is_some_and(|default| !default.is_null())
    {
        causes.push(path.child("default").forbidden(&format!("must not be set {reason}")));
    }
    for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let set = match schema.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Object(fields)) => name == "additionalItems" || !fields.is_empty(),
            Some(_) => true,
        };
        if set {
            causes.push(path.child(name).forbidden(&format!("{name} is not supported")));
        }
    }
    if ty == "null" {
        causes.push(path.child("type").forbidden("type cannot be set to null, use nullable as an alternative"));
    }
    if schema.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
        causes.push(path.child("items").forbidden("items must be a schema object and not an array"));
    }
    if place.inside_meta && tree::flag(schema, "x-kubernetes-embedded-resource") {
        causes.push(path.child("x-kubernetes-embedded-resource").forbidden("must not be used inside of resource meta"));
    }
    causes
}

fn list_type(schema: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    let keys = tree::texts(schema, "x-kubernetes-list-map-keys");
    let (kind_at, keys_at) = (path.child("x-kubernetes-list-type"), path.child("x-kubernetes-list-map-keys"));
    let items = schema.get("items").filter(|items| items.is_object());
    if let Some(kind) = kind {
        let wrong = of_type(tree::text(schema, "type"), "array", "x-kubernetes-list-type", path);
        if wrong.is_none() && kind == "set" {
            causes.extend(items.and_then(|items| set_items(items, path)));
        }
        causes.extend(wrong);
        if !matches!(kind, "atomic" | "set" | "map") {
            causes.push(kind_at.not_supported(kind, &["atomic", "set", "map"]));
        }
    }
    if !keys.is_empty() && kind != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        causes.push(kind.map_or_else(|| kind_at.required(why), |kind| kind_at.invalid(kind, why)));
    }
    if kind == Some("map") {
        if keys.is_empty() {
            causes.push(keys_at.required("must not be empty if x-kubernetes-list-type is map"));
        }
        match (items, schema.get("items")) {
            (Some(items), _) => causes.extend(map_items(items, &keys, path)),
            (None, None | Some(Value::Null)) => {
                causes.push(path.child("items").required("must have a schema if x-kubernetes-list-type is map"));
            }
            (None, Some(other)) => {
                let why = "must only have a single schema if x-kubernetes-list-type is map";
                causes.push(path.child("items").invalid(other.clone(), why));
            }
        }
    }
    if let (Some(kind @ ("set" | "map")), Some(items)) = (kind, items) {
        causes.extend(item_rules(items, kind, &keys, path));
    }
    causes
}

/// Items of a set are compared whole.
fn set_items(items: &Value, path: &Path) -> Option<Cause> {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let at = path.child("items");
    let list_type = items.get("x-kubernetes-list-type").cloned().unwrap_or_default();
    match tree::text(items, "type") {
        "array" if !list_type.is_null() && list_type != "atomic" => {
            Some(at.child("x-kubernetes-list-type").invalid(list_type, why))
        }
        "object" if tree::text(items, "x-kubernetes-map-type") != "atomic" => {
            Some(at.child("x-kubernetes-map-type").invalid(list_type, why))
        }
        _ => None,
    }
}

fn map_items(items: &Value, keys: &[&str], path: &Path) -> Vec<Cause> {
    let at = path.child("items");
    let ty = tree::text(items, "type");
    if ty != "object" {
        return vec![at.child("type").invalid(ty, "must be object if parent array's x-kubernetes-list-type is map")];
    }
    let keys_at = path.child("x-kubernetes-list-map-keys");
    let mut causes = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        match items.get("properties").and_then(|all| all.get(key)) {
            Some(property) if matches!(tree::text(property, "type"), "array" | "object") => {
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                causes.push(at.child("properties").key(key).child("type").invalid(ty, why));
            }
            Some(_) => {}
            None => causes.push(keys_at.invalid(keys.to_vec(), "entries must all be names of item properties")),
        }
        if keys[..index].contains(key) {
            causes.push(keys_at.invalid(keys.to_vec(), "must not contain duplicate entries"));
        }
    }
    causes
}

fn item_rules(items: &Value, kind: &str, keys: &[&str], path: &Path) -> Vec<Cause> {
    let at = path.child("items");
    let mut causes = Vec::new();
    if tree::flag(items, "nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        causes.push(at.child("nullable").forbidden(&why));
    }
    let required = tree::texts(items, "required");
    for key in keys.iter().filter(|_| kind == "map") {
        let Some(property) = items.get("properties").and_then(|all| all.get(key)) else { continue };
        let at = at.child("properties").key(key);
        let why = "this property is in x-kubernetes-list-map-keys, so it";
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            causes.push(at.child("default").required(&format!("{why} must have a default or be a required property")));
        }
        if tree::flag(property, "nullable") {
            causes.push(at.child("nullable").forbidden(&format!("{why} cannot be nullable")));
        }
    }
    causes
}

/// What can be said about x-kubernetes-validations without compiling them.
fn rules(schema: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let broken = |text: &str| text.contains(['\n', '\r']);
    for (index, rule) in tree::list(schema, "x-kubernetes-validations").iter().enumerate() {
        let at = path.child("x-kubernetes-validations").index(index);
        let text = |name: &str| tree::text(rule, name);
        let (expression, message) = (text("rule").trim(), text("message").trim());
        if expression.is_empty() {
            causes.push(at.child("rule").required("rule is not specified"));
        } else if !text("message").is_empty() && message.is_empty() {
            causes.push(at.child("message").invalid(text("message"), "message must be non-empty if specified"));
        } else if broken(message) {
            causes.push(at.child("message").invalid(text("message"), "message must not contain line breaks"));
        } else if broken(expression) && message.is_empty() {
            causes.push(at.child("message").required("message must be specified if rule contains line breaks"));
        }
        if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            causes.push(at.child("messageExpression").required(why));
        }
        if let Some(reason) = rule.get("reason").and_then(Value::as_str).filter(|reason| !REASONS.contains(reason)) {
            causes.push(at.child("reason").not_supported(reason, &REASONS));
        }
        let field = text("fieldPath");
        if !field.is_empty() {
            let at = at.child("fieldPath");
            if field.trim().is_empty() {
                causes.push(at.invalid(field, "fieldPath must be non-empty if specified"));
            }
            if broken(field) {
                causes.push(at.invalid(field, "fieldPath must not contain line breaks"));
            }
            if field_at(schema, field).is_err() {
                causes.push(at.invalid(field, "fieldPath must be a valid path"));
            }
        }
    }
    causes
}

/// The schema at a path such as `.spec.a['b']`, and that path as messages write it (`spec.a[b]`); the error is the reason
/// why there is none.
pub fn field_at<'s>(schema: &'s Value, path: &str) -> Result<(&'s Value, String), String> {
    let mut at = schema;
    let mut written = Path::default();
    let mut rest = path;
    while !rest.is_empty() {
        let (name, after) = if let Some(inner) = rest.strip_prefix("['") {
            inner.split_once("']").ok_or_else(|| "unexpected end of JSON path".to_owned())?
        } else if let Some(inner) = rest.strip_prefix('.') {
            inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
        } else {
            let letter: String = rest.chars().take(1).collect();
            return Err(format!("expected [ or . but got: {letter}"));
        };
        if name.is_empty() {
            return Err("unexpected end of JSON path".to_owned());
        }
        let property = at.get("properties").and_then(|all| all.get(name));
        let entry = at.get("additionalProperties").filter(|additional| additional.is_object());
        written = if property.is_some() { written.child(name) } else { written.key(name) };
        at = property.or(entry).ok_or_else(|| "does not refer to a valid field".to_owned())?;
        rest = after;
    }
    Ok((at, written.to_string()))
}
