//! CSINode: the volume drivers that a node has.

use k8s_openapi::api::storage::v1::CSINode;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        returns_deleted: true,
        columns: const {
            &[
                Column::integer(
                    "Drivers",
                    "Drivers indicates the number of CSI drivers registered on the node",
                    |o, _| cells::count(o, "spec.drivers"),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::csi_node),
            validate_update: Some(rules::csi_node_update),
            ..Hooks::default()
        },
        ..Resource::of::<CSINode>()
    }
}
