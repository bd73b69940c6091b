//! VolumeAttributesClass: properties that a volume may change in its life.

use k8s_openapi::api::storage::v1::VolumeAttributesClass;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["vac".into()],
        returns_deleted: true,
        columns: const {
            &[
                Column::text("DriverName", "io.k8s.api.storage.v1.VolumeAttributesClass.driverName", |o, _| {
                    tree::text(o, "driverName").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::volume_attributes_class),
            validate_update: Some(rules::volume_attributes_class_update),
            ..Hooks::default()
        },
        ..Resource::of::<VolumeAttributesClass>()
    }
}
