//! What a Job's status must be, whoever manages the Job: what the built-in controller relies on when others write it.
//!
//! Most rules are asked only where a write touches what they are about, so that a status that broke one before can be
//! mended step by step.

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use super::indexes;
use super::job::has_condition;
use super::job_rules::indexed;
use crate::resources::apps::workload::{count, negative};
use crate::tree;

const COUNTS: &[&str] = &["active", "succeeded", "failed", "ready", "terminating"];

/// A job with what the rules ask of it.
struct Seen<'a> {
    job: &'a Value,
    status: &'a Value,
    complete: bool,
    failed: bool,
    failure_target: bool,
    success_criteria: bool,
}

impl<'a> Seen<'a> {
    fn of(job: &'a Value) -> Self {
        let has = |kind| has_condition(job, kind);
        Self {
            job,
            status: &job["status"],
            complete: has("Complete"),
            failed: has("Failed"),
            failure_target: has("FailureTarget"),
            success_criteria: has("SuccessCriteriaMet"),
        }
    }

    fn finished(&self) -> bool {
        self.complete || self.failed
    }

    fn text(&self, field: &str) -> &'a str {
        tree::text(self.status, field)
    }

    fn has(&self, field: &str) -> bool {
        tree::is_set(self.status, field)
    }

    fn completions(&self) -> Option<i64> {
        tree::int(self.job, "spec.completions")
    }
}

pub fn validate(new: &Value, old: &Value) -> Vec<Cause> {
    let (new, old) = (Seen::of(new), Seen::of(old));
    let path = Path::new("status");
    let mut causes = negative(new.status, &path, COUNTS);
    causes.extend(uncounted(&new, &path.child("uncountedTerminatedPods")));
    causes.extend(times_and_conditions(&new, &old, &path));
    causes.extend(finished(&new, &old, &path));
    causes.extend(index_sets(&new, &old, &path));
    causes.extend(pods_at_the_end(&new, &old, &path));
    causes.extend(success(&new, &path));
    causes.extend(steps(&new, &old, &path));
    causes
}

fn changed(new: &Seen<'_>, old: &Seen<'_>, field: &str) -> bool {
    let value = |seen: &Seen<'_>| seen.status.get(field).cloned().unwrap_or_default();
    value(new) != value(old)
}

fn uncounted(new: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut seen: Vec<&str> = Vec::new();
    let mut causes = Vec::new();
    for list in ["succeeded", "failed"] {
        for (at, uid) in tree::texts(new.status, &format!("uncountedTerminatedPods.{list}")).into_iter().enumerate() {
            let path = path.child(list).index(at);
            if uid.is_empty() {
                causes.push(path.invalid(uid, "must not be empty"));
            } else if seen.contains(&uid) {
                causes.push(path.duplicate(uid));
            } else {
                seen.push(uid);
            }
        }
    }
    causes
}

fn times_and_conditions(new: &Seen<'_>, old: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (conditions, completion) = (path.child("conditions"), path.child("completionTime"));
    let complete_changed = new.complete != old.complete;
    let failed_changed = new.failed != old.failed;
    let time_changed = changed(new, old, "completionTime");
    if (complete_changed || failed_changed) && new.complete && new.failed {
        causes.push(conditions.invalid_whole("cannot set Complete=True and Failed=true conditions"));
    }
    let target_changed = new.failure_target != old.failure_target;
    if (complete_changed || target_changed) && new.complete && new.failure_target {
        causes.push(conditions.invalid_whole("cannot set Complete=True and FailureTarget=true conditions"));
    }
    let shown = new.text("completionTime");
    if (complete_changed || time_changed) && new.has("completionTime") && !new.complete {
        let why = "cannot set completionTime when there is no Complete=True condition";
        causes.push(completion.invalid(shown, why));
    }
    if (complete_changed || time_changed) && !new.has("completionTime") && new.complete {
        causes.push(completion.required("completionTime is required for Complete jobs"));
    }
    let moment = |field: &str| new.text(field).parse::<jiff::Timestamp>().ok();
    let before = moment("completionTime").zip(moment("startTime")).is_some_and(|(end, start)| end < start);
    if (time_changed || changed(new, old, "startTime")) && before {
        causes.push(completion.invalid(shown, "must be equal to or after `startTime`"));
    }
    if (failed_changed || changed(new, old, "failedIndexes")) && new.failed && !new.failure_target {
        let why = "cannot set Failed=True condition without the FailureTarget=true condition";
        causes.push(conditions.invalid_whole(why));
    }
    let criteria_changed = new.success_criteria != old.success_criteria;
    if (complete_changed || criteria_changed) && new.complete && !new.success_criteria {
        let why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        causes.push(conditions.invalid_whole(why));
    }
    causes
}

