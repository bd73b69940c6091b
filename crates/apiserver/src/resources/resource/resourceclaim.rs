//! ResourceClaim: devices that pods ask for, and those that they were given.

use k8s_openapi::api::resource::v1::ResourceClaim;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        returns_deleted: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[Column::text("State", "Pending, allocated, reserved or deleted.", |o, _| state(o)), Column::age()]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate_create: Some(rules::claim_create),
            validate_update: Some(rules::spec_stays),
            validate_status: Some(rules::claim_status),
            ..Hooks::default()
        },
        ..Resource::of::<ResourceClaim>()
    }
}

fn state(claim: &Value) -> Value {
    let deleted = tree::is_set(claim, "metadata.deletionTimestamp");
    let allocated = tree::is_set(claim, "status.allocation");
    let reserved = allocated && !tree::list(claim, "status.reservedFor").is_empty();
    let words =
        [(deleted, "deleted"), (!allocated && !deleted, "pending"), (allocated, "allocated"), (reserved, "reserved")];
    words.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect::<Vec<_>>().join(",").into()
}

fn prepare_create(claim: &mut Value, _: &HookContext<'_>) {
    tree::set(claim, "status", json!({}));
}
