//! How many pods a Job has at once, which go, and how new ones are made.

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use cache::{Action, Note, Precondition, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::indexes::Indexes;
use super::policy::{self, Verdict};
use super::{BURST_MAX, COMPLETION_INDEX, Job, TRACKING, untrack};
use crate::pods::PODS;
use crate::rank::rank_for_deletion;
use crate::template::pod_of_template;
use crate::tree::{Tree, condition};

const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// The pause after the first failure, and the longest.
const PAUSE_SECS: i64 = 10;
const PAUSE_SECS_MAX: i64 = 600;
/// The longest prefix of a generated name.
const NAME_PREFIX_LEN_MAX: usize = 58;

/// What is done to the number of pods.
#[derive(Default)]
pub(super) struct Work {
    pub steps: Vec<Step>,
    pub wake_at: Option<Timestamp>,
}

/// How often the index of a pod had failed before it.
pub(super) fn failures_before(pod: &Value) -> i64 {
    pod.annotation(FAILURE_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0)
}

pub(super) fn ignored_before(pod: &Value) -> i64 {
    pod.annotation(IGNORED_FAILURE_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0)
}

impl Job<'_> {
    pub(super) fn manage(&self) -> Work {
        let active: Vec<(Value, Object)> = self.active().cloned().collect();
        let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
        if self.is_suspended() {
            return Work { steps: self.remove(active.iter().map(|(tree, pod)| (tree, pod))), wake_at: None };
        }
        let parallelism = self.tree.at("spec.parallelism").as_i64().unwrap_or(1);
        let wanted = match self.completions() {
            None if self.succeeded > 0 => count,
            None => parallelism,
            Some(completions) => (completions - self.succeeded).clamp(0, parallelism.max(0)),
        };
        let surplus = self.surplus(&active, usize::try_from(count - wanted).unwrap_or(0));
        if !surplus.is_empty() {
            let goners = active.iter().filter(|(_, pod)| surplus.contains(pod.uid())).map(|(tree, pod)| (tree, pod));
            return Work { steps: self.remove(goners.take(BURST_MAX)), wake_at: None };
        }
        let going = if self.waits_for_the_end() { i64::try_from(self.terminating()).unwrap_or(i64::MAX) } else { 0 };
        let missing = usize::try_from(wanted - going - count).unwrap_or(0).min(BURST_MAX);
        if missing == 0 {
            return Work::default();
        }
        if self.is_indexed() { self.create_indexed(missing) } else { self.create(missing) }
    }

    /// Which pods are too many: those that share an index with an older one or have none, then by upstream's order.
    fn surplus(&self, active: &[(Value, Object)], at_least: usize) -> BTreeSet<String> {
        let mut surplus = BTreeSet::new();
        if self.is_indexed() {
            let mut taken: BTreeMap<i64, (Option<Timestamp>, &str)> = BTreeMap::new();
            for (tree, pod) in active {
                let Some(index) = self.index_of(tree) else {
                    surplus.insert(pod.uid().to_owned());
                    continue;
                };
                let age = (pod.meta().creation_timestamp, pod.uid());
                match taken.get_mut(&index) {
                    Some(older) if *older <= age => {
                        surplus.insert(age.1.to_owned());
                    }
                    Some(newer) => {
                        surplus.insert(newer.1.to_owned());
                        *newer = age;
                    }
                    None => {
                        taken.insert(index, age);
                    }
                }
            }
        }
        let left: Vec<_> = active.iter().filter(|(_, pod)| !surplus.contains(pod.uid())).cloned().collect();
        let more = at_least.saturating_sub(surplus.len());
        let ranked = rank_for_deletion(&left, &BTreeMap::new(), self.now);
        surplus.extend(ranked.into_iter().take(more).map(|pod| pod.uid().to_owned()));
        surplus
    }

    /// Ends pods without counting them.
    fn remove<'p>(&self, pods: impl Iterator<Item = (&'p Value, &'p Object)>) -> Vec<Step> {
        pods.flat_map(|(tree, pod)| untrack(tree, pod).into_iter().chain([self.delete_pod(pod)])).collect()
    }

    pub(super) fn delete_pod(&self, pod: &Object) -> Step {
        let delete = Action::Delete {
            resource: PODS,
            key: pod.key(),
            precondition: Precondition::same(pod),
            propagation: None,
            grace_period_secs: None,
        };
        Step::from(delete)
            .done(Note::normal(self.object, "SuccessfulDelete", "Deleted pod: {name}"))
            .failed(Note::warning(self.object, "FailedDelete", "Error deleting: {error}"))
    }

    fn create(&self, missing: usize) -> Work {
        let at = self.pause_until();
        if at > self.now {
            return Work { steps: Vec::new(), wake_at: Some(at) };
        }
        Work { steps: (0..missing).map(|_| self.create_step(self.new_pod())).collect(), wake_at: None }
    }

    fn create_indexed(&self, missing: usize) -> Work {
        let until = if self.backoff_limit_per_index().is_some() { self.now } else { self.pause_until() };
        if until > self.now {
            return Work { steps: Vec::new(), wake_at: Some(until) };
        }
        let delayed = self.delayed();
        let mut work = Work::default();
        for index in self.pending_indexes().into_iter().take(missing) {
            let before = delayed.get(&index).map(|at| &self.pods[*at].0);
            let at = before.map_or(self.now, |pod| {
                finished_at(pod, self.now) + pause(failures_before(pod) + ignored_before(pod) + 1)
            });
            if at > self.now {
                work.wake_at = Some(work.wake_at.map_or(at, |earlier| earlier.min(at)));
            } else {
                work.steps.push(self.create_step(self.new_indexed_pod(index, before)));
            }
        }
        work
    }

    fn pending_indexes(&self) -> Indexes {
        let mut pending: Indexes = (0..self.completions().unwrap_or(0)).collect();
        let is_there = |tree: &Value| {
            crate::pods::is_active(tree) || (self.waits_for_the_end() && !crate::pods::is_terminal(tree))
        };
        for (tree, _) in self.pods.iter().filter(|(tree, _)| is_there(tree)) {
            if let Some(index) = self.index_of(tree) {
                pending.remove(&index);
            }
        }
        pending.retain(|index| !self.succeeded_indexes.contains(index) && !self.failed_indexes.contains(index));
        pending
    }

    /// Until when no pod is made, because the last ones failed.
    fn pause_until(&self) -> Timestamp {
        let of = |phase: &'static str| {
            let ended = self.pods.iter().map(|(tree, _)| tree).filter(move |tree| tree.text("status.phase") == phase);
            ended.map(|tree| finished_at(tree, self.now))
        };
        let last_success = of("Succeeded").max();
        let failures: Vec<Timestamp> = of("Failed").filter(|at| last_success.is_none_or(|done| *at > done)).collect();
        let count = i64::try_from(failures.len()).unwrap_or(i64::MAX);
        failures.into_iter().max().map_or(self.now, |last| last + pause(count))
    }

    fn new_pod(&self) -> Value {
        let mut pod = pod_of_template(self.tree.at("spec.template"), self.object);
        pod["metadata"]["generateName"] = json!(format!("{}-", self.object.name()));
        let mut finalizers = pod.items("metadata.finalizers").to_vec();
        finalizers.retain(|finalizer| finalizer != TRACKING);
        finalizers.push(json!(TRACKING));
        pod["metadata"]["finalizers"] = Value::Array(finalizers);
        pod
    }

    fn new_indexed_pod(&self, index: i64, before: Option<&Value>) -> Value {
        let mut pod = self.new_pod();
        let suffix = format!("-{index}-");
        let name: String = self.object.name().chars().take(NAME_PREFIX_LEN_MAX - suffix.len()).collect();
        pod["metadata"]["generateName"] = json!(format!("{name}{suffix}"));
        pod["metadata"]["labels"][COMPLETION_INDEX] = json!(index.to_string());
        pod["metadata"]["annotations"][COMPLETION_INDEX] = json!(index.to_string());
        pod["spec"]["hostname"] = json!(format!("{}-{index}", self.object.name()));
        if self.backoff_limit_per_index().is_some() {
            let is_ignored = before.is_some_and(|pod| policy::judge(&self.tree, pod) == Verdict::Ignore);
            let failures = before.map_or(0, |pod| failures_before(pod) + i64::from(!is_ignored));
            let ignored = before.map_or(0, |pod| ignored_before(pod) + i64::from(is_ignored));
            pod["metadata"]["annotations"][FAILURE_COUNT] = json!(failures.to_string());
            if ignored > 0 {
                pod["metadata"]["annotations"][IGNORED_FAILURE_COUNT] = json!(ignored.to_string());
            }
        }
        for list in ["initContainers", "containers"] {
            for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                tell_index(container);
            }
        }
        pod
    }

    fn create_step(&self, object: Value) -> Step {
        Step::from(Action::Create { resource: PODS, namespace: self.object.namespace().into(), object })
            .done(Note::normal(self.object, "SuccessfulCreate", "Created pod: {name}"))
            .failed(Note::warning(self.object, "FailedCreate", "Error creating: {error}"))
    }
}

