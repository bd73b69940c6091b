//! What the stages of a request do differently for a custom resource; each is called by the file of its stage.

use api::custom::decode;
use api::schema::{Decoded, Validation};
use api::status::Cause;
use api::validation::Path;
use api::{Status, schema};
use serde_json::Value;

use super::Custom;
use super::rule_check::{self, Verdict};
use crate::resource::Resource;
use crate::tree;

const SUMMARY_LEN_MAX: usize = 30;
/// Reasons with which rules (x-kubernetes-validations) cannot be asked any more.
const BLOCKING: [&str; 5] =
    ["FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"];
const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation";

impl Custom {
    /// Stage 1: bytes to a tree without unknown fields.
    pub fn decode(&self, resource: &Resource, json: &[u8], validation: Validation) -> Result<Decoded, Status> {
        let kind = &resource.kind;
        let decoded = decode::decode(json, self.schema(), validation)
            .map_err(|why| schema::bad_request(&kind.version, &kind.kind, &kind.kind, &why))?;
        check_type(resource, &decoded.value, json)?;
        Ok(decoded)
    }

    /// The same for what a patch made.
    pub fn decode_tree(&self, resource: &Resource, tree: &Value, validation: Validation) -> Result<Decoded, Status> {
        let kind = &resource.kind;
        decode::decode_tree(tree, self.schema(), validation)
            .map_err(|why| schema::bad_request(&kind.version, &kind.kind, &kind.kind, &why))
    }

    /// Stage 2: nulls and defaults.
    pub fn apply_defaults(&self, object: &mut Value) {
        self.schema().apply_defaults(object);
        normalize(object);
    }

    /// Brings an object from the store, perhaps written under another schema or version, into this version's form.
    pub fn restore(&self, resource: &Resource, object: &mut Value) {
        tree::set(object, "apiVersion", resource.kind.api_version());
        self.schema().prune(object);
        self.schema().apply_defaults(object);
    }

    /// Stage 5: keywords, scale's paths, embedded objects and lists; then the rules, where the rest lets them be asked.
    pub fn validate(&self, object: &Value, old: Option<&Value>, subresource: &str) -> Verdict {
        let mut causes = self.schema().validate(object, old);
        causes.extend(self.validate_scale(object, subresource));
        if subresource != "status" || old.is_some() {
            causes.extend(self.schema().validate_shape(object, old));
        }
        let Some(rules) = self.rules() else { return Verdict { causes, ..Verdict::default() } };
        if causes.iter().any(|cause| BLOCKING.contains(&cause.reason.as_str())) {
            causes.push(Path::default().invalid(Value::Null, UNCHECKED));
            return Verdict { causes, ..Verdict::default() };
        }
        let asked = rule_check::check(rules, object, old);
        causes.extend(asked.causes);
        Verdict { causes, warnings: asked.warnings }
    }

    fn validate_scale(&self, object: &Value, subresource: &str) -> Vec<Cause> {
        let Some(scale) = &self.scale else { return Vec::new() };
        let mut causes = Vec::new();
        for (path, of_status) in [(&scale.spec, false), (&scale.status, true)] {
            if subresource == "status" && !of_status {
                continue;
            }
            let at = Path::new(&format!(".{path}"));
            match tree::at(object, path) {
                None => {}
                Some(value) => match value.as_i64() {
                    Some(replicas) if replicas < 0 => {
                        causes.push(at.invalid(replicas, "should be a non-negative integer"));
                    }
                    Some(replicas) if replicas > i64::from(i32::MAX) => {
                        let why = format!("should be less than or equal to {}", i32::MAX);
                        causes.push(at.invalid(replicas, &why));
                    }
                    Some(_) => {}
                    None => {
                        let why = format!(
                            ".{path} accessor error: {} is of the type {}, expected int64",
                            value,
                            go_type(value)
                        );
                        causes.push(at.invalid(0, &why));
                    }
                },
            }
        }
        causes
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Metadata in the form in which every kind stores it.
pub fn normalize(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata") else { return };
    let mut held = serde_json::json!({ "metadata": metadata.take() });
    schema::normalize(&mut held, decode::holder());
    *metadata = held["metadata"].take();
}

/// An object without types must say what it is.
fn check_type(resource: &Resource, object: &Value, json: &[u8]) -> Result<(), Status> {
    let (kind, wanted) = (tree::text(object, "kind"), &resource.kind);
    let missing = match (kind, tree::text(object, "apiVersion")) {
        ("", _) => "Kind",
        (_, "") => "apiVersion",
        (_, version) if version != wanted.api_version() => {
            let expected = wanted.api_version();
            return Err(Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        (found, _) if *found != *wanted.kind => {
            let cause = crate::causes::invalid_value("kind", &found.into(), &format!("must be {}", wanted.kind));
            return crate::resource::invalid(wanted, tree::text(object, "metadata.name"), vec![cause]);
        }
        _ => return Ok(()),
    };
    let body = String::from_utf8_lossy(json);
    let short: String = body.chars().take(SUMMARY_LEN_MAX).collect();
    let summary = if short.len() < body.len() { format!("{short} ...") } else { short };
    let why = format!("Object '{missing}' is missing in '{body}'");
    Err(Status::bad_request(if missing == "Kind" {
        format!("the object provided is unrecognized (must be of type {}): {why} ({summary})", wanted.kind)
    } else {
        format!("{kind} in version \"\" cannot be handled as a {}: {why}", wanted.kind)
    }))
}
