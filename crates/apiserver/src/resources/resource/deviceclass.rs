//! DeviceClass: devices of one sort, and how they are set up.

use k8s_openapi::api::resource::v1::DeviceClass;

use super::rules;
use crate::resource::{Column, Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        generation: true,
        returns_deleted: true,
        columns: const { &[Column::age()] },
        hooks: Hooks { validate: Some(rules::device_class), ..Hooks::default() },
        ..Resource::of::<DeviceClass>()
    }
}
