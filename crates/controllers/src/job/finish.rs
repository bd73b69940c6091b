//! When and how a Job ends.
//!
//! The reason stands in the status first (`FailureTarget`, `SuccessCriteriaMet`), the last condition (`Failed`, `Complete`)
//! when every pod has ended and was counted.

use cache::{Note, Plan};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::policy::{self, Verdict};
use super::{Ending, Job, is_tracked};
use crate::tree::{Tree, condition, time_text};

impl Job<'_> {
    /// Why the Job ends now, if it does: first what was decided before.
    pub(super) fn ending(&self, plan: &mut Plan) -> Option<Ending> {
        let decided = |kind: &str, succeeds: bool| {
            let found = condition(self.status.items("conditions"), kind).filter(|c| c.text("status") == "True")?;
            Some(Ending { succeeds, reason: found.text("reason").into(), message: found.text("message").into() })
        };
        if let Some(ending) = decided("SuccessCriteriaMet", true).or_else(|| decided("FailureTarget", false)) {
            return Some(ending);
        }
        let fails = |reason: &str, message: &str| {
            Some(Ending { succeeds: false, reason: reason.into(), message: message.into() })
        };
        for (pod, _) in self.pods.iter().filter(|(pod, _)| self.has_failed(pod)) {
            if let Verdict::FailJob(message) = policy::judge(&self.tree, pod) {
                return fails("PodFailurePolicy", &message);
            }
        }
        let limit = self.tree.at("spec.backoffLimit").as_i64().unwrap_or(6);
        if self.failed > limit || self.is_restarted_too_often(limit) {
            return fails("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let Some(secs) = self.tree.at("spec.activeDeadlineSeconds").as_i64().filter(|_| !self.is_suspended()) {
            let since = self.status.time("startTime").unwrap_or(self.now);
            let until = since + SignedDuration::from_secs(secs);
            if until <= self.now {
                return fails("DeadlineExceeded", "Job was active longer than specified deadline");
            }
            plan.wake_by(until);
        }
        self.ending_by_indexes()
    }

    fn ending_by_indexes(&self) -> Option<Ending> {
        let completions = self.completions().filter(|_| self.is_indexed())?;
        let (succeeded, failed) = (self.succeeded_indexes.len(), self.failed_indexes.len());
        let fails = |reason: &str, message: &str| {
            Some(Ending { succeeds: false, reason: reason.into(), message: message.into() })
        };
        if self.backoff_limit_per_index().is_some() {
            let is_more = |most: &Value| most.as_u64().is_some_and(|most| failed as u64 > most);
            if is_more(self.tree.at("spec.maxFailedIndexes")) {
                return fails(
                    "MaxFailedIndexesExceeded",
                    "Job has exceeded the specified maximal number of failed indexes",
                );
            }
            if failed > 0 && i64::try_from(failed + succeeded).is_ok_and(|ended| ended >= completions) {
                return fails("FailedIndexes", "Job has failed indexes");
            }
        }
        let message = policy::success(&self.tree, &self.succeeded_indexes, completions)?;
        Some(Ending { succeeds: true, reason: "SuccessPolicy".into(), message })
    }

    /// Pods that restart in place count by their restarts.
    fn is_restarted_too_often(&self, limit: i64) -> bool {
        if self.tree.text("spec.template.spec.restartPolicy") != "OnFailure" {
            return false;
        }
        let lives = |pod: &Value| matches!(pod.text("status.phase"), "Running" | "Pending");
        let lists = ["status.initContainerStatuses", "status.containerStatuses"];
        let living = self.pods.iter().map(|(tree, _)| tree).filter(|tree| lives(tree));
        let statuses = living.flat_map(|tree| lists.into_iter().flat_map(|list| tree.items(list)));
        let restarts: i64 = statuses.map(|status| status.int("restartCount")).sum();
        restarts > 0 && restarts >= limit
    }

    /// Writes down why, ends what still runs, and closes the Job when nothing is left to end or to count.
    pub(super) fn end(&mut self, ending: &Ending, plan: &mut Plan) {
        let interim = if ending.succeeds { "SuccessCriteriaMet" } else { "FailureTarget" };
        self.set_condition(interim, "True", &ending.reason, &ending.message);
        let is_open = |(tree, _): &(Value, _)| is_tracked(tree);
        let is_running = self.active().next().is_some() || self.terminating() > 0;
        let is_pending = is_running || self.pods.iter().any(is_open);
        let removals = self.track(Some(ending));
        let mut notes = Vec::new();
        let is_counted = self.uncounted("succeeded").is_empty() && self.uncounted("failed").is_empty();
        if !is_pending && is_counted {
            notes.extend(self.close(ending));
        }
        self.write_status(plan, notes);
        plan.steps.extend(removals);
        let goners = self.active().map(|(_, pod)| self.delete_pod(pod)).collect::<Vec<_>>();
        plan.steps.extend(goners);
    }

    fn close(&mut self, ending: &Ending) -> Vec<Note> {
        if !ending.succeeds {
            self.set_condition("Failed", "True", &ending.reason, &ending.message);
            let message = ending.message.clone();
            return vec![Note { reason: ending.reason.clone().into(), ..Note::warning(self.object, "", message) }];
        }
        self.set_condition("Complete", "True", &ending.reason, &ending.message);
        self.status["completionTime"] = json!(time_text(self.now));
        let mut notes = Vec::new();
        if self.completions().is_some_and(|completions| self.status.int("succeeded") > completions) {
            let message = "Too many succeeded pods running after completion count reached";
            notes.push(Note::warning(self.object, "TooManySucceededPods", message));
        }
        notes.push(Note::normal(self.object, "Completed", "Job completed"));
        notes
    }
}
