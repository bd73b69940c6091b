//! DaemonSet: a pod on every node that fits.

use api::selector::LabelSelector;
use api::status::Cause;
use api::validation::Path;
use api::validation::number::{at_most_100_percent, nonnegative_or_percent, number_or_percent};
use api::validation::selector::label_selector;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};

use super::workload::{self, count, negative};
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::core::pod_rules;
use crate::tree;

/// Counts the templates. The field that it once was is gone from apps/v1; controllers of older versions read it here.
const GENERATION: &str = "deprecated.daemonset.template.generation";

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ds".into()],
        categories: vec!["all".into()],
        generation: true,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate: Some(validate),
            validate_update: Some(validate_update),
            validate_status: Some(validate_status),
            warn: Some(workload::template_warnings),
            ..Hooks::default()
        },
        ..Resource::of::<DaemonSet>()
    }
}

const COLUMNS: &[Column] = &[
    Column::integer("Desired", "io.k8s.api.apps.v1.DaemonSetStatus.desiredNumberScheduled", |o, _| {
        count(o, "status.desiredNumberScheduled").into()
    }),
    Column::integer("Current", "io.k8s.api.apps.v1.DaemonSetStatus.currentNumberScheduled", |o, _| {
        count(o, "status.currentNumberScheduled").into()
    }),
    Column::integer("Ready", "io.k8s.api.apps.v1.DaemonSetStatus.numberReady", |o, _| {
        count(o, "status.numberReady").into()
    }),
    Column::integer("Up-to-date", "io.k8s.api.apps.v1.DaemonSetStatus.updatedNumberScheduled", |o, _| {
        count(o, "status.updatedNumberScheduled").into()
    }),
    Column::integer("Available", "io.k8s.api.apps.v1.DaemonSetStatus.numberAvailable", |o, _| {
        count(o, "status.numberAvailable").into()
    }),
    Column::text("Node Selector", "io.k8s.api.core.v1.PodSpec.nodeSelector", |o, _| {
        workload::labels_text(tree::at(o, "spec.template.spec.nodeSelector")).into()
    }),
    Column::age(),
    workload::CONTAINERS,
    workload::IMAGES,
    workload::selector_column("io.k8s.api.apps.v1.DaemonSetSpec.selector"),
];

fn annotated(set: &Value) -> i64 {
    let annotations = tree::at(set, "metadata.annotations");
    annotations.and_then(|all| all.get(GENERATION)).and_then(Value::as_str).map_or(0, |text| text.parse().unwrap_or(0))
}

fn annotate(set: &mut Value, generation: i64) {
    tree::map_mut(set, "metadata.annotations").insert(GENERATION.to_owned(), generation.to_string().into());
}

fn default(set: &mut Value) {
    let generation = annotated(set);
    annotate(set, generation);
}

fn prepare_create(set: &mut Value, _: &HookContext<'_>) {
    let status = json!({
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
    });
    tree::set(set, "status", status);
    let generation = annotated(set).max(1);
    annotate(set, generation);
}

fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    let changed = tree::at(new, "spec.template") != tree::at(old, "spec.template");
    let step = i64::from(context.subresource.is_empty() && changed);
    annotate(new, annotated(old) + step);
}

fn validate(set: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &set["spec"];
    let mut causes = label_selector(spec.get("selector"), &path.child("selector"));
    if let Ok(selector) = LabelSelector::from_object(spec.get("selector")) {
        causes.extend(workload::unselected(&selector, spec, &path));
    }
    if let Some(selector) = spec.get("selector").filter(|one| !one.is_null() && workload::selects_all(one)) {
        causes.push(path.child("selector").invalid(selector.clone(), "empty selector is invalid for daemonset"));
    }
    causes.extend(pod_rules::validate_template(&spec["template"], &path.child("template")));
    causes.extend(workload::lasting_pod(spec, &path, "DaemonSet"));
    causes.extend(negative(spec, &path, &["minReadySeconds"]));
    causes.extend(strategy(&spec["updateStrategy"], &path.child("updateStrategy")));
    causes.extend(negative(spec, &path, &["revisionHistoryLimit"]));
    causes
}

fn strategy(strategy: &Value, path: &Path) -> Vec<Cause> {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    match (tree::text(strategy, "type"), rolling) {
        ("OnDelete", _) => Vec::new(),
        ("RollingUpdate", None) => vec![path.child("rollingUpdate").required("")],
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &path.child("rollingUpdate")),
        (other, rolling) => {
            let rolling = rolling.map_or("null".to_owned(), |rolling| {
                format!(r#"{{"MaxUnavailable":{},"MaxSurge":{}}}"#, rolling["maxUnavailable"], rolling["maxSurge"])
            });
            let shown = format!(r#"{{"Type":{other:?},"RollingUpdate":{rolling}}}"#);
            vec![path.not_supported_shown(&shown, &["RollingUpdate", "OnDelete"])]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Vec<Cause> {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let (at_unavailable, at_surge) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut causes: Vec<Cause> = nonnegative_or_percent(unavailable, &at_unavailable).into_iter().collect();
    causes.extend(nonnegative_or_percent(surge, &at_surge));
    causes.extend(at_most_100_percent(unavailable, &at_unavailable));
    causes.extend(at_most_100_percent(surge, &at_surge));
    match (number_or_percent(unavailable) != 0, number_or_percent(surge) != 0) {
        (true, true) => {
            causes.push(at_surge.invalid(surge.clone(), "may not be set when maxUnavailable is non-zero"));
        }
        (false, false) => causes.push(at_unavailable.required("cannot be 0 when maxSurge is 0")),
        (true, false) | (false, true) => {}
    }
    causes
}

/// Upstream checks an update as a new object and as an update, so what is wrong with it is found twice.
fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = validate(new);
    causes.extend(workload::same_selector(new, old));
    causes
}

fn validate_status(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = workload::status_counts(
        new,
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        &[],
    );
    causes.extend(workload::collisions(new, old));
    causes
}
