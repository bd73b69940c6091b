//! Job: pods that run to their end, as many times as asked for.
//!
//! ```text
//! claim pods -> count (each ended pod once: its finalizer goes after its uid stands in the status) -> finished?
//!    yes: status with the interim condition, end all pods, then the last condition
//!    no:  status, too many pods go, missing pods come (after a pause that grows with failures)
//! ```
//! A finished pod is counted in three writes, so that a crash between any two neither loses nor doubles it (KEP-2307): the
//! uid goes to `uncountedTerminatedPods`, the finalizer goes from the pod, the uid goes to the counters. The pause after
//! failures is read from the pods themselves, so it outlives a restart. Semantics:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/>, KEP-3329 (podFailurePolicy), KEP-3850
//! (backoffLimitPerIndex), KEP-3939 (podReplacementPolicy), KEP-3998 (successPolicy), KEP-4368 (managedBy).

mod finish;
mod indexes;
mod pods;
mod policy;
mod status;

use std::collections::BTreeSet;

use api::{Gvr, Key, Object};
use cache::index::BY_CONTROLLER;
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::labels::workload_selector;
use crate::owners::{Claim, claim, owner_keys};
use crate::pods::{PODS, is_active, is_terminal};
use crate::tree::{Tree, condition, tree_of};
use indexes::Indexes;
use policy::Verdict;

pub(crate) const JOBS: Gvr = Gvr::new("batch", "v1", "jobs");
/// While a pod has it, the Job has not counted it.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
const CONTROLLER_NAME: &str = "kubernetes.io/job-controller";
/// The most pods that wait for being counted, and that one plan creates or deletes.
const BURST_MAX: usize = 500;

pub struct JobController;

impl Controller for JobController {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(JOBS, &[]), Interest::new(PODS, &[BY_CONTROLLER])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == JOBS {
            return change.object().map(Object::key).into_iter().collect();
        }
        let sides = change.before.iter().chain(&change.after);
        sides.flat_map(|pod| owner_keys(snapshot, &JOBS, "Job", pod)).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let object = snapshot.get(&JOBS, key);
        let mut steps = release_strays(snapshot, key, object.map_or("", Object::uid))?;
        let Some(object) = object else { return Ok(Plan { steps, wake_at: None }) };
        let tree = tree_of(object)?;
        let managed_by = tree.text("spec.managedBy");
        if !managed_by.is_empty() && managed_by != CONTROLLER_NAME {
            return Ok(Plan { steps, wake_at: None });
        }
        let Claim { objects, steps: claims } = claim(snapshot, &PODS, object, &workload_selector(&tree), |_| true)?;
        steps.extend(claims);
        let pods = objects.into_iter().map(|o| Ok((tree_of(&o)?, o))).collect::<Result<Vec<_>, PlanError>>()?;
        if is_finished(&tree) {
            steps.extend(pods.iter().filter_map(|(tree, pod)| untrack(tree, pod)));
            return Ok(Plan { steps, wake_at: None });
        }
        let mut plan = Plan { steps, wake_at: None };
        Job::new(object, tree, pods, now).run(&mut plan);
        Ok(plan)
    }
}

/// Pods of a Job that is gone have nobody who counts them.
fn release_strays(snapshot: &Snapshot, key: &Key, uid: &str) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    for pod in snapshot.list(&PODS, Some(&key.namespace)) {
        let is_stray = pod
            .controller()
            .is_some_and(|owner| &*owner.kind == "Job" && *owner.name == *key.name && *owner.uid != *uid);
        if is_stray {
            steps.extend(untrack(&tree_of(pod)?, pod));
        }
    }
    Ok(steps)
}

pub(crate) fn is_finished(job: &Value) -> bool {
    ["Complete", "Failed"].into_iter().any(|kind| has_condition(job, kind))
}

pub(crate) fn has_condition(job: &Value, kind: &str) -> bool {
    condition(job.items("status.conditions"), kind).is_some_and(|found| found.text("status") == "True")
}

