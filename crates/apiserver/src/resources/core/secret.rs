//! Secret: data for pods to read and for few others to see.

use api::Gvr;
use api::status::Cause;
use api::validation::Path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::data_rules::{self, DATA_BYTES_MAX};
use crate::causes::{forbidden, invalid_value, required};
use crate::resource::{Column, Hooks, Resource, Scope};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        selectable_fields: &["type"],
        columns: const {
            &[
                Column::text("Type", "Used to facilitate programmatic handling of secret data.", |o, _| {
                    tree::text(o, "type").into()
                }),
                Column::text("Data", "The number of keys.", |o, _| {
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
        ..Resource::new(
            Gvr::new("", "v1", "secrets"),
            "Secret",
            "secret",
            Scope::Namespaced,
            "io.k8s.api.core.v1.Secret",
        )
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

const DOCKER: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
const TLS: (&str, &[&str]) = ("kubernetes.io/tls", &["tls.crt", "tls.key"]);

fn validate(secret: &Value) -> Vec<Cause> {
    let kind = tree::text(secret, "type");
    let data = |key: &str| secret.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
    let mut causes = data_rules::keys(secret, "data");
    if data_rules::bytes(secret, "data", true) > DATA_BYTES_MAX {
        causes.push(Path::new("data").too_long(DATA_BYTES_MAX));
    }
    if kind == DOCKER.0 {
        let path = format!("data[{}]", DOCKER.1);
        match data(DOCKER.1).map(|text| STANDARD.decode(text).unwrap_or_default()) {
            None => causes.push(required(&path, "")),
            Some(bytes) if serde_json::from_slice::<Value>(&bytes).is_err() => {
                causes.push(invalid_value(&path, &"<secret contents redacted>".into(), "invalid character"));
            }
            Some(_) => {}
        }
    }
    if kind == TLS.0 {
        let missing = TLS.1.iter().filter(|key| data(key).is_none());
        causes.extend(missing.map(|key| required(&format!("data[{key}]"), "")));
    }
    causes
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
