//! CSINode: the volume drivers that a node has.

use api::Gvr;

use super::rules;
use crate::resource::{Column, Hooks, Resource, Scope};
use crate::resources::cells;

pub fn resource() -> Resource {
    let gvr = Gvr::new("storage.k8s.io", "v1", "csinodes");
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
        ..Resource::new(gvr, "CSINode", "csinode", Scope::Cluster, "io.k8s.api.storage.v1.CSINode")
    }
}
