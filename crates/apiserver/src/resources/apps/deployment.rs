//! Deployment: replicas of a pod, rolled from one template to the next.

use api::Gvr;
use serde_json::{Value, json};

use super::workload::{self, count};
use crate::resource::{Column, HookContext, Hooks, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("apps", "v1", "deployments");
    Resource {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        generation: true,
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
                Column::text("Ready", "Number of the pod with ready state", |o, _| {
                    format!("{}/{}", count(o, "status.readyReplicas"), count(o, "spec.replicas")).into()
                }),
                Column::text("Up-to-date", "Pods that have the desired template.", |o, _| {
                    count(o, "status.updatedReplicas").into()
                }),
                Column::text("Available", "Pods available for at least minReadySeconds.", |o, _| {
                    count(o, "status.availableReplicas").into()
                }),
                Column::age(),
                workload::CONTAINERS,
                workload::IMAGES,
                workload::SELECTOR,
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(workload::validate),
            validate_update: Some(workload::validate_update),
            ..Hooks::default()
        },
        ..Resource::new(gvr, "Deployment", "deployment", Scope::Namespaced, "io.k8s.api.apps.v1.Deployment")
    }
}

fn prepare_create(deployment: &mut Value, _: &HookContext<'_>) {
    tree::set(deployment, "status", json!({}));
}

/// Annotations count as wanted: the controller copies them to the ReplicaSets.
fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    let annotations = "metadata.annotations";
    if context.subresource.is_empty() && tree::at(new, annotations) != tree::at(old, annotations) {
        let generation = tree::int(old, "metadata.generation").unwrap_or_default();
        tree::set(new, "metadata.generation", generation + 1);
    }
}
