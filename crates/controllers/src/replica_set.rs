//! ReplicaSet, and its older sister ReplicationController: as many pods from a template as it asks for.
//!
//! A plan counts what the snapshot shows. The driver's barrier keeps a second plan from being made before the pods of the
//! first are in the snapshot, so there are no expectations to keep here.

use api::{Gvr, Key, Object};
use cache::index::{BY_CONTROLLER, text_at};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::labels::workload_selector;
use crate::owners::{Claim, claim, owner_keys};
use crate::pods::{PODS, available_at, is_active, is_ready};
use crate::rank::rank_for_deletion;
use crate::template::pod_of_template;
use crate::tree::{Tree, condition, set, time_text, tree_of};

pub(crate) const REPLICA_SETS: Gvr = Gvr::new("apps", "v1", "replicasets");
/// The most pods that one plan creates or deletes.
const BURST_MAX: usize = 500;

pub(crate) const REPLICATION_CONTROLLERS: Gvr = Gvr::new("", "v1", "replicationcontrollers");

/// One of the two kinds.
pub struct ReplicaSetController {
    name: &'static str,
    resource: Gvr,
    kind: &'static str,
}

impl ReplicaSetController {
    pub fn replica_sets() -> Self {
        Self { name: "replicaset-controller", resource: REPLICA_SETS, kind: "ReplicaSet" }
    }

    pub fn replication_controllers() -> Self {
        Self { name: "replication-controller", resource: REPLICATION_CONTROLLERS, kind: "ReplicationController" }
    }
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        self.name
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(self.resource.clone(), &[BY_CONTROLLER]), Interest::new(PODS, &[BY_CONTROLLER])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == self.resource {
            return change.object().map(Object::key).into_iter().collect();
        }
        let sides = change.before.iter().chain(&change.after);
        sides.flat_map(|pod| owner_keys(snapshot, &self.resource, self.kind, pod)).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&self.resource, key) else { return Ok(Plan::nothing()) };
        let set = tree_of(object)?;
        let selector = workload_selector(&set);
        let alive = |pod: &Object| !matches!(phase(pod).as_str(), "Succeeded" | "Failed");
        let Claim { objects, steps } = claim(snapshot, &PODS, object, &selector, alive)?;
        let pods = objects.into_iter().map(|o| Ok((tree_of(&o)?, o))).collect::<Result<Vec<_>, PlanError>>()?;
        let (active, ending): (Vec<_>, Vec<_>) = pods.into_iter().partition(|(tree, _)| is_active(tree));
        let mut plan = Plan { steps, wake_at: None };
        let (status, wake_at) = status_of(&set, &active, ending.len(), now);
        plan.wake_at = wake_at;
        if !object.is_deleting() {
            let failing = Failing { resource: &self.resource, set: &set, object, status: &status, now };
            plan.steps.extend(scale(snapshot, &failing, &active, now));
        }
        plan.steps.extend(update_status(&self.resource, &set, key, status).map(Step::from));
        Ok(plan)
    }
}

/// What is needed to show a failure in the status.
struct Failing<'a> {
    resource: &'a Gvr,
    set: &'a Value,
    object: &'a Object,
    status: &'a Value,
    now: Timestamp,
}

impl Failing<'_> {
    /// The status with condition ReplicaFailure, unless it is there already. `{error}` is filled in by the driver.
    fn shown(&self, step: Step, reason: &str) -> Step {
        if condition(self.set.items("status.conditions"), "ReplicaFailure").is_some() {
            return step;
        }
        let mut status = self.status.clone();
        let failure = json!({
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": time_text(self.now),
            "reason": reason,
            "message": "{error}",
        });
        let conditions = [self.status.items("conditions"), &[failure]].concat();
        set(&mut status, "conditions", Value::Array(conditions));
        match update_status(self.resource, self.set, &self.object.key(), status) {
            Some(action) => step.otherwise(action),
            None => step,
        }
    }
}

/// Creates or deletes pods until there are as many as asked for.
fn scale(snapshot: &Snapshot, failing: &Failing<'_>, active: &[(Value, Object)], now: Timestamp) -> Vec<Step> {
    let wanted = usize::try_from(replicas(failing.set)).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST_MAX);
        return (0..missing).map(|_| create_pod(failing)).collect();
    }
    let surplus = (active.len() - wanted).min(BURST_MAX);
    if surplus == 0 {
        return Vec::new();
    }
    let ranked = rank_for_deletion(active, &pods_per_node(snapshot, failing.object), now);
    ranked.into_iter().take(surplus).map(|pod| delete_pod(failing, pod)).collect()
}

fn phase(pod: &Object) -> String {
    text_at(pod.json(), &["status", "phase"]).unwrap_or_default()
}

