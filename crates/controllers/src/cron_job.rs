//! CronJob: a Job at each time of a schedule.
//!
//! Nothing is remembered but the status: `lastScheduleTime` says which time was the last to be acted on, and the Job's name
//! holds its time, so that a time is never acted on twice. Semantics:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>, KEP-3140 (time zones).

use api::cron::{self, Schedule};
use api::{Gvr, Key, Object};
use cache::index::BY_CONTROLLER;
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::job::{JOBS, has_condition, is_finished};
use crate::owners::controller_reference;
use crate::tree::{Tree, set, time_text, tree_of, without_nulls};

const CRON_JOBS: Gvr = Gvr::new("batch", "v1", "cronjobs");
/// On a Job: the time that it was made for. What has it was made here.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More times than this in one go make a warning: a clock jumped, or nobody looked for long.
const MISSED_MANY: usize = 100;

pub struct CronJobController;

impl Controller for CronJobController {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(CRON_JOBS, &[]), Interest::new(JOBS, &[BY_CONTROLLER])]
    }

    fn wakes(&self, _snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == CRON_JOBS {
            return change.object().map(Object::key).into_iter().collect();
        }
        let owner = change.object().and_then(|job| Some((job, job.controller()?)));
        let ours = owner.filter(|(_, owner)| &*owner.kind == "CronJob");
        ours.map(|(job, owner)| Key::new(job.namespace(), &owner.name)).into_iter().collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&CRON_JOBS, key) else { return Ok(Plan::nothing()) };
        let children = snapshot.by_index(&JOBS, BY_CONTROLLER.name, object.uid());
        let jobs = children.map(|job| Ok(Child { tree: tree_of(job)?, object: job.clone() }));
        let tree = tree_of(object)?;
        let mut cron = CronJob {
            status: tree.at("status").clone(),
            tree,
            object,
            jobs: jobs.collect::<Result<Vec<_>, PlanError>>()?,
            now,
        };
        let mut plan = Plan::nothing();
        let notes = cron.look_at_jobs();
        plan.steps.extend(notes.into_iter().map(tell));
        plan.steps.extend(cron.surplus());
        if !object.is_deleting() && !cron.tree.flag("spec.suspend") {
            cron.schedule(&mut plan);
        }
        plan.steps.extend(cron.write_status());
        Ok(plan)
    }
}

struct Child {
    object: Object,
    tree: Value,
}

struct CronJob<'a> {
    object: &'a Object,
    tree: Value,
    status: Value,
    jobs: Vec<Child>,
    now: Timestamp,
}

fn tell(note: Note) -> Step {
    Step::from(Action::Tell).done(note)
}

