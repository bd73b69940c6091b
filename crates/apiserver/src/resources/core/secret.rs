//! Secret: data for pods to read and for few others to see.

use api::status::Cause;
use api::validation::Path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::data_rules::{self, DATA_BYTES_MAX};
use crate::causes::{forbidden, invalid_value};
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        selectable_fields: &["type"],
        columns: const {
            &[
                Column::text("Type", "io.k8s.api.core.v1.Secret.type", |o, _| tree::text(o, "type").into()),
                Column::text("Data", "io.k8s.api.core.v1.Secret.data", |o, _| {
                    o.get("data").and_then(Value::as_object).map_or(0, serde_json::Map::len).into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            default: Some(merge_string_data),
            validate: Some(validate),
            validate_update: Some(validate_update),
            ..Hooks::default()
        },
        ..Resource::of::<Secret>()
    }
}

/// `stringData` is for writing only: it lands in `data`.
fn merge_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = tree::remove(secret, "stringData") else { return };
    for (key, value) in plain {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        tree::map_mut(secret, "data").insert(key, encoded.into());
    }
}

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// Types whose one key must hold a JSON object.
const JSON: &[(&str, &str)] =
    &[("kubernetes.io/dockercfg", ".dockercfg"), ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")];

fn validate(secret: &Value) -> Vec<Cause> {
    let kind = tree::text(secret, "type");
    let data = |key: &str| secret.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
    let path = Path::new("data");
    let mut causes = data_rules::keys(secret, "data");
    if data_rules::bytes(secret, "data", true) > DATA_BYTES_MAX {
        causes.push(path.too_long(DATA_BYTES_MAX));
    }
    if let Some((_, key)) = JSON.iter().find(|(of, _)| *of == kind) {
        let at = path.key(key);
        match data(key).map(|text| STANDARD.decode(text).unwrap_or_default()) {
            None => causes.push(at.required("")),
            Some(bytes) => {
                causes.extend(not_an_object(&bytes).map(|why| at.invalid("<secret contents redacted>", &why)))
            }
        }
    }
    match kind {
        "kubernetes.io/service-account-token" => {
            let name = tree::at(secret, "metadata.annotations").and_then(|all| all.get(ACCOUNT_NAME)?.as_str());
            if name.unwrap_or_default().is_empty() {
                causes.push(Path::new("metadata").child("annotations").key(ACCOUNT_NAME).required(""));
            }
        }
        "kubernetes.io/basic-auth" if data("username").is_none() && data("password").is_none() => {
            causes.extend(["username", "password"].map(|key| path.key(key).required("")));
        }
        "kubernetes.io/ssh-auth" if data("ssh-privatekey").unwrap_or_default().is_empty() => {
            causes.push(path.key("ssh-privatekey").required(""));
        }
        "kubernetes.io/tls" => {
            let missing = ["tls.crt", "tls.key"].into_iter().filter(|key| data(key).is_none());
            causes.extend(missing.map(|key| path.key(key).required("")));
        }
        _ => {}
    }
    causes
}

/// What Go's decoder says of bytes that are no JSON object.
fn not_an_object(bytes: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => None,
        Ok(other) => {
            let kind = match other {
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(error) => Some(api::schema::syntax_error(bytes, &error)),
    }
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if new.get("type") != old.get("type") {
        causes.push(invalid_value("type", &new["type"], "field is immutable"));
    }
    if tree::flag(old, "immutable") {
        let why = "field is immutable when `immutable` is set";
        let changed = ["immutable", "data"].into_iter().filter(|field| new.get(field) != old.get(field));
        causes.extend(changed.map(|field| forbidden(field, why)));
    }
    causes
}
