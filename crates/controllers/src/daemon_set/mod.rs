//! DaemonSet: one pod on each node that it selects.
//!
//! ```text
//! claim revisions and pods -> newest revision -> status -> nodes without a pod, pods too many (create, delete)
//!    -> rolling update (delete the old first, or make the new first) -> old revisions
//! ```
//! The pod names its node by affinity and the scheduler binds it, so that preemption and resources count. Semantics:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>, KEP-1591 (maxSurge).

mod nodes;
mod status;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use api::{Gvr, Key, Object};
use cache::index::BY_CONTROLLER;
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::history::{History, REVISION_HASH, REVISIONS, Revision};
use crate::labels::workload_selector;
use crate::node_lifecycle::NODES;
use crate::owners::{Claim, claim, owner_keys};
use crate::pods::{PODS, available_at, is_ready};
use crate::template::pod_of_template;
use crate::tree::{Tree, tree_of};
use nodes::Fit;

const DAEMON_SETS: Gvr = Gvr::new("apps", "v1", "daemonsets");
/// By these a client sees which generation of the template a pod is of (deprecated, and still read).
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const POD_GENERATION: &str = "pod-template-generation";
/// The most pods that one plan creates or deletes.
const BURST_MAX: usize = 250;
/// A pod that failed at once is not replaced sooner than this after its creation.
const FAILED_POD_SECS: i64 = 10;

pub struct DaemonSetController;

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn account(&self) -> &'static str {
        "daemon-set-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![
            Interest::new(DAEMON_SETS, &[]),
            Interest::new(PODS, &[BY_CONTROLLER]),
            Interest::new(REVISIONS, &[BY_CONTROLLER]),
            Interest::new(NODES, &[]),
        ]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == DAEMON_SETS {
            return change.object().map(Object::key).into_iter().collect();
        }
        if *resource == NODES {
            if !nodes::matters(change) {
                return Vec::new();
            }
            return snapshot.list(&DAEMON_SETS, None).map(Object::key).collect();
        }
        let sides = change.before.iter().chain(&change.after);
        sides.flat_map(|object| owner_keys(snapshot, &DAEMON_SETS, "DaemonSet", object)).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&DAEMON_SETS, key) else { return Ok(Plan::nothing()) };
        let tree = tree_of(object)?;
        let (history, mut steps) = History::claim(snapshot, object, &tree)?;
        let Claim { objects, steps: pod_steps } = claim(snapshot, &PODS, object, &workload_selector(&tree), |_| true)?;
        steps.extend(pod_steps);
        if object.is_deleting() {
            return Ok(Plan { steps, wake_at: None });
        }
        let newest = history.newest(snapshot, object, &tree, REVISION_HASH);
        steps.extend(newest.step);
        let set = Set::read(snapshot, object, tree, newest.revision, newest.collision_count, objects, now)?;
        let mut plan = Plan { steps, wake_at: set.next_available() };
        plan.steps.extend(set.status_update().map(Step::from));
        let mut work = Work::default();
        set.place(&mut work);
        set.roll(&mut work);
        work.write(&set, &mut plan);
        let hashes: BTreeSet<&str> = set.pods().filter_map(|pod| pod.object.label(REVISION_HASH)).collect();
        let is_live = |revision: &&Revision| hashes.contains(revision.labels.text(REVISION_HASH));
        let mut live: BTreeSet<&str> = history.revisions.iter().filter(is_live).map(|r| r.name.as_str()).collect();
        live.insert(&set.update.name);
        let limit = set.tree.at("spec.revisionHistoryLimit").as_i64().unwrap_or(10);
        plan.steps.extend(history.truncate(limit, &live));
        Ok(plan)
    }
}

/// A DaemonSet as a plan works on it.
struct Set<'a> {
    object: &'a Object,
    tree: Value,
    update: Revision,
    collision_count: i64,
    /// Every node, and whether the set's pods may be there.
    nodes: BTreeMap<&'a str, Fit>,
    /// The set's pods by the node that they are on or meant for, the oldest first.
    placed: BTreeMap<String, Vec<Pod>>,
    now: Timestamp,
}

struct Pod {
    object: Object,
    tree: Value,
}

/// What a plan does to pods.
#[derive(Default)]
struct Work<'a> {
    creations: BTreeSet<&'a str>,
    deletions: Vec<&'a Pod>,
    /// What to tell about pods that ended.
    notes: Vec<Note>,
    wake_at: Option<Timestamp>,
}

