//! ConfigMap: data for pods to read.

use api::Gvr;
use serde_json::Value;

use crate::causes::forbidden;
use crate::resource::{Column, Hooks, Resource, Scope};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "configmaps");
    Resource {
        short_names: vec!["cm".into()],
        columns: const { &[Column::text("Data", "The number of keys.", |object, _| keys(object).into()), Column::age()] },
        hooks: Hooks { validate_update: Some(validate_update), ..Hooks::default() },
        ..Resource::new(gvr, "ConfigMap", "configmap", Scope::Namespaced, "io.k8s.api.core.v1.ConfigMap")
    }
}

fn keys(object: &Value) -> usize {
    let count = |field: &str| object.get(field).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    count("data") + count("binaryData")
}

fn validate_update(new: &Value, old: &Value) -> Vec<api::status::Cause> {
    if !tree::flag(old, "immutable") {
        return Vec::new();
    }
    let why = "field is immutable when `immutable` is set";
    let changed = ["immutable", "data", "binaryData"].into_iter().filter(|field| new.get(field) != old.get(field));
    changed.map(|field| forbidden(field, why)).collect()
}
