//! What a Job must be, also as a CronJob's template, and what of it may change.

use api::selector::LabelSelector;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use api::validation::selector::label_selector;
use serde_json::{Map, Value};

use super::job::{CONTROLLER_UID, JOB_NAME, LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME, has_condition};
use super::job_failure;
use crate::resources::apps::workload::{negative, unchanged, unselected};
use crate::resources::core::pod_rules;
use crate::tree;

const PARALLELISM_INDEXED_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions the tracked indexes could grow too long.
const COMPLETIONS_MANY: i64 = 100_000;
const PARALLELISM_OF_MANY_MAX: i64 = 10_000;
const FAILED_INDEXES_OF_MANY_MAX: i64 = 10_000;
const MANAGED_BY_LEN_MAX: usize = 63;

pub fn validate(job: &Value) -> Vec<Cause> {
    let spec = &job["spec"];
    let mut causes = generated_selector(job);
    causes.extend(own_spec(spec));
    if let Some(completions) = indexed(spec).then(|| tree::int(spec, "completions")).flatten().filter(|n| *n > 0) {
        // The pod of the last index has the longest hostname.
        let name = tree::text(job, "metadata.name");
        let last = format!("{name}-{}", completions - 1);
        if !dns1123_label(&last).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {last}");
            causes.push(Path::new("metadata.name").invalid(name, &why));
        }
    }
    causes
}

pub fn indexed(spec: &Value) -> bool {
    tree::text(spec, "completionMode") == "Indexed"
}

/// The labels and the selector that the server made are as it makes them.
fn generated_selector(job: &Value) -> Vec<Cause> {
    if tree::flag(job, "spec.manualSelector") || !tree::is_set(job, "spec.selector") {
        return Vec::new();
    }
    let (name, uid) = (tree::text(job, "metadata.name"), tree::text(job, "metadata.uid"));
    let expected = [(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name), (CONTROLLER_UID, uid), (JOB_NAME, name)];
    let labels = tree::at(job, "spec.template.metadata.labels");
    let path = Path::new("spec.template.metadata.labels");
    let mut causes = Vec::new();
    for (label, wanted) in &expected {
        match labels.and_then(|labels| labels.get(label)).and_then(Value::as_str) {
            None => causes.push(path.key(label).required(&format!("must be '{wanted}'"))),
            Some(found) if found != *wanted => {
                let shown = labels.cloned().unwrap_or(Value::Null);
                causes.push(path.key(label).invalid(shown, &format!("must be '{wanted}'")));
            }
            Some(_) => {}
        }
    }
    let made: Map<String, Value> =
        expected.iter().map(|(label, value)| ((*label).to_owned(), (*value).into())).collect();
    let selector = LabelSelector::from_object(tree::at(job, "spec.selector"));
    if selector.is_ok_and(|selector| !selector.matches_tree(Some(&Value::Object(made)))) {
        causes
            .push(Path::new("spec.selector").invalid(job["spec"]["selector"].clone(), "`selector` not auto-generated"));
    }
    causes
}

/// The spec of a Job, as opposed to that of a CronJob's template, has a selector.
fn own_spec(spec: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let mut causes = template_spec(spec, &path);
    match spec.get("selector").filter(|selector| !selector.is_null()) {
        None => causes.push(path.child("selector").required("")),
        selector => causes.extend(label_selector(selector, &path.child("selector"))),
    }
    if let Ok(selector) = LabelSelector::from_object(spec.get("selector")) {
        causes.extend(unselected(&selector, spec, &path));
    }
    causes
}

const COUNTS: &[&str] = &[
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
];

