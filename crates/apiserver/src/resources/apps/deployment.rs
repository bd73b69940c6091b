//! Deployment: replicas of a pod, rolled from one template to the next.

use api::status::Cause;
use api::validation::Path;
use api::validation::number::{at_most_100_percent, nonnegative_or_percent, number_or_percent};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::workload::{self, OVER_REPLICAS, count, negative};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        generation: true,
        status_keeps: &["metadata.labels"],
        subresources: &[workload::SCALE, Subresource::Status],
        columns: const {
            &[
                Column::text("Ready", "Number of the pod with ready state", |o, _| {
                    format!("{}/{}", count(o, "status.readyReplicas"), count(o, "spec.replicas")).into()
                }),
                Column::text("Up-to-date", "io.k8s.api.apps.v1.DeploymentStatus.updatedReplicas", |o, _| {
                    count(o, "status.updatedReplicas").into()
                }),
                Column::text("Available", "io.k8s.api.apps.v1.DeploymentStatus.availableReplicas", |o, _| {
                    count(o, "status.availableReplicas").into()
                }),
                Column::age(),
                workload::CONTAINERS,
                workload::IMAGES,
                workload::selector_column("io.k8s.api.apps.v1.DeploymentSpec.selector"),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(validate),
            validate_update: Some(workload::same_selector),
            validate_status: Some(validate_status),
            warn: Some(workload::warnings),
            ..Hooks::default()
        },
        ..Resource::of::<Deployment>()
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

fn validate(deployment: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &deployment["spec"];
    let mut causes = negative(spec, &path, &["replicas"]);
    causes.extend(workload::selector(spec, &path, "deployment"));
    causes.extend(workload::lasting_template(spec, &path, "ReplicaSet", "invalid label selector"));
    causes.extend(strategy(&spec["strategy"], &path.child("strategy")));
    causes.extend(negative(spec, &path, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]));
    if let Some(deadline) = tree::int(spec, "progressDeadlineSeconds").filter(|d| *d <= count(spec, "minReadySeconds"))
    {
        let why = "must be greater than minReadySeconds";
        causes.push(path.child("progressDeadlineSeconds").invalid(deadline, why));
    }
    causes
}

fn strategy(strategy: &Value, path: &Path) -> Vec<Cause> {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    let at = path.child("rollingUpdate");
    match (tree::text(strategy, "type"), rolling) {
        ("Recreate", None) => Vec::new(),
        ("Recreate", Some(_)) => vec![at.forbidden("may not be specified when strategy `type` is 'Recreate'")],
        ("RollingUpdate", None) => vec![at.required("this should be defaulted and never be nil")],
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &at),
        (other, rolling) => {
            let rolling = rolling.map_or("null".to_owned(), |rolling| {
                format!(r#"{{"MaxUnavailable":{},"MaxSurge":{}}}"#, rolling["maxUnavailable"], rolling["maxSurge"])
            });
            let shown = format!(r#"{{"Type":{other:?},"RollingUpdate":{rolling}}}"#);
            vec![path.not_supported_shown(&shown, &["Recreate", "RollingUpdate"])]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Vec<Cause> {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let at = path.child("maxUnavailable");
    let mut causes: Vec<Cause> = nonnegative_or_percent(unavailable, &at).into_iter().collect();
    causes.extend(nonnegative_or_percent(surge, &path.child("maxSurge")));
    if number_or_percent(unavailable) == 0 && number_or_percent(surge) == 0 {
        causes.push(at.invalid(unavailable.clone(), "may not be 0 when `maxSurge` is 0"));
    }
    causes.extend(at_most_100_percent(unavailable, &at));
    causes
}

fn validate_status(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = workload::status_counts(
        new,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "collisionCount",
        ],
        &[
            ("updatedReplicas", "replicas", OVER_REPLICAS),
            ("readyReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "replicas", OVER_REPLICAS),
            ("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"),
        ],
    );
    causes.extend(workload::collisions(new, old));
    causes
}
