//! The two strategies, and the making of a new ReplicaSet.

use cache::index::BY_CONTROLLER;
use cache::{Action, Note, Plan, PlanError, Precondition, Snapshot, Step};
use serde_json::json;

use super::DEPLOYMENTS;
use super::sets::Rollout;
use crate::pods::{PODS, is_terminal};
use crate::replica_set::REPLICA_SETS;
use crate::tree::{Tree, set, tree_of};

impl Rollout<'_> {
    pub(super) fn roll(mut self, snapshot: &Snapshot) -> Result<Plan, PlanError> {
        self.find_or_create(snapshot);
        if self.created.is_empty() && self.new.is_some() && !self.grow_new() && !self.shrink_old() && self.is_complete()
        {
            self.clean_up();
        }
        self.progress();
        Ok(self.into_plan())
    }

    pub(super) fn recreate(mut self, snapshot: &Snapshot) -> Result<Plan, PlanError> {
        self.sync_new_set();
        let shrinking: Vec<usize> = self.old().filter(|index| self.sets[*index].replicas() > 0).collect();
        for index in &shrinking {
            self.resize_set(*index, 0);
        }
        if shrinking.is_empty() && !self.old_pods_run(snapshot)? {
            self.find_or_create(snapshot);
            if let Some(new) = self.new
                && self.sets[new].replicas() != self.replicas()
            {
                self.resize_set(new, self.replicas());
            }
            if self.is_complete() {
                self.clean_up();
            }
        }
        self.progress();
        Ok(self.into_plan())
    }

    /// A pod of an old set still runs, also if it is being deleted.
    fn old_pods_run(&self, snapshot: &Snapshot) -> Result<bool, PlanError> {
        for index in self.old() {
            for pod in snapshot.by_index(&PODS, BY_CONTROLLER.name, self.sets[index].object.uid()) {
                if !is_terminal(&tree_of(pod)?) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Brings the new set's annotations up to date, or makes the set where there is none.
    fn find_or_create(&mut self, snapshot: &Snapshot) {
        if let Some(new) = self.new {
            self.sync_new_set();
            let name = self.sets[new].object.name().to_owned();
            if self.has_deadline() && self.progressing().is_none() {
                self.set_condition(
                    "Progressing",
                    "True",
                    "FoundNewReplicaSet",
                    &format!("Found new replica set {name:?}"),
                );
            }
            return;
        }
        let (name, hash) = self.new_set_name();
        let key = api::Key::new(self.object.namespace(), &name);
        if snapshot.get(&REPLICA_SETS, &key).is_some() {
            // Another template has the same hash: the count is part of the next one.
            self.collision_count = Some(self.collision_count.unwrap_or(0) + 1);
            return;
        }
        let size = self.new_set_size(0);
        let object = self.new_set(&name, &hash, size);
        let namespace = self.object.namespace().into();
        let mut step = Step::from(Action::Create { resource: REPLICA_SETS, namespace, object });
        step.done = self.created_note(&name, size);
        let failure = format!("Failed to create new replica set {name:?}: {{error}}");
        step.failed = Some(Note::warning(self.object, "ReplicaSetCreateError", failure.clone()));
        if self.has_deadline() {
            let before = self.conditions.clone();
            self.set_condition("Progressing", "False", "ReplicaSetCreateError", &failure);
            step.otherwise = self.failed_status();
            self.conditions = before;
            self.set_condition(
                "Progressing",
                "True",
                "NewReplicaSetCreated",
                &format!("Created new replica set {name:?}"),
            );
        }
        self.created.push(step);
    }

    fn failed_status(&self) -> Option<Box<Action>> {
        let mut object = self.tree.clone();
        set(&mut object, "status.conditions", json!(self.conditions));
        let key = self.object.key();
        Some(Box::new(Action::Update { resource: DEPLOYMENTS, key, subresource: "status".into(), object }))
    }

    /// How big the new set may be, which has `size` now.
    pub(super) fn new_set_size(&self, size: i64) -> i64 {
        if self.is_recreate() {
            return self.replicas();
        }
        let most = self.replicas() + self.max_surge();
        let total = self.total_replicas();
        if total >= most { size } else { size + (most - total).min(self.replicas() - size) }
    }

    /// Whether the new set was resized.
    fn grow_new(&mut self) -> bool {
        let Some(new) = self.new else { return false };
        let size = self.sets[new].replicas();
        let wanted = if size > self.replicas() { self.replicas() } else { self.new_set_size(size) };
        if wanted == size {
            return false;
        }
        self.resize_set(new, wanted);
        true
    }

    /// Whether old sets were made smaller: first by their unhealthy pods, then as far as enough pods stay available.
    fn shrink_old(&mut self) -> bool {
        if self.old().all(|index| self.sets[index].replicas() == 0) {
            return false;
        }
        let min_available = self.replicas() - self.max_unavailable();
        let new_unavailable = self.new.map_or(0, |new| self.sets[new].replicas() - self.sets[new].available());
        let mut may_go = self.total_replicas() - min_available - new_unavailable;
        if may_go <= 0 {
            return false;
        }
        let before = self.total_replicas();
        for index in self.old() {
            let set = &self.sets[index];
            let unhealthy = (set.replicas() - set.available()).min(may_go);
            if unhealthy > 0 {
                may_go -= unhealthy;
                let size = set.replicas() - unhealthy;
                self.resize_set(index, size);
            }
        }
        let mut spare = self.sets.iter().map(super::sets::Set::available).sum::<i64>() - min_available;
        for index in self.old() {
            let down = self.sets[index].replicas().min(spare);
            if down > 0 {
                spare -= down;
                let size = self.sets[index].replicas() - down;
                self.resize_set(index, size);
            }
        }
        self.total_replicas() != before
    }

    /// Deletes the oldest sets beyond the history limit.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.tree.at("spec.revisionHistoryLimit").as_u64() else { return };
        let mut old: Vec<usize> = self.old().filter(|index| !self.sets[*index].object.is_deleting()).collect();
        old.sort_by_key(|index| self.sets[*index].revision());
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        for index in old.into_iter().take(surplus) {
            let set = &self.sets[index];
            let idle = set.replicas() == 0
                && set.tree.int("status.replicas") == 0
                && set.tree.int("metadata.generation") <= set.tree.int("status.observedGeneration");
            if idle {
                self.deletions.push(Step::from(Action::Delete {
                    resource: REPLICA_SETS,
                    key: set.object.key(),
                    precondition: Precondition::same(&set.object),
                    propagation: None,
                    grace_period_secs: None,
                }));
            }
        }
    }
}
