//! VolumeAttachment: a volume that shall be, or is, at a node.

use k8s_openapi::api::storage::v1::VolumeAttachment;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        returns_deleted: true,
        status_keeps: &["metadata"],
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Attacher", "io.k8s.api.storage.v1.VolumeAttachmentSpec.attacher", |o, _| {
                    tree::text(o, "spec.attacher").into()
                })
                .name(),
                Column::text("PV", "io.k8s.api.storage.v1.VolumeAttachmentSource.persistentVolumeName", |o, _| {
                    tree::text(o, "spec.source.persistentVolumeName").into()
                }),
                Column::text("Node", "io.k8s.api.storage.v1.VolumeAttachmentSpec.nodeName", |o, _| {
                    tree::text(o, "spec.nodeName").into()
                }),
                Column::boolean("Attached", "io.k8s.api.storage.v1.VolumeAttachmentStatus.attached", |o, _| {
                    tree::flag(o, "status.attached").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(rules::volume_attachment),
            validate_create: Some(rules::volume_attachment_create),
            validate_update: Some(rules::volume_attachment_update),
            ..Hooks::default()
        },
        ..Resource::of::<VolumeAttachment>()
    }
}

fn prepare_create(attachment: &mut Value, _: &HookContext<'_>) {
    tree::set(attachment, "status", json!({}));
}
