//! PersistentVolumeClaim: storage that pods ask for.

use api::validation::Path;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::{persistentvolumeclaim_rules, volume_cells};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::resources::warnings::{CLASS_ANNOTATION, annotation, claim_spec};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["pvc".into()],
        returns_deleted: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Status", "io.k8s.api.core.v1.PersistentVolumeClaimStatus.phase", |o, _| {
                    volume_cells::phase(o)
                }),
                Column::text("Volume", "io.k8s.api.core.v1.PersistentVolumeClaimSpec.volumeName", |o, _| {
                    tree::text(o, "spec.volumeName").into()
                }),
                Column::text("Capacity", "io.k8s.api.core.v1.PersistentVolumeClaimStatus.capacity", |o, _| {
                    bound(o, capacity)
                }),
                Column::text("Access Modes", "io.k8s.api.core.v1.PersistentVolumeClaimStatus.accessModes", |o, _| {
                    bound(o, |o| volume_cells::modes(o, "status.accessModes"))
                }),
                Column::text("StorageClass", "StorageClass of the pvc", |o, _| volume_cells::class(o)),
                Column::text("VolumeAttributesClass", "VolumeAttributesClass of the pvc", |o, _| {
                    cells::text_or(o, "spec.volumeAttributesClassName", cells::UNSET)
                }),
                Column::age(),
                Column::text("VolumeMode", "io.k8s.api.core.v1.PersistentVolumeClaimSpec.volumeMode", |o, _| {
                    cells::text_or(o, "spec.volumeMode", cells::UNSET)
                })
                .wide(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(persistentvolumeclaim_rules::validate),
            validate_update: Some(persistentvolumeclaim_rules::validate_update),
            validate_status: Some(persistentvolumeclaim_rules::validate_status),
            warn: Some(|claim, _| warn(claim)),
            ..Hooks::default()
        },
        ..Resource::of::<PersistentVolumeClaim>()
    }
}

/// What is known of the volume, once there is one.
fn bound(claim: &Value, cell: fn(&Value) -> Value) -> Value {
    if tree::text(claim, "spec.volumeName").is_empty() { "".into() } else { cell(claim) }
}

fn capacity(claim: &Value) -> Value {
    cells::text_or(claim, "status.capacity.storage", "0")
}

fn prepare_create(claim: &mut Value, _: &HookContext<'_>) {
    tree::set(claim, "status", json!({ "phase": "Pending" }));
    volume_cells::both_sources(claim);
}

fn warn(claim: &Value) -> Vec<String> {
    let class = annotation(claim, CLASS_ANNOTATION, &Path::default());
    class.into_iter().chain(claim_spec(&claim["spec"], &Path::new("spec"))).collect()
}
