//! CronJob: a Job at every time of a schedule.

use api::cron;
use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::batch::v1::CronJob;
use serde_json::{Value, json};

use super::job_rules;
use crate::output::age;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::apps::workload::{self, negative};
use crate::resources::cells;
use crate::tree;

/// A job's name is the CronJob's and eleven more characters.
const NAME_LEN_MAX: usize = 63 - 11;
const TEMPLATE: &str = "spec.jobTemplate.spec.template";

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["cj".into()],
        categories: vec!["all".into()],
        generation: true,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate_create: Some(validate_create),
            validate_update: Some(|new, old| spec_causes(new, Some(old))),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<CronJob>()
    }
}

const COLUMNS: &[Column] = &[
    Column::text("Schedule", "io.k8s.api.batch.v1.CronJobSpec.schedule", |o, _| tree::text(o, "spec.schedule").into()),
    Column::text("Timezone", "io.k8s.api.batch.v1.CronJobSpec.timeZone", |o, _| {
        cells::text_or(o, "spec.timeZone", cells::NONE)
    }),
    Column::text("Suspend", "io.k8s.api.batch.v1.CronJobSpec.suspend", |o, _| {
        match tree::at(o, "spec.suspend").and_then(Value::as_bool) {
            None => cells::UNSET,
            Some(true) => "True",
            Some(false) => "False",
        }
        .into()
    }),
    Column::integer("Active", "io.k8s.api.batch.v1.CronJobStatus.active", |o, _| {
        tree::list(o, "status.active").len().into()
    }),
    Column::text("Last Schedule", "io.k8s.api.batch.v1.CronJobStatus.lastScheduleTime", |o, now| {
        let last = tree::text(o, "status.lastScheduleTime");
        if last.is_empty() { cells::NONE.into() } else { age::since(last, now).into() }
    }),
    Column::age(),
    Column::text("Containers", "Names of each container in the template.", |o, _| {
        workload::containers(o, TEMPLATE, "name").into()
    })
    .wide(),
    Column::text("Images", "Images referenced by each container in the template.", |o, _| {
        workload::containers(o, TEMPLATE, "image").into()
    })
    .wide(),
    Column::text("Selector", "io.k8s.api.batch.v1.JobSpec.selector", |o, _| {
        workload::selector_text(tree::at(o, "spec.jobTemplate.spec.selector")).into()
    })
    .wide(),
];

fn prepare_create(job: &mut Value, _: &HookContext<'_>) {
    tree::set(job, "status", json!({}));
}

fn validate_create(job: &Value) -> Vec<Cause> {
    let mut causes = spec_causes(job, None);
    let name = tree::text(job, "metadata.name");
    if name.len() > NAME_LEN_MAX {
        let why = format!("must be no more than {NAME_LEN_MAX} characters");
        causes.push(Path::new("metadata.name").invalid(name, &why));
    }
    causes
}

fn spec_causes(job: &Value, old: Option<&Value>) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &job["spec"];
    let mut causes = schedule(spec, old, &path.child("schedule"));
    causes.extend(negative(spec, &path, &["startingDeadlineSeconds"]));
    let zone = spec.get("timeZone").and_then(Value::as_str);
    if let Some(zone) = zone.filter(|_| old.is_none_or(|old| old["spec"].get("timeZone") != spec.get("timeZone"))) {
        causes.extend(time_zone(zone, &path.child("timeZone")));
    }
    match tree::text(spec, "concurrencyPolicy") {
        "" => causes.push(path.child("concurrencyPolicy").required("")),
        "Allow" | "Forbid" | "Replace" => {}
        other => {
            causes.push(path.child("concurrencyPolicy").not_supported(other, &["Allow", "Forbid", "Replace"]));
        }
    }
    causes.extend(template(&spec["jobTemplate"]["spec"], &path.child("jobTemplate").child("spec")));
    causes.extend(negative(spec, &path, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"]));
    causes
}

/// The selector of the jobs is always made by the server.
fn template(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = job_rules::template_spec(spec, path);
    if let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) {
        causes.push(path.child("selector").invalid(selector.clone(), "`selector` will be auto-generated"));
    }
    if tree::flag(spec, "manualSelector") {
        causes.push(path.child("manualSelector").not_supported(true, &["nil", "false"]));
    }
    causes
}

fn schedule(spec: &Value, old: Option<&Value>, path: &Path) -> Vec<Cause> {
    let text = tree::text(spec, "schedule");
    if text.is_empty() {
        return vec![path.required("")];
    }
    let mut causes: Vec<Cause> =
        cron::Schedule::parse(text).err().map(|why| path.invalid(text, &why)).into_iter().collect();
    if text.contains("TZ") {
        // A schedule that named its zone before this was refused may go on to.
        let kept = old.is_some_and(|old| tree::text(old, "spec.schedule").contains("TZ"));
        if !kept {
            causes.push(path.invalid(text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
        } else if tree::is_set(spec, "timeZone") {
            causes.push(path.invalid(text, "cannot use both timeZone field and TZ or CRON_TZ in schedule"));
        }
    }
    causes
}

fn time_zone(zone: &str, path: &Path) -> Vec<Cause> {
    if zone.is_empty() {
        return vec![path.invalid(zone, "timeZone must be nil or non-empty string")];
    }
    let unknown = format!("unknown time zone {zone}");
    if !zone.split('/').all(is_zone_part) {
        return vec![path.invalid(zone, &unknown)];
    }
    let mut causes = Vec::new();
    if zone.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        causes.push(path.invalid(zone, why));
    }
    // Go knows the zone of the machine as "Local" alone.
    if zone != "Local" && !cron::is_zone(zone) {
        causes.push(path.invalid(zone, &unknown));
    }
    causes
}

/// See <https://data.iana.org/time-zones/theory.html#naming>; digits and plus are in older names.
fn is_zone_part(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    (1..=14).contains(&part.len()) && !matches!(part, "." | "..") && !part.starts_with('-') && part.bytes().all(allowed)
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = workload::name_warning(new, old);
    if old.is_none_or(|old| old["spec"] != new["spec"]) {
        warnings.extend(job_rules::warnings(&new["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec"));
    }
    if tree::text(new, "spec.schedule").contains("TZ") {
        warnings.push(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .to_owned(),
        );
    }
    warnings
}
