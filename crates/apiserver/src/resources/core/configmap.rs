//! ConfigMap: data for pods to read.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::data_rules::{self, DATA_BYTES_MAX};
use crate::causes::forbidden;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["cm".into()],
        columns: const {
            &[Column::text("Data", "io.k8s.api.core.v1.ConfigMap.data", |object, _| keys(object).into()), Column::age()]
        },
        hooks: Hooks { validate: Some(validate), validate_update: Some(validate_update), ..Hooks::default() },
        ..Resource::of::<ConfigMap>()
    }
}

fn keys(object: &Value) -> usize {
    let count = |field: &str| object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    count("data") + count("binaryData")
}

fn validate(map: &Value) -> Vec<Cause> {
    let mut causes = data_rules::keys(map, "data");
    let both = map["data"].as_object().into_iter().flat_map(serde_json::Map::keys);
    let both = both.filter(|key| map["binaryData"].get(key.as_str()).is_some());
    causes.extend(
        both.map(|key| Path::new("data").key(key).invalid(key.as_str(), "duplicate of key present in binaryData")),
    );
    causes.extend(data_rules::keys(map, "binaryData"));
    if data_rules::bytes(map, "data", false) + data_rules::bytes(map, "binaryData", true) > DATA_BYTES_MAX {
        // Upstream names no field here.
        causes.push(Cause { field: String::new(), ..Path::new("data").too_long(DATA_BYTES_MAX) });
    }
    causes
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    if !tree::flag(old, "immutable") {
        return Vec::new();
    }
    let why = "field is immutable when `immutable` is set";
    let changed = ["immutable", "data", "binaryData"].into_iter().filter(|field| new.get(field) != old.get(field));
    changed.map(|field| forbidden(field, why)).collect()
}
