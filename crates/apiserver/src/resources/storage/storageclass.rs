//! StorageClass: how volumes of one sort are made.

use api::validation::Path;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::Value;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::warnings::node_label;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["sc".into()],
        returns_deleted: true,
        name_cell: Some(name),
        columns: const {
            &[
                Column::text("Provisioner", "io.k8s.api.storage.v1.StorageClass.provisioner", |o, _| {
                    tree::text(o, "provisioner").into()
                }),
                Column::text("ReclaimPolicy", "io.k8s.api.storage.v1.StorageClass.reclaimPolicy", |o, _| {
                    tree::text(o, "reclaimPolicy").into()
                }),
                Column::text("VolumeBindingMode", "io.k8s.api.storage.v1.StorageClass.volumeBindingMode", |o, _| {
                    tree::text(o, "volumeBindingMode").into()
                }),
                Column::text(
                    "AllowVolumeExpansion",
                    "io.k8s.api.storage.v1.StorageClass.allowVolumeExpansion",
                    |o, _| tree::flag(o, "allowVolumeExpansion").into(),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::storage_class),
            validate_update: Some(rules::storage_class_update),
            warn: Some(|class, _| warn(class)),
            ..Hooks::default()
        },
        ..Resource::of::<StorageClass>()
    }
}

/// The class that claims get which name none says so beside its name.
fn name(class: &Value) -> String {
    let name = tree::text(class, "metadata.name");
    if is_default(class) { format!("{name} (default)") } else { name.to_owned() }
}

pub fn is_default(class: &Value) -> bool {
    let annotations = tree::at(class, "metadata.annotations");
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
        .iter()
        .any(|key| annotations.and_then(|all| all.get(*key)).and_then(Value::as_str) == Some("true"))
}

fn warn(class: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, topology) in tree::list(class, "allowedTopologies").iter().enumerate() {
        let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        for (j, expression) in tree::list(topology, "matchLabelExpressions").iter().enumerate() {
            let why = node_label(tree::text(expression, "key"));
            warnings.extend(why.map(|why| format!("{}: {why}", path.index(j).child("key"))));
        }
    }
    warnings
}
