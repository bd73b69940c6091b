//! ReplicationController: so many pods of one template, in the core group; older than ReplicaSet.

use api::selector::LabelSelector;
use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::core::v1::ReplicationController;
use serde_json::Value;

use super::pod_rules;
use crate::resource::{Column, Hooks, Resource, Subresource};
use crate::resources::apps::replicaset;
use crate::resources::apps::workload::{self, count, negative};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["rc".into()],
        categories: vec!["all".into()],
        generation: true,
        orphans: Some(""),
        selectable_fields: &["status.replicas"],
        subresources: &[workload::SCALE, Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(replicaset::prepare_create),
            validate: Some(validate),
            // Upstream checks an update as a new object and as an update.
            validate_update: Some(|new, _| validate(new)),
            validate_status: Some(|new, _| replicaset::validate_status(new)),
            warn: Some(workload::warnings),
            ..Hooks::default()
        },
        ..Resource::of::<ReplicationController>()
    }
}

const COLUMNS: &[Column] = &[
    Column::integer("Desired", "io.k8s.api.core.v1.ReplicationControllerSpec.replicas", |o, _| {
        count(o, "spec.replicas").into()
    }),
    Column::integer("Current", "io.k8s.api.core.v1.ReplicationControllerStatus.replicas", |o, _| {
        count(o, "status.replicas").into()
    }),
    Column::integer("Ready", "io.k8s.api.core.v1.ReplicationControllerStatus.readyReplicas", |o, _| {
        count(o, "status.readyReplicas").into()
    }),
    Column::age(),
    workload::CONTAINERS,
    workload::IMAGES,
    Column::text("Selector", "io.k8s.api.core.v1.ReplicationControllerSpec.selector", |o, _| {
        workload::labels_text(tree::at(o, "spec.selector")).into()
    })
    .wide(),
];

fn validate(controller: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &controller["spec"];
    let mut causes = negative(spec, &path, &["minReadySeconds"]);
    let labels = spec.get("selector").and_then(Value::as_object).filter(|labels| !labels.is_empty());
    if labels.is_none() {
        causes.push(path.child("selector").required(""));
    }
    causes.extend(negative(spec, &path, &["replicas"]));
    let Some(template) = spec.get("template").filter(|template| !template.is_null()) else {
        causes.push(path.child("template").required(""));
        return causes;
    };
    let pairs = labels.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    let selector = LabelSelector::from_labels(pairs);
    causes.extend(workload::unselected(&selector, spec, &path));
    causes.extend(pod_rules::validate_template(template, &path.child("template")));
    causes.extend(workload::lasting_pod(spec, &path, "ReplicationController"));
    causes
}
