//! ResourceQuota: how much a namespace may use in all.

use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};

use super::resourcequota_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["quota".into()],
        returns_deleted: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text(
                    "Request",
                    "Request represents a minimum amount of cpu/memory that a container may consume.",
                    |o, _| used(o, false),
                ),
                Column::text(
                    "Limit",
                    "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
                    |o, _| used(o, true),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(resourcequota_rules::validate),
            validate_update: Some(resourcequota_rules::validate_update),
            validate_status: Some(resourcequota_rules::validate_status),
            ..Hooks::default()
        },
        ..Resource::of::<ResourceQuota>()
    }
}

/// `pods: 1/2, requests.cpu: 0/1`, of the resources that are limits or of all others.
fn used(quota: &Value, limits: bool) -> Value {
    let hard = tree::at(quota, "status.hard").and_then(Value::as_object).into_iter().flatten();
    let mut hard: Vec<_> = hard.filter(|(name, _)| name.starts_with("limits.") == limits).collect();
    hard.sort_by_key(|(name, _)| *name);
    let used = tree::at(quota, "status.used");
    let one = |(name, hard): (&String, &Value)| {
        let used = used.and_then(|used| used.get(name)).and_then(Value::as_str).unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or_default())
    };
    hard.into_iter().map(one).collect::<Vec<_>>().join(", ").into()
}

fn prepare_create(quota: &mut Value, _: &HookContext<'_>) {
    tree::set(quota, "status", json!({}));
}