impl CronJob<'_> {
    /// Brings `active` and `lastSuccessfulTime` up to date.
    fn look_at_jobs(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut active = Vec::new();
        for listed in self.status.items("active") {
            let name = listed.text("name");
            match self.jobs.iter().find(|job| job.object.uid() == listed.text("uid")) {
                None => notes.push(Note::normal(self.object, "MissingJob", format!("Active job went missing: {name}"))),
                Some(job) if is_finished(&job.tree) => {
                    let how = if has_condition(&job.tree, "Complete") { "Complete" } else { "Failed" };
                    let message = format!("Saw completed job: {name}, condition: {how}");
                    notes.push(Note::normal(self.object, "SawCompletedJob", message));
                }
                Some(_) => active.push(listed.clone()),
            }
        }
        for job in self.jobs.iter().filter(|job| !is_finished(&job.tree)) {
            if active.iter().any(|listed| listed.text("uid") == job.object.uid()) {
                continue;
            }
            if job.tree.annotation(SCHEDULED).is_some() {
                active.push(reference(&job.object));
            } else {
                let message = format!("Saw a job that the controller did not create or forgot: {}", job.object.name());
                notes.push(Note::warning(self.object, "UnexpectedJob", message));
            }
        }
        let successes = self.jobs.iter().filter(|job| has_condition(&job.tree, "Complete"));
        let last = successes.filter_map(|job| job.tree.time("status.completionTime")).max();
        if last > self.status.time("lastSuccessfulTime") {
            self.status["lastSuccessfulTime"] = json!(last.map(time_text));
        }
        self.status["active"] = Value::Array(active);
        notes
    }

    /// Deletes the oldest finished Jobs beyond the history limits.
    fn surplus(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (limit, condition) in [("successfulJobsHistoryLimit", "Complete"), ("failedJobsHistoryLimit", "Failed")] {
            let Some(limit) = self.tree.at("spec").at(limit).as_u64().and_then(|limit| usize::try_from(limit).ok())
            else {
                continue;
            };
            let mut ended: Vec<&Child> = self.jobs.iter().filter(|job| has_condition(&job.tree, condition)).collect();
            ended.sort_by_key(|job| (job.tree.time("status.startTime"), job.object.key()));
            let surplus = ended.len().saturating_sub(limit);
            steps.extend(ended.into_iter().take(surplus).map(|job| self.delete(&job.object)));
        }
        steps
    }

    fn delete(&self, job: &Object) -> Step {
        let name = job.name();
        let delete = Action::Delete {
            resource: JOBS,
            key: job.key(),
            precondition: Precondition::same(job),
            propagation: Some("Background"),
            grace_period_secs: None,
        };
        Step::from(delete)
            .done(Note::normal(self.object, "SuccessfulDelete", format!("Deleted job {name}")))
            .failed(Note::warning(self.object, "FailedDelete", format!("Deleted job: {name}")))
    }

    /// When it is to run, or the reason and message of the event that tells why nobody knows.
    fn times(&self) -> Result<(Schedule, TimeZone), (&'static str, String)> {
        let (name, text) = (self.tree.text("spec.timeZone"), self.tree.text("spec.schedule"));
        let zone = cron::zone(name)
            .ok_or_else(|| ("UnknownTimeZone", format!("invalid timeZone: {name:?}: unknown time zone {name}")))?;
        let times = Schedule::parse(text)
            .map_err(|why| ("UnparseableSchedule", format!("unparseable schedule: {text:?} : {why}")))?;
        Ok((times, zone))
    }

    /// Starts a Job if it is time, and says when the next is due.
    fn schedule(&mut self, plan: &mut Plan) {
        let (times, zone) = match self.times() {
            Ok(known) => known,
            Err((reason, message)) => return plan.push(tell(Note::warning(self.object, reason, message))),
        };
        plan.wake_at = times.next(self.now, &zone);
        let Some(due) = self.due(&times, &zone, plan) else { return };
        let name = format!("{}-{}", self.object.name(), due.as_second() / 60);
        if let Some(job) = self.jobs.iter().find(|job| job.object.name() == name) {
            // It was made, and the status was not written then.
            let is_made = job.tree.annotation(SCHEDULED).is_some();
            return if is_made {
                self.status["lastScheduleTime"] = json!(time_text(due))
            };
        }
        let active = self.status.items("active");
        match self.tree.text("spec.concurrencyPolicy") {
            "Forbid" if !active.is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                plan.push(tell(Note::normal(self.object, "JobAlreadyActive", message)));
                return;
            }
            "Replace" => {
                let is_active = |job: &&Child| active.iter().any(|listed| listed.text("uid") == job.object.uid());
                plan.steps.extend(self.jobs.iter().filter(is_active).map(|job| self.delete(&job.object)));
                self.status["active"] = json!([]);
            }
            _ => {}
        }
        plan.push(self.create(&name, due, &zone));
        self.status["lastScheduleTime"] = json!(time_text(due));
    }

    /// The last time of the schedule that has come and was not acted on, unless it is too late for it.
    fn due(&self, times: &Schedule, zone: &TimeZone, plan: &mut Plan) -> Option<Timestamp> {
        let created = self.object.meta().creation_timestamp.unwrap_or(self.now);
        let mut since = self.status.time("lastScheduleTime").unwrap_or(created);
        let deadline = self.tree.at("spec.startingDeadlineSeconds").as_i64().map(SignedDuration::from_secs);
        if let Some(earliest) = deadline.and_then(|deadline| self.now.checked_sub(deadline).ok()) {
            since = since.max(earliest);
        }
        let (due, is_many) = times.latest(since, self.now, zone, MISSED_MANY)?;
        if is_many && deadline.is_none() {
            let message =
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            plan.push(tell(Note::warning(self.object, "TooManyMissedTimes", message)));
        }
        Some(due)
    }

    fn create(&self, name: &str, due: Timestamp, zone: &TimeZone) -> Step {
        let template = self.tree.at("spec.jobTemplate");
        let mut object = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "labels": template.at("metadata.labels"),
                "annotations": template.at("metadata.annotations"),
                "ownerReferences": [controller_reference(self.object)],
            },
            "spec": template.at("spec"),
        });
        let local = due.to_zoned(zone.clone());
        let offset = if zone == &TimeZone::UTC { "Z".to_owned() } else { local.strftime("%:z").to_string() };
        object["metadata"]["annotations"][SCHEDULED] =
            json!(format!("{}{offset}", local.strftime("%Y-%m-%dT%H:%M:%S")));
        let create = Action::Create {
            resource: JOBS,
            namespace: self.object.namespace().into(),
            object: without_nulls(&object),
        };
        Step::from(create)
            .done(Note::normal(self.object, "SuccessfulCreate", format!("Created job {name}")))
            .failed(Note::warning(self.object, "FailedCreate", "Error creating job: {error}"))
    }

    fn write_status(mut self) -> Option<Step> {
        if self.status.items("active").is_empty()
            && let Some(fields) = self.status.as_object_mut()
        {
            fields.remove("active");
        }
        let old = self.tree.at("status");
        if *old == self.status || (old.is_null() && self.status == json!({})) {
            return None;
        }
        let mut object = self.tree.clone();
        set(&mut object, "status", self.status);
        let key = self.object.key();
        Some(Action::Update { resource: CRON_JOBS, key, subresource: "status".into(), object }.into())
    }
}

