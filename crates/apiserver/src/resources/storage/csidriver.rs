//! CSIDriver: what a volume driver of the cluster can do.

use k8s_openapi::api::storage::v1::CSIDriver;
use serde_json::Value;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        returns_deleted: true,
        columns: const {
            &[
                Column::boolean("AttachRequired", "io.k8s.api.storage.v1.CSIDriverSpec.attachRequired", |o, _| {
                    tree::flag(o, "spec.attachRequired").into()
                }),
                Column::boolean("PodInfoOnMount", "io.k8s.api.storage.v1.CSIDriverSpec.podInfoOnMount", |o, _| {
                    tree::flag(o, "spec.podInfoOnMount").into()
                }),
                Column::boolean("StorageCapacity", "io.k8s.api.storage.v1.CSIDriverSpec.storageCapacity", |o, _| {
                    tree::flag(o, "spec.storageCapacity").into()
                }),
                Column::text("TokenRequests", "io.k8s.api.storage.v1.CSIDriverSpec.tokenRequests", |o, _| audiences(o)),
                Column::boolean(
                    "RequiresRepublish",
                    "io.k8s.api.storage.v1.CSIDriverSpec.requiresRepublish",
                    |o, _| tree::flag(o, "spec.requiresRepublish").into(),
                ),
                Column::text("Modes", "io.k8s.api.storage.v1.CSIDriverSpec.volumeLifecycleModes", |o, _| {
                    cells::joined_or(&tree::texts(o, "spec.volumeLifecycleModes"), cells::NONE)
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::csi_driver),
            validate_update: Some(rules::csi_driver_update),
            ..Hooks::default()
        },
        ..Resource::of::<CSIDriver>()
    }
}

fn audiences(driver: &Value) -> Value {
    let requests = tree::list(driver, "spec.tokenRequests").iter();
    let audiences: Vec<&str> = requests.map(|request| tree::text(request, "audience")).collect();
    cells::joined_or(&audiences, cells::UNSET)
}
