//! ReplicaSet: so many pods of one template.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::workload::{self, OVER_REPLICAS, count, negative};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["rs".into()],
        categories: vec!["all".into()],
        generation: true,
        selectable_fields: &["status.replicas"],
        subresources: &[workload::SCALE, Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(validate),
            validate_update: Some(workload::same_selector),
            validate_status: Some(|new, _| validate_status(new)),
            warn: Some(workload::warnings),
            ..Hooks::default()
        },
        ..Resource::of::<ReplicaSet>()
    }
}

const COLUMNS: &[Column] = &[
    Column::integer("Desired", "io.k8s.api.apps.v1.ReplicaSetSpec.replicas", |o, _| count(o, "spec.replicas").into()),
    Column::integer("Current", "io.k8s.api.apps.v1.ReplicaSetStatus.replicas", |o, _| {
        count(o, "status.replicas").into()
    }),
    Column::integer("Ready", "io.k8s.api.apps.v1.ReplicaSetStatus.readyReplicas", |o, _| {
        count(o, "status.readyReplicas").into()
    }),
    Column::age(),
    workload::CONTAINERS,
    workload::IMAGES,
    workload::selector_column("io.k8s.api.apps.v1.ReplicaSetSpec.selector"),
];

pub fn prepare_create(set: &mut Value, _: &HookContext<'_>) {
    tree::set(set, "status", json!({ "replicas": 0 }));
}

fn validate(set: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &set["spec"];
    let mut causes = negative(spec, &path, &["replicas", "minReadySeconds"]);
    causes.extend(workload::selector(spec, &path, "deployment"));
    causes.extend(workload::lasting_template(spec, &path, "ReplicaSet", "invalid label selector"));
    causes
}

/// Also a ReplicationController's.
pub fn validate_status(set: &Value) -> Vec<Cause> {
    workload::status_counts(
        set,
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
        &[
            ("fullyLabeledReplicas", "replicas", OVER_REPLICAS),
            ("readyReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"),
        ],
    )
}
