//! ResourceSlice: devices that a driver offers.

use k8s_openapi::api::resource::v1::ResourceSlice;

use super::slice_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        returns_deleted: true,
        selectable_fields: &["spec.driver", "spec.nodeName"],
        field_refusal: Some("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}"),
        columns: const {
            &[
                Column::text("Node", "io.k8s.api.resource.v1.ResourceSliceSpec.nodeName", |o, _| {
                    tree::text(o, "spec.nodeName").into()
                }),
                Column::text("Driver", "io.k8s.api.resource.v1.ResourceSliceSpec.driver", |o, _| {
                    tree::text(o, "spec.driver").into()
                }),
                Column::text("Pool", "io.k8s.api.resource.v1.ResourcePool.name", |o, _| {
                    tree::text(o, "spec.pool.name").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(slice_rules::validate),
            validate_update: Some(slice_rules::validate_update),
            ..Hooks::default()
        },
        ..Resource::of::<ResourceSlice>()
    }
}
