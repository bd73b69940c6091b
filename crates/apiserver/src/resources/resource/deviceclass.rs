//! DeviceClass: devices of one sort, and how they are set up.

use api::Gvr;

use super::rules;
use crate::resource::{Column, Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("resource.k8s.io", "v1", "deviceclasses");
    Resource {
        generation: true,
        returns_deleted: true,
        columns: const { &[Column::age()] },
        hooks: Hooks { validate: Some(rules::device_class), ..Hooks::default() },
        ..Resource::new(gvr, "DeviceClass", "deviceclass", Scope::Cluster, "io.k8s.api.resource.v1.DeviceClass")
    }
}
