//! The ReplicaSets of a Deployment as a plan works on them: which is the new one, revisions, annotations, names.

use api::Object;
use cache::{Action, Note, PlanError, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::owners::controller_reference;
use crate::replica_set::{REPLICA_SETS, replicas};
use crate::template::{hash_of, scaled_value};
use crate::tree::{Tree, set, set_annotation, tree_of, without_nulls};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// A Deployment's annotations are copied to its sets, except these.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
const REVISION_HISTORY_LEN_MAX: usize = 2000;

/// One ReplicaSet and what the plan has changed about it.
pub(super) struct Set {
    pub object: Object,
    pub tree: Value,
    before: Value,
}

/// A Deployment, its sets, and what the plan has decided so far.
pub(super) struct Rollout<'a> {
    pub object: &'a Object,
    pub tree: Value,
    /// The oldest first.
    pub sets: Vec<Set>,
    /// The set with the Deployment's template.
    pub new: Option<usize>,
    pub conditions: Vec<Value>,
    pub collision_count: Option<i64>,
    pub created: Vec<Step>,
    pub deletions: Vec<Step>,
    pub now: Timestamp,
}

impl Set {
    pub fn replicas(&self) -> i64 {
        replicas(&self.tree)
    }

    pub fn available(&self) -> i64 {
        self.tree.int("status.availableReplicas")
    }

    pub fn revision(&self) -> i64 {
        revision_of(&self.tree)
    }

    pub fn annotation_int(&self, key: &str) -> Option<i64> {
        self.tree.annotation(key)?.parse().ok()
    }

    /// The write of what was changed, with the event of a resize.
    pub fn update(&self, deployment: &Object) -> Option<Step> {
        if self.tree == self.before {
            return None;
        }
        let action = Action::Update {
            resource: REPLICA_SETS,
            key: self.object.key(),
            subresource: "".into(),
            object: self.tree.clone(),
        };
        let (old, new) = (replicas(&self.before), self.replicas());
        Some(if old == new {
            action.into()
        } else {
            Step::from(action).done(scaled(deployment, self.object.name(), old, new))
        })
    }
}

