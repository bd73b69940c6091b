//! Job: pods until so many have succeeded.

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::{job_rules, job_status};
use crate::output::age;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::apps::workload::{self, count};
use crate::tree;

pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
pub const LEGACY_CONTROLLER_UID: &str = "controller-uid";
pub const LEGACY_JOB_NAME: &str = "job-name";

pub fn resource() -> Resource {
    Resource {
        categories: vec!["all".into()],
        generation: true,
        orphans: Some(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
             them or set propagationPolicy=Orphan to suppress this warning",
        ),
        selectable_fields: &["status.successful=status.succeeded"],
        field_refusal: Some("field label \"{}\" not supported for batchv1.Job"),
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            canonicalize: Some(canonicalize),
            validate: Some(job_rules::validate),
            validate_update: Some(job_rules::validate_update),
            validate_status: Some(job_status::validate),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<Job>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Status", "Status of the job.", |o, _| status(o).into()),
    Column::text("Completions", "io.k8s.api.batch.v1.JobStatus.succeeded", |o, _| completions(o).into()),
    Column::text("Duration", "Time required to complete the job.", |o, now| duration(o, now).into()),
    Column::age(),
    workload::CONTAINERS,
    workload::IMAGES,
    workload::selector_column("io.k8s.api.batch.v1.JobSpec.selector"),
];

pub fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = tree::list(job, "status.conditions").iter();
    conditions.into_iter().any(|one| tree::text(one, "type") == kind && tree::text(one, "status") == "True")
}

fn status(job: &Value) -> &'static str {
    if has_condition(job, "Complete") {
        "Complete"
    } else if has_condition(job, "Failed") {
        "Failed"
    } else if tree::is_set(job, "metadata.deletionTimestamp") {
        "Terminating"
    } else if has_condition(job, "Suspended") {
        "Suspended"
    } else if has_condition(job, "FailureTarget") {
        "FailureTarget"
    } else if has_condition(job, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let succeeded = count(job, "status.succeeded");
    match (tree::int(job, "spec.completions"), count(job, "spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, now: jiff::Timestamp) -> String {
    let time = |field: &str| tree::text(job, field).parse::<jiff::Timestamp>().ok();
    let Some(start) = time("status.startTime") else { return String::new() };
    age::duration(time("status.completionTime").unwrap_or(now).as_second() - start.as_second())
}

fn prepare_create(job: &mut Value, _: &HookContext<'_>) {
    tree::set(job, "status", json!({}));
    if !tree::flag(job, "spec.manualSelector") {
        select_own_pods(job);
    }
}

/// Labels the template with the job's name and uid, and selects by the uid. Labels that are there stay, to be refused.
fn select_own_pods(job: &mut Value) {
    let name = tree::text(job, "metadata.name").to_owned();
    let uid = tree::text(job, "metadata.uid").to_owned();
    let labels = tree::map_mut(job, "spec.template.metadata.labels");
    for (label, value) in
        [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)]
    {
        labels.entry(label).or_insert_with(|| value.as_str().into());
    }
    tree::map_mut(job, "spec.selector.matchLabels").entry(CONTROLLER_UID).or_insert_with(|| uid.into());
}

/// A job without labels has those of its template, the generated ones included.
fn canonicalize(job: &mut Value) {
    let has = |job: &Value, path| tree::at(job, path).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    if !has(job, "metadata.labels") && has(job, "spec.template.metadata.labels") {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        tree::set(job, "metadata.labels", labels);
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = workload::name_warning(new, old);
    if old.is_none_or(|old| old["spec"] != new["spec"]) {
        warnings.extend(job_rules::warnings(&new["spec"], "spec"));
    }
    warnings
}