/// The spec of a Job or of a CronJob's template at `path`.
pub fn template_spec(spec: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = negative(spec, path, COUNTS);
    if tree::is_set(spec, "maxFailedIndexes") && !tree::is_set(spec, "backoffLimitPerIndex") {
        causes.push(path.child("backoffLimitPerIndex").required("when maxFailedIndexes is specified"));
    }
    if let Some(manager) = spec.get("managedBy").and_then(Value::as_str) {
        causes.extend(domain_prefixed_path(manager, &path.child("managedBy")));
        if manager.len() > MANAGED_BY_LEN_MAX {
            causes.push(path.child("managedBy").too_long(MANAGED_BY_LEN_MAX));
        }
    }
    match tree::text(spec, "completionMode") {
        "Indexed" => causes.extend(indexed_limits(spec, path)),
        "NonIndexed" | "" => {}
        other => causes.push(path.child("completionMode").not_supported(other, &["NonIndexed", "Indexed"])),
    }
    if matches!(tree::text(spec, "completionMode"), "NonIndexed" | "") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(number) = tree::int(spec, field) {
                causes.push(path.child(field).invalid(number, "requires indexed completion mode"));
            }
        }
    }
    causes.extend(job_failure::policies(spec, path));
    let none = Value::Null;
    causes.extend(pod_rules::validate_template(spec.get("template").unwrap_or(&none), &path.child("template")));
    causes.extend(restart_policy(spec, &path.child("template").child("spec").child("restartPolicy")));
    causes
}