fn scaled(deployment: &Object, name: &str, old: i64, new: i64) -> Note {
    let direction = if new > old { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {name} from {old} to {new}");
    Note::normal(deployment, "ScalingReplicaSet", message)
}

impl<'a> Rollout<'a> {
    pub fn new(object: &'a Object, tree: Value, sets: &[Object], now: Timestamp) -> Result<Self, PlanError> {
        let mut sets = sets
            .iter()
            .map(|object| {
                let tree = tree_of(object)?;
                Ok(Set { object: object.clone(), before: tree.clone(), tree })
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        sets.sort_by_key(|set| (set.object.meta().creation_timestamp, set.object.key()));
        let template = bare_template(tree.at("spec.template"));
        let new = sets.iter().position(|set| bare_template(set.tree.at("spec.template")) == template);
        Ok(Self {
            conditions: tree.items("status.conditions").to_vec(),
            collision_count: tree.at("status.collisionCount").as_i64(),
            object,
            tree,
            sets,
            new,
            created: Vec::new(),
            deletions: Vec::new(),
            now,
        })
    }

    pub fn replicas(&self) -> i64 {
        replicas(&self.tree)
    }

    pub fn is_paused(&self) -> bool {
        self.tree.flag("spec.paused")
    }

    pub fn is_recreate(&self) -> bool {
        self.tree.text("spec.strategy.type") == "Recreate"
    }

    /// The old sets, the oldest first.
    pub fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let new = self.new;
        (0..self.sets.len()).filter(move |index| new != Some(*index))
    }

    pub fn total_replicas(&self) -> i64 {
        self.sets.iter().map(Set::replicas).sum()
    }

    /// How many pods may be too many and too few during a roll.
    pub fn fenceposts(&self) -> (i64, i64) {
        if self.is_recreate() {
            return (0, 0);
        }
        let desired = self.replicas();
        let rolling = self.tree.at("spec.strategy.rollingUpdate");
        let surge = scaled_value(rolling.at("maxSurge"), desired, true);
        let unavailable = scaled_value(rolling.at("maxUnavailable"), desired, false);
        // Both zero would never get on.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    pub fn max_surge(&self) -> i64 {
        self.fenceposts().0
    }

    pub fn max_unavailable(&self) -> i64 {
        if self.is_recreate() || self.replicas() == 0 { 0 } else { self.fenceposts().1.min(self.replicas()) }
    }

    /// Sets the size of a set, and the annotations by which a later resize keeps proportions.
    pub fn resize_set(&mut self, index: usize, size: i64) {
        let (desired, most) = (self.replicas(), self.replicas() + self.max_surge());
        let tree = &mut self.sets[index].tree;
        set(tree, "spec.replicas", json!(size));
        set_annotation(tree, DESIRED_REPLICAS, &desired.to_string());
        set_annotation(tree, MAX_REPLICAS, &most.to_string());
    }

    /// Gives the new set the newest revision and the Deployment's annotations.
    pub fn sync_new_set(&mut self) {
        let Some(new) = self.new else { return };
        let revision = self.next_revision();
        let deployment = self.tree.clone();
        let tree = &mut self.sets[new].tree;
        annotate(&deployment, tree, revision);
        let min_ready = deployment.at("spec.minReadySeconds").clone();
        if tree.int("spec.minReadySeconds") != deployment.int("spec.minReadySeconds") {
            set(tree, "spec.minReadySeconds", min_ready);
        }
    }

    /// One more than the newest of the old sets'.
    fn next_revision(&self) -> i64 {
        self.old().map(|index| self.sets[index].revision()).max().unwrap_or(0) + 1
    }

    /// The name and hash that a set of the present template has.
    pub fn new_set_name(&self) -> (String, String) {
        let hash = hash_of(&bare_template(self.tree.at("spec.template")), self.collision_count);
        (format!("{}-{hash}", self.object.name()), hash)
    }

    /// A set of the present template, as big as it may be at once.
    pub fn new_set(&self, name: &str, hash: &str, size: i64) -> Value {
        let mut template = self.tree.at("spec.template").clone();
        let mut labels = template.at("metadata.labels").clone();
        labels[HASH_LABEL] = json!(hash);
        set(&mut template, "metadata.labels", labels.clone());
        let mut selector = self.tree.at("spec.selector").clone();
        let mut match_labels = selector.at("matchLabels").clone();
        match_labels[HASH_LABEL] = json!(hash);
        selector["matchLabels"] = match_labels;
        let mut tree = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": self.object.namespace(),
                "labels": labels,
                "ownerReferences": [controller_reference(self.object)],
            },
            "spec": {"replicas": size, "selector": selector, "template": template},
        });
        if self.tree.int("spec.minReadySeconds") != 0 {
            set(&mut tree, "spec.minReadySeconds", self.tree.at("spec.minReadySeconds").clone());
        }
        annotate(&self.tree, &mut tree, self.next_revision());
        set_annotation(&mut tree, DESIRED_REPLICAS, &self.replicas().to_string());
        set_annotation(&mut tree, MAX_REPLICAS, &(self.replicas() + self.max_surge()).to_string());
        tree
    }

    pub fn created_note(&self, name: &str, size: i64) -> Option<Note> {
        (size > 0).then(|| scaled(self.object, name, 0, size))
    }
}

fn revision_of(tree: &Value) -> i64 {
    tree.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Copies annotations from the Deployment, and raises the revision; a revision that is left goes to the history.
fn annotate(deployment: &Value, tree: &mut Value, revision: i64) {
    for (key, value) in deployment.at("metadata.annotations").as_object().into_iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str())
            && let Some(text) = value.as_str()
        {
            set_annotation(tree, key, text);
        }
    }
    let old = revision_of(tree);
    if old >= revision {
        return;
    }
    set_annotation(tree, REVISION, &revision.to_string());
    if old > 0 {
        let history = tree.annotation(REVISION_HISTORY).unwrap_or_default();
        let mut revisions: Vec<String> = history.split(',').filter(|r| !r.is_empty()).map(str::to_owned).collect();
        revisions.push(old.to_string());
        while revisions.join(",").len() > REVISION_HISTORY_LEN_MAX {
            revisions.remove(0);
        }
        set_annotation(tree, REVISION_HISTORY, &revisions.join(","));
    }
}

/// The template without the label that tells sets apart.
fn bare_template(template: &Value) -> Value {
    let mut bare = without_nulls(template);
    if let Some(labels) = bare.get_mut("metadata").and_then(|m| m.get_mut("labels")).and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    bare
}