impl<'a> Set<'a> {
    fn read(
        snapshot: &'a Snapshot,
        object: &'a Object,
        tree: Value,
        update: Revision,
        collision_count: i64,
        pods: Vec<Object>,
        now: Timestamp,
    ) -> Result<Self, PlanError> {
        let mut nodes = BTreeMap::new();
        let template = nodes::template(&tree);
        for node in snapshot.list(&NODES, None) {
            nodes.insert(node.name(), nodes::fit(&template, node.name(), &tree_of(node)?));
        }
        let mut placed: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
        for object in pods {
            let tree = tree_of(&object)?;
            placed.entry(nodes::node_of(&tree).to_owned()).or_default().push(Pod { object, tree });
        }
        for pods in placed.values_mut() {
            // Of several, the one that is on the node longest stays.
            pods.sort_by_key(|pod| (pod.tree.text("spec.nodeName").is_empty(), pod.object.meta().creation_timestamp));
        }
        Ok(Self { object, tree, update, collision_count, nodes, placed, now })
    }

    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.placed.values().flatten()
    }

    fn on(&self, node: &str) -> &[Pod] {
        self.placed.get(node).map_or(&[], Vec::as_slice)
    }

    fn hash(&self) -> &str {
        self.update.labels.text(REVISION_HASH)
    }

    fn is_updated(&self, pod: &Pod) -> bool {
        pod.object.label(REVISION_HASH) == Some(self.hash())
    }

    fn is_available(&self, pod: &Pod) -> bool {
        available_at(&pod.tree, self.tree.int("spec.minReadySeconds")).is_some_and(|at| at <= self.now)
    }

    fn next_available(&self) -> Option<Timestamp> {
        let min_ready_secs = self.tree.int("spec.minReadySeconds");
        let times = self.pods().filter_map(|pod| available_at(&pod.tree, min_ready_secs));
        times.filter(|at| *at > self.now).min()
    }

    /// Pods for nodes that have none, and an end to those that are too many.
    fn place<'s>(&'s self, work: &mut Work<'s>) {
        for (node, fit) in &self.nodes {
            let pods = self.on(node);
            match fit {
                Fit::Runs if pods.is_empty() => {
                    work.creations.insert(node);
                }
                Fit::Runs | Fit::Stays => self.tend(node, pods, work),
                Fit::Goes => work.deletions.extend(pods.iter().filter(|pod| !pod.object.is_deleting())),
            }
        }
        // Of pods that wait for a node that is gone nobody else takes care; those that ran are the pod garbage
        // collector's.
        let lost = self.pods().filter(|pod| {
            pod.tree.text("spec.nodeName").is_empty() && !self.nodes.contains_key(nodes::node_of(&pod.tree))
        });
        work.deletions.extend(lost.filter(|pod| !pod.object.is_deleting()));
    }

    /// A node that has pods: those that ended go, and of several living ones all but the oldest.
    fn tend<'s>(&'s self, node: &str, pods: &'s [Pod], work: &mut Work<'s>) {
        let mut living = Vec::new();
        for pod in pods.iter().filter(|pod| !pod.object.is_deleting()) {
            let (namespace, name) = (pod.object.namespace(), pod.object.name());
            match pod.tree.text("status.phase") {
                "Failed" => {
                    let created = pod.object.meta().creation_timestamp.unwrap_or(self.now);
                    let at = created + SignedDuration::from_secs(FAILED_POD_SECS);
                    if at > self.now {
                        work.wake_at = Some(work.wake_at.map_or(at, |earlier| earlier.min(at)));
                        continue;
                    }
                    let message =
                        format!("Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it");
                    work.notes.push(Note::warning(self.object, "FailedDaemonPod", message));
                    work.deletions.push(pod);
                }
                "Succeeded" => {
                    let message =
                        format!("Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it");
                    work.notes.push(Note::normal(self.object, "SucceededDaemonPod", message));
                    work.deletions.push(pod);
                }
                _ => living.push(pod),
            }
        }
        if self.max_surge() == 0 {
            work.deletions.extend(living.into_iter().skip(1));
            return;
        }
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = living.into_iter().partition(|pod| self.is_updated(pod));
        work.deletions.extend(new.iter().skip(1).chain(old.iter().skip(1)));
        if let ([new, ..], [old, ..]) = (new.as_slice(), old.as_slice())
            && (!is_ready(&old.tree) || self.is_available(new))
        {
            work.deletions.push(old);
        }
    }

    fn create_pod(&self, node: &str) -> Step {
        let mut pod = pod_of_template(&self.update.template, self.object);
        pod["metadata"]["generateName"] = json!(format!("{}-", self.object.name()));
        pod["metadata"]["labels"][REVISION_HASH] = json!(self.hash());
        if let Some(generation) = self.tree.annotation(TEMPLATE_GENERATION) {
            pod["metadata"]["labels"][POD_GENERATION] = json!(generation);
        }
        pod["spec"] = nodes::spec_for(pod.at("spec"), node);
        Step::from(Action::Create { resource: PODS, namespace: self.object.namespace().into(), object: pod })
            .done(Note::normal(self.object, "SuccessfulCreate", "Created pod: {name}"))
            .failed(Note::warning(self.object, "FailedCreate", "Error creating: {error}"))
    }

    fn delete_pod(&self, pod: &Pod) -> Step {
        let delete = Action::Delete {
            resource: PODS,
            key: pod.object.key(),
            precondition: Precondition::same(&pod.object),
            propagation: None,
            grace_period_secs: None,
        };
        Step::from(delete)
            .done(Note::normal(self.object, "SuccessfulDelete", "Deleted pod: {name}"))
            .failed(Note::warning(self.object, "FailedDelete", "Error deleting: {error}"))
    }
}

impl Work<'_> {
    fn write(self, set: &Set<'_>, plan: &mut Plan) {
        for note in self.notes {
            plan.push(Step::from(Action::Tell).done(note));
        }
        let mut seen = BTreeSet::new();
        let deletions = self.deletions.into_iter().filter(|pod| seen.insert(pod.object.key()));
        plan.steps.extend(deletions.take(BURST_MAX).map(|pod| set.delete_pod(pod)));
        plan.steps.extend(self.creations.into_iter().take(BURST_MAX).map(|node| set.create_pod(node)));
        if let Some(at) = self.wake_at {
            plan.wake_by(at);
        }
    }
}

#[cfg(test)]
mod tests;