fn is_tracked(pod: &Value) -> bool {
    pod.items("metadata.finalizers").iter().any(|finalizer| finalizer == TRACKING)
}

/// Takes the finalizer from a pod that has it.
fn untrack(tree: &Value, pod: &Object) -> Option<Step> {
    let mut finalizers = tree.items("metadata.finalizers").to_vec();
    finalizers.retain(|finalizer| finalizer != TRACKING);
    let action = Action::Patch {
        resource: PODS,
        key: pod.key(),
        subresource: "".into(),
        patch: json!({"metadata": {"finalizers": finalizers}}),
        precondition: Precondition::exactly(pod),
    };
    is_tracked(tree).then(|| action.into())
}

/// A condition by which the Job ends, or is about to.
#[derive(Clone)]
struct Ending {
    succeeds: bool,
    reason: String,
    message: String,
}

/// A Job that is not finished, as a plan works on it.
struct Job<'a> {
    object: &'a Object,
    tree: Value,
    pods: Vec<(Value, Object)>,
    /// What the status says now, brought up to date step by step.
    status: Value,
    /// Of pods that were counted before or are now; empty where indexes are not used.
    succeeded_indexes: Indexes,
    failed_indexes: Indexes,
    succeeded: i64,
    failed: i64,
    now: Timestamp,
}

impl<'a> Job<'a> {
    fn new(object: &'a Object, tree: Value, pods: Vec<(Value, Object)>, now: Timestamp) -> Self {
        let status = tree.at("status").clone();
        let mut job = Self {
            object,
            tree,
            pods,
            status,
            succeeded_indexes: Indexes::new(),
            failed_indexes: Indexes::new(),
            succeeded: 0,
            failed: 0,
            now,
        };
        job.count();
        job
    }

    fn is_indexed(&self) -> bool {
        self.tree.text("spec.completionMode") == "Indexed"
    }

    fn is_suspended(&self) -> bool {
        self.tree.flag("spec.suspend")
    }

    fn completions(&self) -> Option<i64> {
        self.tree.at("spec.completions").as_i64()
    }

    fn backoff_limit_per_index(&self) -> Option<i64> {
        self.tree.at("spec.backoffLimitPerIndex").as_i64().filter(|_| self.is_indexed())
    }

    /// A pod that is going is replaced only when it has ended.
    fn waits_for_the_end(&self) -> bool {
        self.tree.text("spec.podReplacementPolicy") == "Failed" || !self.tree.at("spec.podFailurePolicy").is_null()
    }

    fn has_failed(&self, pod: &Value) -> bool {
        let phase = pod.text("status.phase");
        let is_going = !pod.at("metadata.deletionTimestamp").is_null();
        // A pod that is deleted may never get to say how it ended.
        phase == "Failed" || (is_going && phase != "Succeeded" && !self.waits_for_the_end())
    }

    /// The index of a pod, where it is one of the Job's.
    fn index_of(&self, pod: &Value) -> Option<i64> {
        let index = pod.annotation(COMPLETION_INDEX)?.parse().ok()?;
        (0..self.completions().unwrap_or(0)).contains(&index).then_some(index)
    }

    /// The pod can count: in a Job with indexes only those with a valid one do.
    fn is_valid(&self, pod: &Value) -> bool {
        !self.is_indexed() || self.index_of(pod).is_some()
    }

    fn uncounted(&self, kind: &str) -> BTreeSet<&str> {
        self.status.at("uncountedTerminatedPods").items(kind).iter().filter_map(Value::as_str).collect()
    }

    fn active(&self) -> impl Iterator<Item = &(Value, Object)> {
        self.pods.iter().filter(|(tree, _)| is_active(tree))
    }