fn reference(job: &Object) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job.name(),
        "namespace": job.namespace(),
        "resourceVersion": job.revision().to_string(),
        "uid": job.uid(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::CronJobController;
    use crate::testing::plan;

    const OWNED: &str =
        "ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: tidy, uid: uid-tidy, controller: true}]";

    fn cron(spec: &str, status: &str) -> String {
        format!(
            "
apiVersion: batch/v1
kind: CronJob
metadata: {{name: tidy, namespace: shop, creationTimestamp: '2026-01-01T11:00:00Z'}}
spec: {{{spec}, jobTemplate: {{metadata: {{labels: {{a: b}}}}, spec: {{parallelism: 1}}}}}}
status: {{{status}}}"
        )
    }

    fn job(name: &str, meta: &str, status: &str) -> String {
        format!(
            "\n---\napiVersion: batch/v1
kind: Job
metadata: {{name: {name}, namespace: shop, {OWNED}, {meta}}}
spec: {{}}
status: {{{status}}}"
        )
    }

    fn check(yaml: &str, expected: Expect) {
        expected.assert_eq(&plan(&CronJobController, yaml, "shop/tidy"));
    }

    const OURS: &str = "annotations: {batch.kubernetes.io/cronjob-scheduled-timestamp: '2026-01-01T11:50:00Z'}";
    const LAST: &str = "lastScheduleTime: '2026-01-01T11:50:00Z'";
    const ACTIVE: &str = "active: [{name: tidy-old, uid: uid-tidy-old}], lastScheduleTime: '2026-01-01T11:50:00Z'";

    #[test]
    fn a_job_is_made_for_the_last_time_that_has_come() {
        check(
            &cron("schedule: '5-59/7 * * * *'", LAST),
            expect![[r#"
                create jobs.batch in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T11:54:00Z"},"labels":{"a":"b"},"name":"tidy-29454474","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"CronJob","name":"tidy","uid":"uid-tidy"}]},"spec":{"parallelism":1}}
                  then SuccessfulCreate: Created job tidy-29454474
                  else Warning FailedCreate: Error creating job: {error}
                update cronjobs.batch shop/tidy status
                  status.lastScheduleTime: "2026-01-01T11:50:00Z" -> "2026-01-01T11:54:00Z"
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
        check(
            &cron("schedule: '5-59/7 * * * *', timeZone: Asia/Kolkata", LAST),
            expect![[r#"
                create jobs.batch in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T17:26:00+05:30"},"labels":{"a":"b"},"name":"tidy-29454476","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"CronJob","name":"tidy","uid":"uid-tidy"}]},"spec":{"parallelism":1}}
                  then SuccessfulCreate: Created job tidy-29454476
                  else Warning FailedCreate: Error creating job: {error}
                update cronjobs.batch shop/tidy status
                  status.lastScheduleTime: "2026-01-01T11:50:00Z" -> "2026-01-01T11:56:00Z"
                wake at 2026-01-01T12:03:00Z
            "#]],
        );
        check(
            &cron("schedule: '5-59/7 * * * *'", "lastScheduleTime: '2026-01-01T11:54:00Z'"),
            expect![[r#"
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
        check(
            &cron("schedule: '5-59/7 * * * *', suspend: true", LAST),
            expect![[r#"
            nothing
        "#]],
        );
    }

    #[test]
    fn a_job_that_was_made_before_a_crash_is_not_made_twice() {
        let made = job("tidy-29454474", OURS, "");
        check(
            &(cron("schedule: '5-59/7 * * * *'", LAST) + &made),
            expect![[r#"
                update cronjobs.batch shop/tidy status
                  status.active: null -> [{"apiVersion":"batch/v1","kind":"Job","name":"tidy-29454474","namespace":"shop","resourceVersion":"2","uid":"uid-tidy-29454474"}]
                  status.lastScheduleTime: "2026-01-01T11:50:00Z" -> "2026-01-01T11:54:00Z"
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
    }

    #[test]
    fn a_time_beyond_the_starting_deadline_is_let_go() {
        check(
            &cron("schedule: '5-59/7 * * * *', startingDeadlineSeconds: 60", LAST),
            expect![[r#"
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
    }

    #[test]
    fn a_running_job_forbids_the_next_or_is_replaced_by_it() {
        let old = job("tidy-old", OURS, "");
        check(
            &(cron("schedule: '5-59/7 * * * *', concurrencyPolicy: Forbid", ACTIVE) + &old),
            expect![[r#"
                tell
                  then JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
        check(
            &(cron("schedule: '5-59/7 * * * *', concurrencyPolicy: Replace", ACTIVE) + &old),
            expect![[r#"
                delete jobs.batch shop/tidy-old Background
                  then SuccessfulDelete: Deleted job tidy-old
                  else Warning FailedDelete: Deleted job: tidy-old
                create jobs.batch in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T11:54:00Z"},"labels":{"a":"b"},"name":"tidy-29454474","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"CronJob","name":"tidy","uid":"uid-tidy"}]},"spec":{"parallelism":1}}
                  then SuccessfulCreate: Created job tidy-29454474
                  else Warning FailedCreate: Error creating job: {error}
                update cronjobs.batch shop/tidy status
                  status.active: [{"name":"tidy-old","uid":"uid-tidy-old"}] -> null
                  status.lastScheduleTime: "2026-01-01T11:50:00Z" -> "2026-01-01T11:54:00Z"
                wake at 2026-01-01T12:05:00Z
            "#]],
        );
    }

    #[test]
    fn finished_jobs_leave_the_list_and_beyond_the_limit_they_go() {
        let done = |name: &str, minute: u8| {
            job(
                name,
                OURS,
                &format!(
                    "startTime: '2026-01-01T11:{minute}:00Z', completionTime: '2026-01-01T11:{minute}:30Z', \
                     conditions: [{{type: Complete, status: 'True'}}]"
                ),
            )
        };
        let yaml = cron("schedule: '@yearly', successfulJobsHistoryLimit: 1", ACTIVE)
            + &done("tidy-old", 50)
            + &done("tidy-older", 40);
        check(
            &yaml,
            expect![[r#"
            tell
              then SawCompletedJob: Saw completed job: tidy-old, condition: Complete
            delete jobs.batch shop/tidy-older Background
              then SuccessfulDelete: Deleted job tidy-older
              else Warning FailedDelete: Deleted job: tidy-older
            update cronjobs.batch shop/tidy status
              status.active: [{"name":"tidy-old","uid":"uid-tidy-old"}] -> null
              status.lastSuccessfulTime: null -> "2026-01-01T11:50:30Z"
            wake at 2027-01-01T00:00:00Z
        "#]],
        );
    }

    #[test]
    fn jobs_that_are_missing_or_were_made_by_hand_are_told_of() {
        check(
            &(cron("schedule: '@yearly'", ACTIVE) + &job("by-hand", "labels: {}", "")),
            expect![[r#"
            tell
              then MissingJob: Active job went missing: tidy-old
            tell
              then Warning UnexpectedJob: Saw a job that the controller did not create or forgot: by-hand
            update cronjobs.batch shop/tidy status
              status.active: [{"name":"tidy-old","uid":"uid-tidy-old"}] -> null
            wake at 2027-01-01T00:00:00Z
        "#]],
        );
    }

    #[test]
    fn a_schedule_or_zone_that_cannot_be_read_is_told() {
        check(
            &cron("schedule: 'x'", LAST),
            expect![[r#"
            tell
              then Warning UnparseableSchedule: unparseable schedule: "x" : expected exactly 5 fields, found 1: [x]
        "#]],
        );
        check(
            &cron("schedule: '@daily', timeZone: Mars/Base", LAST),
            expect![[r#"
            tell
              then Warning UnknownTimeZone: invalid timeZone: "Mars/Base": unknown time zone Mars/Base
        "#]],
        );
    }

    #[test]
    fn after_a_long_silence_one_job_is_made_and_a_warning_told() {
        check(
            &cron("schedule: '* * * * *'", "lastScheduleTime: '2025-12-01T00:00:00Z'"),
            expect![[r#"
            tell
              then Warning TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
            create jobs.batch in "shop": {"metadata":{"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z"},"labels":{"a":"b"},"name":"tidy-29454480","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"CronJob","name":"tidy","uid":"uid-tidy"}]},"spec":{"parallelism":1}}
              then SuccessfulCreate: Created job tidy-29454480
              else Warning FailedCreate: Error creating job: {error}
            update cronjobs.batch shop/tidy status
              status.lastScheduleTime: "2025-12-01T00:00:00Z" -> "2026-01-01T12:00:00Z"
            wake at 2026-01-01T12:01:00Z
        "#]],
        );
    }
}
