//! The PersistentVolumeClaims of a StatefulSet's pods: made before the pod, kept by default, or owned by the set or the
//! pod so that they go with it (KEP-1847).

use api::{Gvr, Key, Object};
use cache::{Action, Snapshot, Step};
use serde_json::{Value, json};

use super::identity::{claim_name, pod_name};
use super::{Pod, STATEFUL_SETS, Set};
use crate::owners::{controller_reference, set_references};
use crate::pods::PODS;
use crate::tree::{Tree, tree_of, without_nulls};

pub(super) const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

/// The sets whose claim this may have been, by its name.
pub(super) fn sets_of(snapshot: &Snapshot, claim: &Object) -> Vec<Key> {
    let may_be_of = |set: &&Object| {
        let Ok(tree) = tree_of(set) else { return false };
        let names = tree.items("spec.volumeClaimTemplates");
        names
            .iter()
            .any(|template| claim.name().starts_with(&format!("{}-{}-", template.text("metadata.name"), set.name())))
    };
    snapshot.list(&STATEFUL_SETS, Some(claim.namespace())).filter(may_be_of).map(Object::key).collect()
}

impl Set<'_> {
    fn templates(&self) -> &[Value] {
        self.tree.items("spec.volumeClaimTemplates")
    }

    fn claims(&self, ordinal: i64) -> impl Iterator<Item = &Object> {
        self.templates().iter().filter_map(move |template| {
            let name = claim_name(template, self.object.name(), ordinal);
            self.snapshot.get(&CLAIMS, &Key::new(self.object.namespace(), &name))
        })
    }

    /// A claim that goes with a former pod of the same name: the garbage collector is about to delete it.
    pub(super) fn has_stale_claim(&self, ordinal: i64) -> bool {
        let name = pod_name(self.object.name(), ordinal);
        let pod = self.snapshot.get(&PODS, &Key::new(self.object.namespace(), &name)).map(Object::uid);
        self.claims(ordinal).any(|claim| {
            let mut owners = claim.meta().owner_references.iter();
            owners.any(|owner| &*owner.kind == "Pod" && *owner.name == *name && Some(&*owner.uid) != pod)
        })
    }

    pub(super) fn missing_claims(&self, ordinal: i64) -> Vec<Step> {
        let mut steps = Vec::new();
        for template in self.templates() {
            let name = claim_name(template, self.object.name(), ordinal);
            if self.snapshot.get(&CLAIMS, &Key::new(self.object.namespace(), &name)).is_none() {
                steps.push(self.create_claim(template, &name, ordinal));
            }
        }
        steps
    }

    fn create_claim(&self, template: &Value, name: &str, ordinal: i64) -> Step {
        let mut labels = template.at("metadata.labels").clone();
        for (label, value) in self.tree.at("spec.selector.matchLabels").as_object().into_iter().flatten() {
            labels[label] = value.clone();
        }
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "labels": labels, "annotations": template.at("metadata.annotations")},
            "spec": template.at("spec"),
        });
        if self.owner_kind(ordinal) == Some("StatefulSet") {
            object["metadata"]["ownerReferences"] = json!([controller_reference(self.object)]);
        }
        let (set, pod) = (self.object.name(), pod_name(self.object.name(), ordinal));
        let create = Action::Create {
            resource: CLAIMS,
            namespace: self.object.namespace().into(),
            object: without_nulls(&object),
        };
        Step::from(create)
            .done(self.told("SuccessfulCreate", format!("create Claim {name} Pod {pod} in StatefulSet {set} success")))
            .failed(self.warned(
                "FailedCreate",
                format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {{error}}"),
            ))
    }

    /// The kind of object that an ordinal's claims go with.
    fn owner_kind(&self, ordinal: i64) -> Option<&'static str> {
        let policy = self.tree.at("spec.persistentVolumeClaimRetentionPolicy");
        if policy.text("whenScaled") == "Delete" && !self.has_place_for(ordinal) {
            return Some("Pod");
        }
        (policy.text("whenDeleted") == "Delete").then_some("StatefulSet")
    }

    /// Makes the claims of a pod go with the set, with the pod, or with neither. A claim that something else controls is
    /// left alone.
    pub(super) fn repair_claims(&self, pod: &Pod) -> Vec<Step> {
        let owner = match self.owner_kind(pod.ordinal) {
            Some("StatefulSet") => Some(self.object),
            Some(_) => Some(&pod.object),
            None => None,
        };
        let is_ours = |uid: &str| uid == self.object.uid() || uid == pod.object.uid();
        let mut steps = Vec::new();
        for claim in self.claims(pod.ordinal) {
            let present = &claim.meta().owner_references;
            let ours: Vec<&str> = present.iter().map(|owner| &*owner.uid).filter(|uid| is_ours(uid)).collect();
            let is_foreign = claim.controller().is_some_and(|controller| !is_ours(&controller.uid));
            if is_foreign || ours == owner.map(Object::uid).into_iter().collect::<Vec<_>>() {
                continue;
            }
            let Ok(tree) = tree_of(claim) else { continue };
            let mut references = tree.items("metadata.ownerReferences").to_vec();
            references.retain(|reference| !is_ours(reference.text("uid")));
            references.extend(owner.map(controller_reference));
            steps.push(Step::from(set_references(&CLAIMS, claim, references)));
        }
        steps
    }
}
