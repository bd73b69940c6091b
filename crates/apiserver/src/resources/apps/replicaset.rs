//! ReplicaSet: so many pods of one template.

use api::Gvr;
use serde_json::{Value, json};

use super::workload::{self, count};
use crate::resource::{Column, HookContext, Hooks, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("apps", "v1", "replicasets");
    Resource {
        short_names: vec!["rs".into()],
        categories: vec!["all".into()],
        generation: true,
        selectable_fields: &["status.replicas"],
        subresources: &[
            Subresource::Scale {
                spec_replicas: "spec.replicas",
                status_replicas: "status.replicas",
                selector: "spec.selector",
            },
            Subresource::Status,
        ],
        columns: const {
            &[
                Column::integer("Desired", "Replicas is the number of desired pods.", |o, _| {
                    count(o, "spec.replicas").into()
                }),
                Column::integer("Current", "The number of pods.", |o, _| count(o, "status.replicas").into()),
                Column::integer("Ready", "The number of pods that are ready.", |o, _| {
                    count(o, "status.readyReplicas").into()
                }),
                Column::age(),
                workload::CONTAINERS,
                workload::IMAGES,
                workload::SELECTOR,
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(workload::validate),
            validate_update: Some(workload::validate_update),
            ..Hooks::default()
        },
        ..Resource::new(gvr, "ReplicaSet", "replicaset", Scope::Namespaced, "io.k8s.api.apps.v1.ReplicaSet")
    }
}

fn prepare_create(set: &mut Value, _: &HookContext<'_>) {
    tree::set(set, "status", json!({ "replicas": 0 }));
}
