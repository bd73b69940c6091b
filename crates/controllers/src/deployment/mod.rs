//! Deployment: rolls its ReplicaSets from one pod template to the next.
//!
//! ```text
//! claim sets -> find the new one (same template) -> paused or resized? scale : Recreate | RollingUpdate -> status
//! ```
//! A plan goes as far as its first kind of write and then shows the status; the driver plans again once the cache shows
//! it. The steps are upstream's (<https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>), their events,
//! reasons and annotations word for word, because `kubectl rollout` works by them.

mod rollout;
mod scale;
mod sets;
mod status;

use api::{Gvr, Key};
use cache::index::BY_CONTROLLER;
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Snapshot, Step};
use jiff::Timestamp;

use crate::labels::workload_selector;
use crate::owners::{claim, owner_keys};
use crate::pods::PODS;
use crate::replica_set::REPLICA_SETS;
use crate::tree::{Tree, set_annotation, tree_of};
use sets::{REVISION, Rollout};

const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");

pub struct DeploymentController;

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![
            Interest::new(DEPLOYMENTS, &[]),
            Interest::new(REPLICA_SETS, &[BY_CONTROLLER]),
            Interest::new(PODS, &[BY_CONTROLLER]),
        ]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == DEPLOYMENTS {
            return change.object().map(|object| object.key()).into_iter().collect();
        }
        if *resource == REPLICA_SETS {
            let sides = change.before.iter().chain(&change.after);
            return sides.flat_map(|set| owner_keys(snapshot, &DEPLOYMENTS, "Deployment", set)).collect();
        }
        // A Recreate rollout goes on when the last old pod is gone.
        let gone = change.before.as_ref().filter(|_| change.after.is_none());
        let set = gone.and_then(|pod| {
            let owner = pod.controller().filter(|owner| &*owner.kind == "ReplicaSet")?;
            snapshot.get(&REPLICA_SETS, &Key::new(pod.namespace(), &owner.name))
        });
        set.map(|set| owner_keys(snapshot, &DEPLOYMENTS, "Deployment", set)).unwrap_or_default()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&DEPLOYMENTS, key) else { return Ok(Plan::nothing()) };
        let tree = tree_of(object)?;
        let claimed = claim(snapshot, &REPLICA_SETS, object, &workload_selector(&tree), |_| true)?;
        if !claimed.steps.is_empty() {
            return Ok(Plan { steps: claimed.steps, wake_at: None });
        }
        let mut rollout = Rollout::new(object, tree, &claimed.objects, now)?;
        if object.is_deleting() {
            return Ok(rollout.status_only());
        }
        rollout.note_pause();
        if rollout.is_paused() || rollout.was_resized() {
            return Ok(rollout.resize());
        }
        if rollout.is_recreate() { rollout.recreate(snapshot) } else { rollout.roll(snapshot) }
    }
}

impl Rollout<'_> {
    /// All writes: the sets that were changed, then the Deployment's status. Its revision goes with the status, as
    /// upstream: an annotation written beside the spec would count as a new generation.
    fn into_plan(mut self) -> Plan {
        let mut plan = Plan { steps: std::mem::take(&mut self.created), wake_at: None };
        plan.steps.extend(self.sets.iter().filter_map(|set| set.update(self.object)));
        plan.steps.append(&mut self.deletions);
        let revision = self.new.and_then(|new| self.sets[new].tree.annotation(REVISION)).unwrap_or_default().to_owned();
        let revised = !revision.is_empty() && self.tree.annotation(REVISION) != Some(revision.as_str());
        let mut update = self.status_update();
        if revised {
            set_annotation(update.get_or_insert_with(|| self.tree.clone()), REVISION, &revision);
        }
        if let Some(object) = update {
            let key = self.object.key();
            plan.push(Step::from(Action::Update { resource: DEPLOYMENTS, key, subresource: "status".into(), object }));
        }
        plan.wake_at = self.deadline();
        plan
    }
}

#[cfg(test)]
mod tests;
