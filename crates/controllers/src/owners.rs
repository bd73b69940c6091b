//! Who owns what: objects that match an owner's selector are adopted, objects that no longer match are let go.

use api::selector::LabelSelector;
use api::{Gvr, Key, Object};
use cache::index::BY_CONTROLLER;
use cache::{Action, PlanError, Precondition, Snapshot, Step};
use serde_json::{Value, json};

use crate::labels::workload_selector;
use crate::tree::{Tree, set, tree_of};

/// The reference by which `owner` controls what it makes.
pub(crate) fn controller_reference(owner: &Object) -> Value {
    json!({
        "apiVersion": &*owner.meta().api_version,
        "kind": &*owner.meta().kind,
        "name": owner.name(),
        "uid": owner.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The objects that an owner controls, and what has to be written to make it so.
pub(crate) struct Claim {
    /// In key order, those just adopted among them.
    pub objects: Vec<Object>,
    pub steps: Vec<Step>,
}

/// Finds the objects of `resource` in the owner's namespace that `counts` and that the owner controls. The table has
/// [`BY_CONTROLLER`].
pub(crate) fn claim(
    snapshot: &Snapshot,
    resource: &Gvr,
    owner: &Object,
    selector: &LabelSelector,
    counts: impl Fn(&Object) -> bool,
) -> Result<Claim, PlanError> {
    let mut claim = Claim { objects: Vec::new(), steps: Vec::new() };
    for object in snapshot.by_index(resource, BY_CONTROLLER.name, owner.uid()).filter(|object| counts(object)) {
        if selector.matches_object(object) || owner.is_deleting() {
            claim.objects.push(object.clone());
        } else {
            claim.steps.push(release(resource, owner, object)?.into());
        }
    }
    if owner.is_deleting() {
        return Ok(claim);
    }
    for object in orphans(snapshot, resource, owner.namespace()).filter(|object| counts(object)) {
        if !object.is_deleting() && selector.matches_object(object) {
            claim.steps.push(adopt(resource, owner, object)?.into());
            claim.objects.push(object.clone());
        }
    }
    claim.objects.sort_by_key(Object::key);
    Ok(claim)
}

/// The objects of a namespace that nobody controls.
pub(crate) fn orphans<'a>(
    snapshot: &'a Snapshot,
    resource: &Gvr,
    namespace: &'a str,
) -> impl Iterator<Item = &'a Object> {
    snapshot.by_index(resource, BY_CONTROLLER.name, "").filter(move |object| object.namespace() == namespace)
}

/// The keys of the owners (of kind `kind`, in `owners`) that a change of this object concerns: its controller, or
/// whoever might adopt it.
pub(crate) fn owner_keys(snapshot: &Snapshot, owners: &Gvr, kind: &str, object: &Object) -> Vec<Key> {
    if let Some(controller) = object.controller() {
        let is_ours = &*controller.kind == kind;
        return is_ours.then(|| Key::new(object.namespace(), &controller.name)).into_iter().collect();
    }
    let wants = |owner: &&Object| owner.tree().is_ok_and(|tree| workload_selector(&tree).matches_object(object));
    snapshot.list(owners, Some(object.namespace())).filter(wants).map(Object::key).collect()
}

fn adopt(resource: &Gvr, owner: &Object, object: &Object) -> Result<Action, PlanError> {
    let mut references = tree_of(object)?.items("metadata.ownerReferences").to_vec();
    references.push(controller_reference(owner));
    Ok(set_references(resource, object, references))
}

fn release(resource: &Gvr, owner: &Object, object: &Object) -> Result<Action, PlanError> {
    let mut references = tree_of(object)?.items("metadata.ownerReferences").to_vec();
    references.retain(|reference| reference.text("uid") != owner.uid());
    Ok(set_references(resource, object, references))
}

/// Replaces all owner references of the object as it was seen.
pub(crate) fn set_references(resource: &Gvr, object: &Object, references: Vec<Value>) -> Action {
    let mut patch = json!({});
    let value = if references.is_empty() { Value::Null } else { Value::Array(references) };
    set(&mut patch, "metadata.ownerReferences", value);
    Action::Patch {
        resource: resource.clone(),
        key: object.key(),
        subresource: "".into(),
        patch,
        precondition: Precondition::exactly(object),
    }
}
