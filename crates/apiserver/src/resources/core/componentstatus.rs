//! ComponentStatus: how a part of the control plane is, asked anew for every answer ([`crate::components`]).

use k8s_openapi::api::core::v1::ComponentStatus;
use serde_json::Value;

use crate::resource::{Column, Resource, Review};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["cs".into()],
        columns: COLUMNS,
        deprecated: Some("v1 ComponentStatus is deprecated in v1.19+"),
        ..Resource::question::<ComponentStatus>(Review::Components)
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Status", "Status of the component conditions", |object, _| match healthy(object) {
        None => "Unknown".into(),
        Some(condition) if tree::text(condition, "status") == "True" => "Healthy".into(),
        Some(_) => "Unhealthy".into(),
    }),
    Column::text("Message", "Message of the component conditions", |object, _| said(object, "message")),
    Column::text("Error", "Error of the component conditions", |object, _| said(object, "error")),
];

fn healthy(object: &Value) -> Option<&Value> {
    tree::list(object, "conditions").iter().find(|condition| tree::text(condition, "type") == "Healthy")
}

fn said(object: &Value, field: &str) -> Value {
    healthy(object).map_or("", |condition| tree::text(condition, field)).into()
}