/// Gives a container its index in the environment, unless it sets the variable itself.
fn tell_index(container: &mut Value) {
    let mut env = container.items("env").to_vec();
    if env.iter().any(|variable| variable.text("name") == "JOB_COMPLETION_INDEX") {
        return;
    }
    let path = format!("metadata.labels['{COMPLETION_INDEX}']");
    env.push(json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    container["env"] = Value::Array(env);
}

/// The pause after so many failures: it doubles each time.
fn pause(failures: i64) -> SignedDuration {
    let doublings = u32::try_from((failures - 1).clamp(0, 10)).unwrap_or(0);
    let secs = if failures <= 0 { 0 } else { (PAUSE_SECS << doublings).min(PAUSE_SECS_MAX) };
    SignedDuration::from_secs(secs)
}

/// When a pod ended: when its last container did; where that is not known, when it stopped being ready or was deleted.
fn finished_at(pod: &Value, now: Timestamp) -> Timestamp {
    let statuses = pod.items("status.containerStatuses");
    let ends: Vec<_> = statuses.iter().filter_map(|status| status.time("state.terminated.finishedAt")).collect();
    let last_end = ends.iter().max().copied().filter(|_| ends.len() == statuses.len());
    let unready =
        || condition(pod.items("status.conditions"), "Ready").and_then(|ready| ready.time("lastTransitionTime"));
    last_end.or_else(unready).or_else(|| pod.time("metadata.deletionTimestamp")).unwrap_or(now).min(now)
}
