//! PersistentVolume: storage that outlives pods.

use api::validation::Path;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use super::pod_rules::warnings::OLD_VOLUMES;
use super::{persistentvolume_rules, volume_cells};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::resources::warnings::{CLASS_ANNOTATION, annotation, node_term};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["pv".into()],
        returns_deleted: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Capacity", "io.k8s.api.core.v1.PersistentVolumeSpec.capacity", |o, _| {
                    tree::text(o, "spec.capacity.storage").into()
                }),
                Column::text("Access Modes", "io.k8s.api.core.v1.PersistentVolumeSpec.accessModes", |o, _| {
                    volume_cells::modes(o, "spec.accessModes")
                }),
                Column::text(
                    "Reclaim Policy",
                    "io.k8s.api.core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy",
                    |o, _| tree::text(o, "spec.persistentVolumeReclaimPolicy").into(),
                ),
                Column::text("Status", "io.k8s.api.core.v1.PersistentVolumeStatus.phase", |o, _| {
                    volume_cells::phase(o)
                }),
                Column::text("Claim", "io.k8s.api.core.v1.PersistentVolumeSpec.claimRef", |o, _| claim(o)),
                Column::text("StorageClass", "StorageClass of the pv", |o, _| volume_cells::class(o)),
                Column::text("VolumeAttributesClass", "VolumeAttributesClass of the pv", |o, _| {
                    cells::text_or(o, "spec.volumeAttributesClassName", cells::UNSET)
                }),
                Column::text("Reason", "io.k8s.api.core.v1.PersistentVolumeStatus.reason", |o, _| {
                    tree::text(o, "status.reason").into()
                }),
                Column::age(),
                Column::text("VolumeMode", "io.k8s.api.core.v1.PersistentVolumeSpec.volumeMode", |o, _| {
                    cells::text_or(o, "spec.volumeMode", cells::UNSET)
                })
                .wide(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(persistentvolume_rules::validate),
            validate_update: Some(persistentvolume_rules::validate_update),
            warn: Some(|volume, _| warn(volume)),
            ..Hooks::default()
        },
        ..Resource::of::<PersistentVolume>()
    }
}

fn claim(volume: &Value) -> Value {
    let Some(claim) = tree::at(volume, "spec.claimRef") else { return "".into() };
    format!("{}/{}", tree::text(claim, "namespace"), tree::text(claim, "name")).into()
}

fn prepare_create(volume: &mut Value, context: &HookContext<'_>) {
    let now = crate::verbs::timestamp(context.now);
    tree::set(volume, "status", json!({ "phase": "Pending", "lastPhaseTransitionTime": now }));
}

/// Whoever changes the phase need not say when.
fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    let (phase, time) = ("status.phase", "status.lastPhaseTransitionTime");
    if context.subresource != "status" || tree::at(new, phase) == tree::at(old, phase) {
        return;
    }
    if tree::at(new, time) == tree::at(old, time) || !tree::is_set(new, time) {
        tree::set(new, time, crate::verbs::timestamp(context.now));
    }
}

fn warn(volume: &Value) -> Vec<String> {
    let path = Path::new("spec");
    let mut warnings: Vec<String> = annotation(volume, CLASS_ANNOTATION, &Path::default()).into_iter().collect();
    if tree::text(volume, "spec.persistentVolumeReclaimPolicy") == "Recycle" {
        let why = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        warnings.push(format!("{}: {why}", path.child("persistentVolumeReclaimPolicy")));
    }
    let at = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
    for (i, term) in tree::list(volume, "spec.nodeAffinity.required.nodeSelectorTerms").iter().enumerate() {
        warnings.extend(node_term(term, false, &at.index(i)));
    }
    for kind in ["cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"] {
        let Some((_, why)) = OLD_VOLUMES.iter().find(|(old, _)| *old == kind) else { continue };
        if tree::is_set(&volume["spec"], kind) {
            warnings.push(format!("{}: {why}", path.child(if kind == "storageos" { "storageOS" } else { kind })));
        }
    }
    warnings
}
