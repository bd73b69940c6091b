//! The past templates of a StatefulSet or DaemonSet, kept as ControllerRevisions: what `kubectl rollout history` shows and
//! `kubectl rollout undo` goes back to.

use std::collections::BTreeSet;

use api::{Gvr, Key, Object};
use cache::{Action, PlanError, Precondition, Snapshot, Step};
use serde_json::{Value, json};

use crate::labels::workload_selector;
use crate::owners::{Claim, claim, controller_reference};
use crate::template::hash_of;
use crate::tree::{Tree, tree_of, without_nulls};

pub(crate) const REVISIONS: Gvr = Gvr::new("apps", "v1", "controllerrevisions");
/// On the pods of both kinds; on the revisions of a DaemonSet.
pub(crate) const REVISION_HASH: &str = "controller-revision-hash";
const PREFIX_LEN_MAX: usize = 223;

/// One past template, or the present one.
#[derive(Clone)]
pub(crate) struct Revision {
    pub name: String,
    pub number: i64,
    pub template: Value,
    pub labels: Value,
}

/// An owner's revisions, the oldest first.
pub(crate) struct History {
    pub revisions: Vec<Revision>,
    objects: Vec<Object>,
}

/// The revision of the owner's present template.
pub(crate) struct Newest {
    pub revision: Revision,
    /// What makes it the newest where it is not.
    pub step: Option<Step>,
    pub collision_count: i64,
}

impl History {
    /// The revisions that the owner controls, and the writes by which it adopts and lets go.
    pub fn claim(snapshot: &Snapshot, owner: &Object, tree: &Value) -> Result<(Self, Vec<Step>), PlanError> {
        let Claim { objects, steps } = claim(snapshot, &REVISIONS, owner, &workload_selector(tree), |_| true)?;
        let mut known =
            objects.into_iter().map(|o| Ok((revision_of(&o)?, o))).collect::<Result<Vec<_>, PlanError>>()?;
        known.sort_by(|(a, x), (b, y)| {
            let age = |object: &Object| object.meta().creation_timestamp;
            a.number.cmp(&b.number).then_with(|| age(x).cmp(&age(y))).then_with(|| a.name.cmp(&b.name))
        });
        let (revisions, objects) = known.into_iter().unzip();
        Ok((Self { revisions, objects }, steps))
    }

    /// The revision of the template in `tree`: the one it had before, which becomes the newest again, or a new one.
    /// `hash_label` is the label under which a revision shows its hash.
    pub fn newest(&self, snapshot: &Snapshot, owner: &Object, tree: &Value, hash_label: &str) -> Newest {
        let template = without_nulls(tree.at("spec.template"));
        let collision_count = tree.int("status.collisionCount");
        let next = self.revisions.last().map_or(0, |newest| newest.number) + 1;
        let Some(at) = self.revisions.iter().rposition(|revision| revision.template == template) else {
            return self.create(snapshot, owner, tree, template, next, hash_label);
        };
        let mut revision = self.revisions[at].clone();
        if at + 1 == self.revisions.len() {
            return Newest { revision, step: None, collision_count };
        }
        revision.number = next;
        let action = Action::Patch {
            resource: REVISIONS,
            key: self.objects[at].key(),
            subresource: "".into(),
            patch: json!({"revision": next}),
            precondition: Precondition::exactly(&self.objects[at]),
        };
        Newest { revision, step: Some(action.into()), collision_count }
    }

    fn create(
        &self,
        snapshot: &Snapshot,
        owner: &Object,
        tree: &Value,
        template: Value,
        number: i64,
        hash_label: &str,
    ) -> Newest {
        let mut collision_count = tree.int("status.collisionCount");
        let prefix: String = owner.name().chars().take(PREFIX_LEN_MAX).collect();
        // Another template may have the same hash: the count is part of the next try's.
        let (name, hash) = loop {
            let hash = hash_of(&template, Some(collision_count));
            let name = format!("{prefix}-{hash}");
            if snapshot.get(&REVISIONS, &Key::new(owner.namespace(), &name)).is_none() {
                break (name, hash);
            }
            collision_count += 1;
        };
        let mut labels = template.at("metadata.labels").clone();
        labels[hash_label] = json!(hash);
        let mut patched = template.clone();
        patched["$patch"] = json!("replace");
        let object = without_nulls(&json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": tree.at("metadata.annotations"),
                "ownerReferences": [controller_reference(owner)],
            },
            "data": {"spec": {"template": patched}},
            "revision": number,
        }));
        let action = Action::Create { resource: REVISIONS, namespace: owner.namespace().into(), object };
        let revision = Revision { name, number, template, labels };
        Newest { revision, step: Some(action.into()), collision_count }
    }

    /// Deletes the oldest revisions beyond the limit that are not `live`.
    pub fn truncate(&self, limit: i64, live: &BTreeSet<&str>) -> Vec<Step> {
        let idle: Vec<_> = self.objects.iter().filter(|object| !live.contains(object.name())).collect();
        let Ok(limit) = usize::try_from(limit) else { return Vec::new() };
        let surplus = idle.len().saturating_sub(limit);
        let delete = |object: &&Object| {
            Step::from(Action::Delete {
                resource: REVISIONS,
                key: object.key(),
                precondition: Precondition::same(object),
                propagation: None,
                grace_period_secs: None,
            })
        };
        idle.iter().take(surplus).map(delete).collect()
    }
}

fn revision_of(object: &Object) -> Result<Revision, PlanError> {
    let tree = tree_of(object)?;
    let mut template = without_nulls(tree.at("data.spec.template"));
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Ok(Revision {
        name: object.name().to_owned(),
        number: tree.int("revision"),
        template,
        labels: tree.at("metadata.labels").clone(),
    })
}