fn finished(new: &Seen<'_>, old: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !new.finished() {
        return causes;
    }
    let ended = !old.finished();
    let active = count(new.status, "active");
    if (ended || changed(new, old, "active")) && active > 0 {
        causes.push(path.child("active").invalid(active, "active>0 is invalid for finished job"));
    }
    let never_ran = tree::flag(new.job, "spec.suspend") && new.completions() == Some(0);
    if (ended || changed(new, old, "startTime")) && !never_ran && !new.has("startTime") {
        causes.push(path.child("startTime").required("startTime is required for finished job"));
    }
    let field = "uncountedTerminatedPods";
    let lists = ["succeeded", "failed"].map(|list| tree::list(new.status, &format!("{field}.{list}")).len());
    if (ended || changed(new, old, field)) && lists.iter().sum::<usize>() > 0 {
        let shown = |list: &str| tree::at(new.status, &format!("{field}.{list}")).cloned().unwrap_or_default();
        let shown = format!(r#"{{"Succeeded":{},"Failed":{}}}"#, shown("succeeded"), shown("failed"));
        let why = "uncountedTerminatedPods needs to be empty for finished job";
        causes.push(path.child(field).invalid_shown(&shown, why));
    }
    causes
}

fn index_sets(new: &Seen<'_>, old: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (completed, failed) = (new.text("completedIndexes"), new.status.get("failedIndexes").and_then(Value::as_str));
    let (at_completed, at_failed) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let completed_changed = completed != old.text("completedIndexes");
    let failed_changed = changed(new, old, "failedIndexes");
    let per_index = tree::is_set(new.job, "spec.backoffLimitPerIndex");
    let wrong = |text: &str| new.completions().and_then(|completions| indexes::count(text, completions).err());
    if let Some(why) = wrong(completed).filter(|_| completed_changed) {
        causes.push(at_completed.invalid(completed, &format!("error parsing completedIndexes: {why}")));
    }
    if let Some(failed) = failed.filter(|_| failed_changed && per_index)
        && let Some(why) = wrong(failed)
    {
        causes.push(at_failed.invalid(failed, &format!("error parsing failedIndexes: {why}")));
    }
    if completed_changed && !completed.is_empty() && !indexed(&new.job["spec"]) {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        causes.push(at_completed.invalid(completed, why));
    }
    if let Some(failed) = failed.filter(|_| failed_changed && !per_index) {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        causes.push(at_failed.invalid(failed, why));
    }
    if let (Some(failed), Some(completions)) = (failed, new.completions())
        && (failed_changed || completed_changed)
        && let Some(index) = indexes::overlap(completed, failed, completions)
    {
        let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
        causes.push(at_failed.invalid(failed, &why));
    }
    causes
}

fn pods_at_the_end(new: &Seen<'_>, old: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (terminating, ready) = (count(new.status, "terminating"), tree::int(new.status, "ready"));
    let touched = new.finished() != old.finished() || changed(new, old, "terminating");
    if touched && terminating > 0 && new.finished() {
        causes.push(path.child("terminating").invalid(terminating, "terminating>0 is invalid for finished job"));
    }
    let touched = changed(new, old, "ready") || changed(new, old, "active");
    if let Some(ready) = ready.filter(|ready| touched && *ready > count(new.status, "active")) {
        causes.push(path.child("ready").invalid(ready, "cannot set more ready pods than active"));
    }
    causes
}

fn success(new: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let path = path.child("conditions");
    let mut causes = Vec::new();
    if new.success_criteria && new.failed {
        causes.push(path.invalid_whole("cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if new.success_criteria && new.failure_target {
        causes.push(path.invalid_whole("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
    }
    if tree::is_set(new.job, "spec.successPolicy") && !new.success_criteria && new.complete {
        let why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        causes.push(path.invalid_whole(why));
    }
    causes
}

/// What may not be taken back.
fn steps(new: &Seen<'_>, old: &Seen<'_>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let conditions = path.child("conditions");
    let terminal = [
        ("Failed", old.failed, new.failed),
        ("Complete", old.complete, new.complete),
        ("FailureTarget", old.failure_target, new.failure_target),
    ];
    for (kind, before, now) in terminal {
        if before && !now {
            causes.push(conditions.invalid_whole(&format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    let scales = indexed(&new.job["spec"]) && new.completions() == tree::int(new.job, "spec.parallelism");
    for (field, kept) in [("failed", true), ("succeeded", !scales)] {
        let now = count(new.status, field);
        if kept && now < count(old.status, field) {
            causes.push(path.child(field).invalid(now, &format!("cannot decrease the {field} counter")));
        }
    }
    let field = "completionTime";
    if new.has(field) && old.has(field) && changed(new, old, field) {
        causes.push(path.child(field).invalid(new.text(field), "completionTime cannot be mutated"));
    }
    let resumes = has_condition(old.job, "Suspended") && !has_condition(new.job, "Suspended");
    if old.has("startTime") && changed(new, old, "startTime") && !resumes && !tree::flag(new.job, "spec.suspend") {
        causes.push(path.child("startTime").required("startTime cannot be removed for unsuspended job"));
    }
    if old.success_criteria && !new.success_criteria {
        causes.push(conditions.invalid_whole("cannot disable the SuccessCriteriaMet=True condition"));
    }
    if old.complete && !old.success_criteria && new.success_criteria {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        causes.push(conditions.invalid_whole(why));
    }
    causes
}