pub(crate) fn replicas(set: &Value) -> i64 {
    set.at("spec.replicas").as_i64().unwrap_or(1)
}

fn create_pod(failing: &Failing<'_>) -> Step {
    let object = failing.object;
    let mut pod = pod_of_template(failing.set.at("spec.template"), object);
    pod["metadata"]["generateName"] = json!(format!("{}-", object.name()));
    let create = Action::Create { resource: PODS, namespace: object.namespace().into(), object: pod };
    let step = Step::from(create)
        .done(Note::normal(object, "SuccessfulCreate", "Created pod: {name}"))
        .failed(Note::warning(object, "FailedCreate", "Error creating: {error}"));
    failing.shown(step, "FailedCreate")
}

fn delete_pod(failing: &Failing<'_>, pod: &Object) -> Step {
    let delete = Action::Delete {
        resource: PODS,
        key: pod.key(),
        precondition: Precondition::same(pod),
        propagation: None,
        grace_period_secs: None,
    };
    let step = Step::from(delete)
        .done(Note::normal(failing.object, "SuccessfulDelete", "Deleted pod: {name}"))
        .failed(Note::warning(failing.object, "FailedDelete", "Error deleting: {error}"));
    failing.shown(step, "FailedDelete")
}

/// How many living pods of this set and of its sisters (of the same Deployment) are on each node.
fn pods_per_node(snapshot: &Snapshot, object: &Object) -> std::collections::BTreeMap<String, i64> {
    let mut uids = vec![object.uid()];
    if let Some(owner) = object.controller() {
        uids = snapshot.by_index(&REPLICA_SETS, BY_CONTROLLER.name, &owner.uid).map(Object::uid).collect();
    }
    let mut per_node = std::collections::BTreeMap::new();
    for pod in uids.iter().flat_map(|uid| snapshot.by_index(&PODS, BY_CONTROLLER.name, uid)) {
        if let Ok(tree) = pod.tree()
            && is_active(&tree)
        {
            *per_node.entry(tree.text("spec.nodeName").to_owned()).or_default() += 1;
        }
    }
    per_node
}

/// The status that the pods make, without ReplicaFailure, and when it will change by itself.
fn status_of(
    set_tree: &Value,
    active: &[(Value, Object)],
    ending: usize,
    now: Timestamp,
) -> (Value, Option<Timestamp>) {
    let min_ready_secs = set_tree.int("spec.minReadySeconds");
    let template_labels = set_tree.at("spec.template.metadata.labels").as_object();
    let labeled = |pod: &Object| template_labels.is_none_or(|all| all.iter().all(|(k, v)| pod.label(k) == v.as_str()));
    let available: Vec<Timestamp> = active.iter().filter_map(|(pod, _)| available_at(pod, min_ready_secs)).collect();
    let mut conditions = set_tree.items("status.conditions").to_vec();
    conditions.retain(|condition| condition.text("type") != "ReplicaFailure");
    let mut status = json!({
        "replicas": active.len(),
        "fullyLabeledReplicas": active.iter().filter(|(_, pod)| labeled(pod)).count(),
        "readyReplicas": active.iter().filter(|(pod, _)| is_ready(pod)).count(),
        "availableReplicas": available.iter().filter(|at| **at <= now).count(),
        "observedGeneration": set_tree.int("metadata.generation"),
    });
    if set_tree.text("kind") == "ReplicaSet" {
        status["terminatingReplicas"] = json!(ending);
    }
    if !conditions.is_empty() {
        status["conditions"] = Value::Array(conditions);
    }
    (status, available.into_iter().filter(|at| *at > now).min())
}

/// Writes the status if it says something new. Counts that are absent are zero.
fn update_status(resource: &Gvr, set_tree: &Value, key: &Key, status: Value) -> Option<Action> {
    let old = set_tree.at("status");
    const COUNTS: [&str; 6] = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ];
    let same = COUNTS.iter().all(|field| old.int(field) == status.int(field))
        && old.items("conditions") == status.items("conditions");
    if same {
        return None;
    }
    let mut object = set_tree.clone();
    let mut kept = status;
    if let Some(fields) = kept.as_object_mut() {
        // Zero counts are left out as in upstream's encoding; `replicas` is always there, and terminatingReplicas is a
        // pointer that is set.
        fields.retain(|name, value| {
            value.as_i64() != Some(0) || matches!(name.as_str(), "replicas" | "terminatingReplicas")
        });
    }
    set(&mut object, "status", kept);
    Some(Action::Update { resource: resource.clone(), key: key.clone(), subresource: "status".into(), object })
}

#[cfg(test)]
mod tests;
