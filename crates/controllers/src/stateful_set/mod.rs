//! StatefulSet: pods with a name, a place in a row and volumes of their own.
//!
//! ```text
//! claim revisions and pods -> newest revision -> status -> row of replicas (create, wait, repair)
//!    -> condemned, the last first (delete) -> rolling update, the last first (delete) -> old revisions
//! ```
//! With podManagementPolicy OrderedReady the plan ends at the first pod that is not as it shall be; with Parallel it only
//! ends at its end. Semantics: <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>, KEP-961
//! (maxUnavailable), KEP-1847 (claims that go with their pods), KEP-3335 (start ordinal).

mod claims;
mod identity;
mod status;

use std::collections::BTreeSet;

use api::{Gvr, Key, Object};
use cache::index::BY_CONTROLLER;
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::Value;

use crate::history::{History, REVISION_HASH, REVISIONS, Revision};
use crate::labels::workload_selector;
use crate::owners::{Claim, claim, owner_keys};
use crate::pods::{PODS, available_at, is_ready, is_terminal};
use crate::template::scaled_value;
use crate::tree::{Tree, tree_of};
use claims::CLAIMS;

const STATEFUL_SETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
/// The label that a revision of a StatefulSet shows its hash under.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

pub struct StatefulSetController;

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![
            Interest::new(STATEFUL_SETS, &[]),
            Interest::new(PODS, &[BY_CONTROLLER]),
            Interest::new(REVISIONS, &[BY_CONTROLLER]),
            Interest::new(CLAIMS, &[]),
        ]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == STATEFUL_SETS {
            return change.object().map(Object::key).into_iter().collect();
        }
        if *resource == CLAIMS {
            // A claim that was left by a former pod of the name keeps the next one from being made, until it is gone.
            let gone = change.before.as_ref().filter(|_| change.after.is_none());
            return gone.map(|claim| claims::sets_of(snapshot, claim)).unwrap_or_default();
        }
        let sides = change.before.iter().chain(&change.after);
        sides.flat_map(|object| owner_keys(snapshot, &STATEFUL_SETS, "StatefulSet", object)).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&STATEFUL_SETS, key) else { return Ok(Plan::nothing()) };
        let tree = tree_of(object)?;
        let (history, mut steps) = History::claim(snapshot, object, &tree)?;
        let is_member = |pod: &Object| identity::ordinal_of(object.name(), pod.name()).is_some();
        let claimed = claim(snapshot, &PODS, object, &workload_selector(&tree), is_member)?;
        let Claim { objects, steps: pod_steps } = claimed;
        steps.extend(pod_steps);
        let newest = history.newest(snapshot, object, &tree, HASH_LABEL);
        steps.extend(newest.step);
        let current = history.revisions.iter().find(|revision| revision.name == tree.text("status.currentRevision"));
        let set = Set {
            current: current.unwrap_or(&newest.revision).clone(),
            update: newest.revision,
            collision_count: newest.collision_count,
            pods: objects.into_iter().map(|pod| Pod::read(object, pod)).collect::<Result<_, _>>()?,
            snapshot,
            object,
            tree,
            now,
        };
        let mut plan = Plan { steps, wake_at: set.next_available() };
        plan.steps.extend(set.status_update().map(Step::from));
        if !object.is_deleting() {
            set.run(&mut plan);
        }
        let live = set.pods.iter().map(Pod::revision).chain([set.current.name.as_str(), set.update.name.as_str()]);
        let limit = set.tree.at("spec.revisionHistoryLimit").as_i64().unwrap_or(10);
        plan.steps.extend(history.truncate(limit, &live.collect::<BTreeSet<_>>()));
        Ok(plan)
    }
}

/// A StatefulSet as a plan works on it.
struct Set<'a> {
    snapshot: &'a Snapshot,
    object: &'a Object,
    tree: Value,
    pods: Vec<Pod>,
    /// What pods are made of that the rolling update has not reached.
    current: Revision,
    /// What pods are made of that it has.
    update: Revision,
    collision_count: i64,
    now: Timestamp,
}