    /// Pods that are going and have not ended.
    fn terminating(&self) -> usize {
        let is_going = |tree: &Value| !tree.at("metadata.deletionTimestamp").is_null() && !is_terminal(tree);
        self.pods.iter().filter(|(tree, _)| is_going(tree)).count()
    }

    /// How many have succeeded and failed, whether the status has them yet or not.
    fn count(&mut self) {
        let (done, lost) = (self.uncounted("succeeded"), self.uncounted("failed"));
        let fresh = |pod: &&(Value, Object)| is_tracked(&pod.0) && self.is_valid(&pod.0);
        let is_done =
            |(tree, pod): &&(Value, Object)| tree.text("status.phase") == "Succeeded" && !done.contains(pod.uid());
        let is_lost = |(tree, pod): &&(Value, Object)| {
            self.has_failed(tree) && !lost.contains(pod.uid()) && policy::judge(&self.tree, tree) != Verdict::Ignore
        };
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let succeeded = self.pods.iter().filter(fresh).filter(is_done).count() + done.len();
        let failed = self.pods.iter().filter(fresh).filter(is_lost).count() + lost.len();
        self.succeeded = self.status.int("succeeded") + size(succeeded);
        self.failed = self.status.int("failed") + size(failed);
        if let Some(completions) = self.completions().filter(|_| self.is_indexed()) {
            self.count_indexes(completions);
            self.succeeded = size(self.succeeded_indexes.len());
        }
    }

    fn count_indexes(&mut self, completions: i64) {
        let mut succeeded = indexes::parse(self.status.text("completedIndexes"), completions);
        let tracked = || self.pods.iter().map(|(tree, _)| tree).filter(|tree| is_tracked(tree));
        let is_done = |tree: &&Value| tree.text("status.phase") == "Succeeded";
        succeeded.extend(tracked().filter(is_done).filter_map(|tree| self.index_of(tree)));
        let mut failed = indexes::parse(self.status.text("failedIndexes"), completions);
        if let Some(limit) = self.backoff_limit_per_index() {
            let fails = |tree: &&Value| {
                self.has_failed(tree)
                    && match policy::judge(&self.tree, tree) {
                        Verdict::Ignore => false,
                        Verdict::FailIndex => true,
                        Verdict::Count | Verdict::FailJob(_) => pods::failures_before(tree) >= limit,
                    }
            };
            failed.extend(tracked().filter(fails).filter_map(|tree| self.index_of(tree)));
            failed.retain(|index| !succeeded.contains(index));
        }
        self.succeeded_indexes = succeeded;
        self.failed_indexes = failed;
    }

    fn run(mut self, plan: &mut Plan) {
        let ending = self.ending(plan);
        if self.status.at("startTime").is_null() && !self.is_suspended() {
            self.status["startTime"] = json!(crate::tree::time_text(self.now));
        }
        match ending {
            Some(ending) => self.end(&ending, plan),
            None => self.go_on(plan),
        }
    }

    /// Neither failed nor done: the number of pods is brought to what it shall be.
    fn go_on(&mut self, plan: &mut Plan) {
        let mut work = pods::Work::default();
        if !self.object.is_deleting() {
            work = self.manage();
        }
        let is_complete = match self.completions() {
            // The first success says that the work is done; the others are waited for.
            None => self.succeeded > 0,
            Some(completions) => self.succeeded >= completions,
        };
        if is_complete && work.steps.is_empty() && self.active().next().is_none() {
            let ending = Ending {
                succeeds: true,
                reason: "CompletionsReached".into(),
                message: "Reached expected number of succeeded pods".into(),
            };
            return self.end(&ending, plan);
        }
        let notes = if self.object.is_deleting() { Vec::new() } else { self.show_suspension() };
        let removals = self.track(None);
        self.write_status(plan, notes);
        plan.steps.extend(removals);
        plan.steps.extend(work.steps);
        if let Some(at) = work.wake_at {
            plan.wake_by(at);
        }
    }
}

#[cfg(test)]
mod tests;
