//! A Job's status: pods are counted exactly once, and what changed is written.

use std::collections::{BTreeMap, BTreeSet};

use cache::{Action, Note, Plan, Step};
use serde_json::{Value, json};

use super::policy::{self, Verdict};
use super::{BURST_MAX, Ending, JOBS, Job, indexes, is_tracked, pods, untrack};
use crate::pods::is_ready;
use crate::tree::{Tree, condition, set, time_text};

impl Job<'_> {
    /// Sets a condition; one that says so already keeps its time. Absent and `False` are the same.
    pub(super) fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        let mut conditions = self.status.items("conditions").to_vec();
        let old = condition(&conditions, kind);
        let is_same = old.map_or(status == "False", |old| {
            old.text("status") == status && old.text("reason") == reason && old.text("message") == message
        });
        if is_same {
            return false;
        }
        let now = time_text(self.now);
        let new = json!({
            "type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now,
            "reason": reason, "message": message,
        });
        match conditions.iter_mut().find(|old| old.text("type") == kind) {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
        self.status["conditions"] = Value::Array(conditions);
        true
    }

    /// Shows that the Job was suspended or goes on; time for the deadline starts anew then.
    pub(super) fn show_suspension(&mut self) -> Vec<Note> {
        if self.is_suspended() {
            let is_new = self.set_condition("Suspended", "True", "JobSuspended", "Job suspended");
            return is_new.then(|| Note::normal(self.object, "Suspended", "Job suspended")).into_iter().collect();
        }
        if !self.set_condition("Suspended", "False", "JobResumed", "Job resumed") {
            return Vec::new();
        }
        self.status["startTime"] = json!(time_text(self.now));
        vec![Note::normal(self.object, "Resumed", "Job resumed")]
    }

    /// Moves pods that have ended through the status, and returns the writes that let go of them. Where the Job ends,
    /// pods that still run are counted as failed, unless it is a success.
    pub(super) fn track(&mut self, ending: Option<&Ending>) -> Vec<Step> {
        self.count_released();
        let (mut done, mut lost) = (self.uncounted_list("succeeded"), self.uncounted_list("failed"));
        let mut removals = Vec::new();
        let mut newly_indexed = 0;
        let delayed = self.last_failures();
        for (tree, pod) in self.pods.iter().filter(|(tree, _)| is_tracked(tree)) {
            if done.len() + lost.len() + newly_indexed >= BURST_MAX {
                break;
            }
            let (succeeded, failed) = (tree.text("status.phase") == "Succeeded", self.has_failed(tree));
            let may_go = ending.is_some() || self.object.is_deleting() || succeeded || failed;
            let is_delayed = ending.is_none() && !self.object.is_deleting() && delayed.contains(pod.uid());
            if !may_go || is_delayed {
                continue;
            }
            removals.extend(untrack(tree, pod));
            let is_lost = lost.iter().any(|uid| uid == pod.uid());
            if succeeded && !is_lost {
                if self.is_indexed() {
                    newly_indexed += 1;
                } else if !done.iter().any(|uid| uid == pod.uid()) {
                    done.push(json!(pod.uid()));
                }
            } else if (failed || ending.is_some_and(|ending| !ending.succeeds)) && !is_lost && self.is_valid(tree) {
                let is_counted = policy::judge(&self.tree, tree) != Verdict::Ignore;
                lost.extend(is_counted.then(|| json!(pod.uid())));
            }
        }
        let mut uncounted = json!({});
        for (name, list) in [("succeeded", done), ("failed", lost)] {
            if !list.is_empty() {
                uncounted[name] = Value::Array(list);
            }
        }
        self.status["uncountedTerminatedPods"] = uncounted;
        removals
    }

    fn uncounted_list(&self, kind: &str) -> Vec<Value> {
        self.status.at("uncountedTerminatedPods").items(kind).to_vec()
    }

    /// Pods whose uid stands in the status and whose finalizer is gone go to the counters.
    fn count_released(&mut self) {
        for kind in ["succeeded", "failed"] {
            let (waiting, released): (Vec<Value>, Vec<Value>) = self
                .uncounted_list(kind)
                .into_iter()
                .partition(|uid| self.pods.iter().any(|(tree, pod)| uid == pod.uid() && is_tracked(tree)));
            let count = self.status.int(kind) + i64::try_from(released.len()).unwrap_or(i64::MAX);
            self.status[kind] = json!(count);
            set(&mut self.status, &format!("uncountedTerminatedPods.{kind}"), Value::Array(waiting));
        }
    }

    /// Writes the status if it says something new.
    pub(super) fn write_status(&mut self, plan: &mut Plan, notes: Vec<Note>) {
        let ready = self.active().filter(|(tree, _)| is_ready(tree)).count();
        let (active, terminating) = (self.active().count(), self.terminating());
        let status = &mut self.status;
        status["active"] = json!(active);
        status["ready"] = json!(ready);
        status["terminating"] = json!(terminating);
        if self.tree.text("spec.completionMode") == "Indexed" {
            status["succeeded"] = json!(self.succeeded_indexes.len());
            status["completedIndexes"] = json!(indexes::text(&self.succeeded_indexes));
            if !self.tree.at("spec.backoffLimitPerIndex").is_null() {
                status["failedIndexes"] = json!(indexes::text(&self.failed_indexes));
            }
        }
        if let Some(fields) = status.as_object_mut() {
            // As upstream's encoding: what is zero or empty is left out, unless it is a pointer.
            fields.retain(|name, value| match name.as_str() {
                "active" | "succeeded" | "failed" => value.as_i64() != Some(0),
                "completedIndexes" => value != "",
                _ => true,
            });
        }
        let is_same = self.tree.at("status") == &self.status;
        let mut notes = notes.into_iter();
        if is_same {
            plan.steps.extend(notes.map(|note| Step::from(Action::Tell).done(note)));
            return;
        }
        let mut object = self.tree.clone();
        set(&mut object, "status", self.status.clone());
        let key = self.object.key();
        let mut step = Step::from(Action::Update { resource: JOBS, key, subresource: "status".into(), object });
        step.done = notes.next();
        plan.push(step);
        plan.steps.extend(notes.map(|note| Step::from(Action::Tell).done(note)));
    }

    /// The newest failed pod of each index that is to be tried again: it carries the index's number of failures until the
    /// next pod does.
    fn last_failures(&self) -> BTreeSet<String> {
        self.delayed().into_values().map(|at| self.pods[at].1.uid().to_owned()).collect()
    }

    /// By index, the place in `pods` of the failed pod that the next one follows.
    pub(super) fn delayed(&self) -> BTreeMap<i64, usize> {
        let mut delayed = BTreeMap::new();
        if self.backoff_limit_per_index().is_none() {
            return BTreeMap::new();
        }
        let mut followed = BTreeMap::new();
        for (at, (tree, _)) in self.pods.iter().enumerate() {
            let Some(index) = self.index_of(tree) else { continue };
            let failures = pods::failures_before(tree) + pods::ignored_before(tree);
            if !self.has_failed(tree) {
                let most = followed.entry(index).or_insert(failures);
                *most = failures.max(*most);
                continue;
            }
            let is_over = self.succeeded_indexes.contains(&index) || self.failed_indexes.contains(&index);
            if !is_over && is_tracked(tree) {
                let best = delayed.entry(index).or_insert((failures, at));
                *best = (*best).max((failures, at));
            }
        }
        delayed.retain(|index, (failures, _)| followed.get(index).is_none_or(|newer| newer <= failures));
        delayed.into_iter().map(|(index, (_, at))| (index, at)).collect()
    }
}
