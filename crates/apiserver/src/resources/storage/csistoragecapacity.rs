//! CSIStorageCapacity: how much a driver can still give in one part of the cluster.

use api::validation::Path;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::resources::warnings::node_selector;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        returns_deleted: true,
        columns: const {
            &[
                Column::text(
                    "StorageClassName",
                    "io.k8s.api.storage.v1.CSIStorageCapacity.storageClassName",
                    |o, _| tree::text(o, "storageClassName").into(),
                ),
                Column::text("Capacity", "io.k8s.api.storage.v1.CSIStorageCapacity.capacity", |o, _| {
                    cells::text_or(o, "capacity", cells::UNSET)
                }),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::csi_storage_capacity),
            validate_update: Some(rules::csi_storage_capacity_update),
            warn: Some(|capacity, _| node_selector(capacity.get("nodeTopology"), &Path::new("nodeTopology"))),
            ..Hooks::default()
        },
        ..Resource::of::<CSIStorageCapacity>()
    }
}