struct Pod {
    ordinal: i64,
    object: Object,
    tree: Value,
}

impl Pod {
    fn read(set: &Object, object: Object) -> Result<Self, PlanError> {
        let ordinal = identity::ordinal_of(set.name(), object.name()).unwrap_or(-1);
        Ok(Self { ordinal, tree: tree_of(&object)?, object })
    }

    fn revision(&self) -> &str {
        self.object.label(REVISION_HASH).unwrap_or_default()
    }

    fn is_running_and_ready(&self) -> bool {
        self.tree.text("status.phase") == "Running" && is_ready(&self.tree)
    }
}

/// Whether the plan may go on behind a pod.
#[derive(PartialEq)]
enum Go {
    On,
    Wait,
}

impl Set<'_> {
    fn start(&self) -> i64 {
        self.tree.int("spec.ordinals.start")
    }

    fn replicas(&self) -> i64 {
        self.tree.at("spec.replicas").as_i64().unwrap_or(1)
    }

    fn has_place_for(&self, ordinal: i64) -> bool {
        (self.start()..self.start() + self.replicas()).contains(&ordinal)
    }

    fn is_ordered(&self) -> bool {
        self.tree.text("spec.podManagementPolicy") != "Parallel"
    }

    fn is_available(&self, pod: &Pod) -> bool {
        let at = available_at(&pod.tree, self.tree.int("spec.minReadySeconds"));
        pod.is_running_and_ready() && at.is_some_and(|at| at <= self.now)
    }

    /// Not available, or about to go.
    fn is_lost(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || pod.object.is_deleting()
    }

    /// When the next pod will have been ready for long enough.
    fn next_available(&self) -> Option<Timestamp> {
        let min_ready_secs = self.tree.int("spec.minReadySeconds");
        let times = self.pods.iter().filter_map(|pod| available_at(&pod.tree, min_ready_secs));
        times.filter(|at| *at > self.now).min()
    }

    fn run(&self, plan: &mut Plan) {
        let mut row: Vec<Option<&Pod>> = Vec::new();
        for ordinal in self.start()..self.start() + self.replicas() {
            row.push(self.pods.iter().find(|pod| pod.ordinal == ordinal));
        }
        for (ordinal, pod) in (self.start()..).zip(&row) {
            let go = match pod {
                Some(pod) => self.keep(pod, plan),
                None => self.create(ordinal, plan),
            };
            if go == Go::Wait && self.is_ordered() {
                return;
            }
        }
        if self.condemn(&row, plan) == Go::On && self.tree.text("spec.updateStrategy.type") != "OnDelete" {
            self.update(&row, plan);
        }
    }

    /// A place in the row without a pod.
    fn create(&self, ordinal: i64, plan: &mut Plan) -> Go {
        if self.has_stale_claim(ordinal) {
            return Go::Wait;
        }
        plan.steps.extend(self.missing_claims(ordinal));
        plan.push(self.create_pod(ordinal));
        Go::Wait
    }

    /// A place in the row with a pod: one that ended is replaced, also where it succeeded.
    fn keep(&self, pod: &Pod, plan: &mut Plan) -> Go {
        if is_terminal(&pod.tree) {
            if !pod.object.is_deleting() {
                plan.push(self.delete_pod(pod));
            }
            return Go::Wait;
        }
        if pod.tree.text("status.phase") == "Pending" {
            plan.steps.extend(self.missing_claims(pod.ordinal));
        }
        if self.is_lost(pod) && self.is_ordered() {
            return Go::Wait;
        }
        plan.steps.extend(self.repair_identity(pod));
        plan.steps.extend(self.repair_claims(pod));
        Go::On
    }

    /// Pods outside the row go, the last first.
    fn condemn(&self, row: &[Option<&Pod>], plan: &mut Plan) -> Go {
        let mut condemned: Vec<&Pod> = self.pods.iter().filter(|pod| !self.has_place_for(pod.ordinal)).collect();
        condemned.sort_by_key(|pod| std::cmp::Reverse(pod.ordinal));
        let mut unhealthy = row.iter().flatten().chain(condemned.iter().rev()).filter(|pod| self.is_lost(pod));
        let first_lost = unhealthy.next().map(|pod| pod.ordinal);
        for pod in &condemned {
            plan.steps.extend(self.repair_claims(pod));
        }
        for pod in &condemned {
            if pod.object.is_deleting() {
                if self.is_ordered() {
                    return Go::Wait;
                }
                continue;
            }
            if self.is_ordered() && !self.is_available(pod) && first_lost != Some(pod.ordinal) {
                return Go::Wait;
            }
            plan.push(self.delete_pod(pod));
            if self.is_ordered() {
                return Go::Wait;
            }
        }
        Go::On
    }

    /// Deletes pods of older revisions, the last first, as many as may be unavailable. Those that are unavailable already
    /// cost nothing.
    fn update(&self, row: &[Option<&Pod>], plan: &mut Plan) {
        let rolling = self.tree.at("spec.updateStrategy.rollingUpdate");
        let lost = row.iter().filter(|pod| pod.is_none_or(|pod| self.is_lost(pod))).count();
        let mut budget = self.max_unavailable() - i64::try_from(lost).unwrap_or(i64::MAX);
        let below = usize::try_from(rolling.int("partition")).unwrap_or(usize::MAX);
        for pod in row.iter().skip(below).rev().flatten() {
            if pod.revision() == self.update.name || pod.object.is_deleting() {
                continue;
            }
            if self.is_available(pod) {
                if budget <= 0 {
                    return;
                }
                budget -= 1;
            }
            plan.push(self.delete_pod(pod));
        }
    }

    fn max_unavailable(&self) -> i64 {
        let asked = self.tree.at("spec.updateStrategy.rollingUpdate.maxUnavailable");
        if asked.is_null() { 1 } else { scaled_value(asked, self.replicas(), true).max(1) }
    }

    fn create_pod(&self, ordinal: i64) -> Step {
        let partition = self.tree.at("spec.updateStrategy.rollingUpdate.partition").as_i64();
        let is_behind = partition.is_some_and(|partition| ordinal < self.start() + partition);
        let revision = if is_behind { &self.current } else { &self.update };
        let object = identity::pod_of(self.object, &self.tree, revision, ordinal);
        let (set, name) = (self.object.name(), identity::pod_name(self.object.name(), ordinal));
        Step::from(Action::Create { resource: PODS, namespace: self.object.namespace().into(), object })
            .done(self.told("SuccessfulCreate", format!("create Pod {name} in StatefulSet {set} successful")))
            .failed(
                self.warned("FailedCreate", format!("create Pod {name} in StatefulSet {set} failed error: {{error}}")),
            )
    }

    fn delete_pod(&self, pod: &Pod) -> Step {
        let (set, name) = (self.object.name(), pod.object.name());
        let delete = Action::Delete {
            resource: PODS,
            key: pod.object.key(),
            precondition: Precondition::same(&pod.object),
            propagation: None,
            grace_period_secs: None,
        };
        Step::from(delete)
            .done(self.told("SuccessfulDelete", format!("delete Pod {name} in StatefulSet {set} successful")))
            .failed(
                self.warned("FailedDelete", format!("delete Pod {name} in StatefulSet {set} failed error: {{error}}")),
            )
    }

    fn told(&self, reason: &'static str, message: String) -> Note {
        Note::normal(self.object, reason, message)
    }

    fn warned(&self, reason: &'static str, message: String) -> Note {
        Note::warning(self.object, reason, message)
    }
}

#[cfg(test)]
mod tests;