fn restart_policy(spec: &Value, path: &Path) -> Option<Cause> {
    let failure_policy = tree::is_set(spec, "podFailurePolicy");
    match tree::text(spec, "template.spec.restartPolicy") {
        "" | "Always" => Some(path.required(r#"valid values: "OnFailure", "Never""#)),
        "OnFailure" if failure_policy => {
            Some(path.invalid("OnFailure", r#"only "Never" is supported when podFailurePolicy is specified"#))
        }
        "OnFailure" | "Never" => None,
        other => Some(path.not_supported(other, &["OnFailure", "Never"])),
    }
}

fn indexed_limits(spec: &Value, path: &Path) -> Vec<Cause> {
    let number = |field: &str| tree::int(spec, field);
    let (completions, failed) = (number("completions"), number("maxFailedIndexes"));
    let mut causes = Vec::new();
    let mut at_most = |field: &str, most: i64, when: &str| {
        if let Some(number) = number(field).filter(|number| *number > most) {
            let why = format!("must be less than or equal to {most}{when}");
            causes.push(path.child(field).invalid(number, &why));
        }
    };
    at_most("parallelism", PARALLELISM_INDEXED_MAX, " when completion mode is Indexed");
    at_most("maxFailedIndexes", FAILED_INDEXES_MAX, "");
    let many = completions.is_some_and(|n| n > COMPLETIONS_MANY) && tree::is_set(spec, "backoffLimitPerIndex");
    let split = causes.iter().position(|cause| cause.field.ends_with("maxFailedIndexes")).unwrap_or(causes.len());
    let over_completions = completions.zip(failed).filter(|(completions, failed)| failed > completions);
    if let Some((_, failed)) = over_completions {
        let why = "must be less than or equal to completions";
        causes.insert(split, path.child("maxFailedIndexes").invalid(failed, why));
    }
    if completions.is_none() {
        causes.insert(0, path.child("completions").required("when completion mode is Indexed"));
    }
    if many {
        if failed.is_none() {
            let why = format!("must be specified when completions is above {COMPLETIONS_MANY}");
            causes.push(path.child("maxFailedIndexes").required(&why));
        }
        let when = format!(" when completions are above {COMPLETIONS_MANY} and used with backoff limit per index");
        for (field, most) in
            [("parallelism", PARALLELISM_OF_MANY_MAX), ("maxFailedIndexes", FAILED_INDEXES_OF_MANY_MAX)]
        {
            if let Some(number) = number(field).filter(|number| *number > most) {
                causes.push(path.child(field).invalid(number, &format!("must be less than or equal to {most}{when}")));
            }
        }
    }
    causes
}

/// `acme.io/foo`.
fn domain_prefixed_path(text: &str, path: &Path) -> Vec<Cause> {
    if text.is_empty() {
        return vec![path.required("")];
    }
    let (domain, rest) = match text.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => (domain, rest),
        _ => return vec![path.invalid(text, r#"must be a domain-prefixed path (such as "acme.io/foo")"#)],
    };
    let mut causes = path.invalid_each(domain, dns1123_subdomain(domain));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/%_-.~!$&'()*+,;=:".contains(&byte);
    if !rest.bytes().all(allowed) {
        let why = "Invalid path (e.g. 'acme.io/foo', regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        causes.push(path.invalid(rest, why));
    }
    causes
}

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = own_spec(&new["spec"]);
    let (spec, old_spec) = (&new["spec"], &old["spec"]);
    let (completions, parallelism) = (tree::int(spec, "completions"), tree::int(spec, "parallelism"));
    if !indexed(spec) {
        causes.extend(unchanged(new, old, &["spec.completions"]));
    } else if let Some(now) = completions.filter(|_| completions != tree::int(old_spec, "completions"))
        && parallelism != Some(now)
    {
        let why = "can only be modified in tandem with spec.parallelism";
        causes.push(Path::new("spec.completions").invalid(now, why));
    }
    causes.extend(unchanged(new, old, &["spec.selector"]));
    causes.extend(template_change(new, old));
    const FIXED: &[&str] = &[
        "spec.completionMode",
        "spec.podFailurePolicy",
        "spec.backoffLimitPerIndex",
        "spec.managedBy",
        "spec.successPolicy",
    ];
    causes.extend(unchanged(new, old, FIXED));
    causes
}

/// A job that is suspended and does not run may be told anew where its pods go and what they are given.
fn template_change(new: &Value, old: &Value) -> Vec<Cause> {
    let idle = !tree::is_set(old, "status.startTime") || has_condition(old, "Suspended");
    let suspended = tree::flag(old, "spec.suspend") && idle;
    let template = &new["spec"]["template"];
    let mut allowed = old["spec"]["template"].clone();
    if suspended {
        for field in ["metadata.annotations", "metadata.labels"] {
            tree::copy(&mut allowed, template, field);
        }
        for field in ["nodeSelector", "tolerations", "schedulingGates", "affinity.nodeAffinity"] {
            tree::copy(&mut allowed, template, &format!("spec.{field}"));
        }
        let empty = |map: Option<&Value>| map.and_then(Value::as_object).is_some_and(Map::is_empty);
        if !tree::is_set(template, "spec.affinity") && empty(tree::at(&allowed, "spec.affinity")) {
            tree::remove(&mut allowed, "spec.affinity");
        }
        if tree::is_set(template, "metadata") && !tree::is_set(&allowed, "metadata") {
            tree::set(&mut allowed, "metadata", Value::Object(Map::new()));
        }
        for list in ["spec.containers", "spec.initContainers"] {
            copy_resources(&mut allowed, template, list);
        }
    }
    if *template == allowed {
        return Vec::new();
    }
    let path = if suspended { "spec.template.spec" } else { "spec.template" };
    let shown = if suspended { template["spec"].clone() } else { template.clone() };
    vec![Path::new(path).invalid(shown, "field is immutable")]
}

fn copy_resources(template: &mut Value, other: &Value, list: &str) {
    let others = tree::list(other, list);
    if others.is_empty() || tree::list(template, list).len() != others.len() {
        return;
    }
    for (container, other) in tree::list_mut(template, list).iter_mut().zip(others) {
        if tree::text(container, "name") == tree::text(other, "name") {
            tree::copy(container, other, "resources");
        }
    }
}

pub fn warnings(spec: &Value, path: &str) -> Vec<String> {
    let over = |field: &str, most: i64| tree::int(spec, field).is_some_and(|number| number > most);
    let risky = indexed(spec) && over("completions", COMPLETIONS_MANY) && over("parallelism", PARALLELISM_OF_MANY_MAX);
    let why = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
               Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
    let template = pod_rules::warnings::template(&spec["template"], &Path::new(path).child("template"));
    risky.then(|| format!("{path}: {why}")).into_iter().chain(template).collect()
}
