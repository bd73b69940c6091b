//! Garbage collector: what all owners of are gone goes too; owners that wait for their dependents, or that let them go.
//!
//! Keys are objects of any resource. The graph is not kept: each plan asks the snapshot, which indexes every object by
//! its owners' uids. Only metadata is held of resources that nobody else reads.
//! Rules: <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>.

use api::name::split_api_version;
use api::{Gvr, Key, Object, OwnerReference};
use cache::controller::About;
use cache::index::BY_OWNER;
use cache::{Action, Change, Controller, Discovery, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Served;
use crate::definitions::{self, BY_KIND, DEFINITIONS};
use crate::owners::set_references;
use crate::tree::{Tree, set, tree_of};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Upstream's ignored resources: nobody owns by them and they end by themselves.
const IGNORED: &str = "events";

pub struct GarbageCollector {
    served: Vec<Served>,
}

/// What an owner reference leads to.
enum Owner<'a> {
    There(&'a Object),
    /// Not in the snapshot; where it would be.
    Gone(Gvr, Key),
    /// Its kind is not followed, so nothing can be said.
    Unknown,
    /// A namespaced owner of a cluster-scoped object: not allowed, and never resolved.
    Elsewhere,
}

impl GarbageCollector {
    /// `served` is all that the API server serves.
    pub fn new(served: &[Served]) -> Self {
        Self { served: served.iter().filter(|served| served.resource.resource != IGNORED).cloned().collect() }
    }

    fn served_kind(&self, snapshot: &Snapshot, reference: &OwnerReference) -> Option<Served> {
        let (group, _) = split_api_version(&reference.api_version);
        let builtin =
            self.served.iter().find(|served| served.resource.group == group && *served.kind == *reference.kind);
        builtin.cloned().or_else(|| definitions::of_kind(snapshot, group, &reference.kind))
    }

    fn owner<'a>(&self, snapshot: &'a Snapshot, object: &Object, reference: &OwnerReference) -> Owner<'a> {
        let Some(served) = self.served_kind(snapshot, reference) else { return Owner::Unknown };
        if served.namespaced && object.namespace().is_empty() {
            return Owner::Elsewhere;
        }
        let namespace = if served.namespaced { object.namespace() } else { "" };
        let place = Key::new(namespace, &reference.name);
        match snapshot.get(&served.resource, &place) {
            Some(owner) if owner.uid() == &*reference.uid => Owner::There(owner),
            _ => Owner::Gone(served.resource, place),
        }
    }

    /// Of any resource that is followed, custom ones among them.
    fn dependents<'a>(&self, snapshot: &'a Snapshot, uid: &'a str) -> impl Iterator<Item = (&'a Gvr, &'a Object)> {
        snapshot.resources().flat_map(move |resource| {
            snapshot.by_index(resource, BY_OWNER.name, uid).map(move |object| (resource, object))
        })
    }

    /// An object that is being deleted and whose dependents matter.
    fn plan_owner(&self, snapshot: &Snapshot, resource: &Gvr, owner: &Object) -> Result<Plan, PlanError> {
        let has = |name: &str| owner.meta().finalizers.iter().any(|finalizer| **finalizer == *name);
        let dependents: Vec<_> = self.dependents(snapshot, owner.uid()).collect();
        let mut plan = Plan::nothing();
        if has(ORPHAN) {
            for (resource, dependent) in &dependents {
                plan.push(let_go(resource, dependent, |uid| uid == owner.uid())?);
            }
            plan.push(without_finalizer(resource, owner, ORPHAN)?);
            return Ok(plan);
        }
        if !has(FOREGROUND) {
            return Ok(plan);
        }
        let blocks = |dependent: &Object| {
            let references = &dependent.meta().owner_references;
            references.iter().any(|reference| &*reference.uid == owner.uid() && reference.block_owner_deletion)
        };
        if dependents.iter().any(|(_, dependent)| blocks(dependent)) {
            // The dependents are planned under keys of their own.
            return Ok(plan);
        }
        plan.push(without_finalizer(resource, owner, FOREGROUND)?);
        Ok(plan)
    }

    /// An object that has owners.
    fn plan_dependent(&self, snapshot: &Snapshot, resource: &Gvr, object: &Object) -> Result<Plan, PlanError> {
        let (mut solid, mut waiting, mut dangling) = (Vec::new(), Vec::new(), Vec::new());
        let mut absent = Vec::new();
        let mut elsewhere = None;
        for reference in &object.meta().owner_references {
            match self.owner(snapshot, object, reference) {
                Owner::There(owner) if is_foreground(owner) => waiting.push(reference),
                Owner::There(_) | Owner::Unknown => solid.push(reference),
                Owner::Gone(resource, place) => {
                    absent.push((resource, place, reference.uid.clone()));
                    dangling.push(reference);
                }
                Owner::Elsewhere => {
                    elsewhere = Some(reference);
                    solid.push(reference);
                }
            }
        }
        let mut plan = Plan::nothing();
        if let Some(reference) = elsewhere {
            plan.push(Step::from(Action::Tell).done(invalid_owner(object, reference)));
        }
        if !solid.is_empty() {
            if !dangling.is_empty() || !waiting.is_empty() {
                let gone: Vec<&str> = dangling.iter().chain(&waiting).map(|reference| &*reference.uid).collect();
                let step = let_go(resource, object, |uid| gone.contains(&uid))?;
                plan.push(Step { absent, ..step });
            }
            return Ok(plan);
        }
        let mut dependents = self.dependents(snapshot, object.uid()).peekable();
        let policy = if !waiting.is_empty() && dependents.peek().is_some() {
            // Its owner waits for it, and its own dependents for it in turn. Where one of them is waiting already, the
            // three may own each other in a circle: nobody waits for this one any more.
            if waiting.iter().any(|reference| reference.block_owner_deletion)
                && dependents.any(|(_, dependent)| is_foreground(dependent))
            {
                plan.push(unblock(resource, object)?);
                return Ok(plan);
            }
            Some("Foreground")
        } else if object.meta().finalizers.iter().any(|finalizer| &**finalizer == ORPHAN) {
            Some("Orphan")
        } else if object.meta().finalizers.iter().any(|finalizer| &**finalizer == FOREGROUND) {
            Some("Foreground")
        } else {
            Some("Background")
        };
        let delete = Action::Delete {
            resource: resource.clone(),
            key: object.key(),
            // Exactly as seen: an owner may have been added meanwhile.
            precondition: Precondition::exactly(object),
            propagation: policy,
            grace_period_secs: None,
        };
        plan.push(Step { absent, ..Step::from(delete) });
        Ok(plan)
    }
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn watches(&self) -> Vec<Interest> {
        let builtin = self.served.iter().map(|served| Interest::metadata(served.resource.clone(), &[BY_OWNER]));
        builtin.chain([Interest::new(DEFINITIONS, &[BY_KIND, BY_OWNER])]).collect()
    }

    fn discovers(&self) -> Option<Discovery> {
        let names = |definition: &Object| {
            let served = definitions::served(definition);
            served.map(|served| Interest::metadata(served.resource, &[BY_OWNER])).into_iter().collect()
        };
        Some(Discovery { resource: DEFINITIONS, names })
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in change.before.iter().chain(&change.after) {
            // A dependent that goes may be what its owner waits for.
            for reference in &object.meta().owner_references {
                if let Some(served) = self.served_kind(snapshot, reference)
                    && let Owner::There(owner) = self.owner(snapshot, object, reference)
                    && owner.is_deleting()
                {
                    keys.push(key_of(&served.resource, owner));
                }
            }
        }
        let Some(after) = &change.after else {
            let uid = change.before.as_ref().map(|before| before.uid()).unwrap_or_default();
            keys.extend(self.dependents(snapshot, uid).map(|(resource, object)| key_of(resource, object)));
            return keys;
        };
        if after.is_deleting() {
            if !after.meta().finalizers.is_empty() {
                keys.push(key_of(resource, after));
                keys.extend(self.dependents(snapshot, after.uid()).map(|(resource, object)| key_of(resource, object)));
            }
        } else if !after.meta().owner_references.is_empty() {
            keys.push(key_of(resource, after));
        }
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let Some((resource, place)) = place_of(key) else { return Ok(Plan::nothing()) };
        let Some(object) = snapshot.get(&resource, &place) else { return Ok(Plan::nothing()) };
        if object.is_deleting() {
            return self.plan_owner(snapshot, &resource, object);
        }
        if object.meta().owner_references.is_empty() {
            return Ok(Plan::nothing());
        }
        self.plan_dependent(snapshot, &resource, object)
    }
}

/// Takes the owners away for whose uid `goes` holds.
fn let_go(resource: &Gvr, object: &Object, goes: impl Fn(&str) -> bool) -> Result<Step, PlanError> {
    let mut references = tree_of(object)?.items("metadata.ownerReferences").to_vec();
    references.retain(|reference| !goes(reference.text("uid")));
    Ok(set_references(resource, object, references).into())
}

/// Its owners need not wait for it any more.
fn unblock(resource: &Gvr, object: &Object) -> Result<Step, PlanError> {
    let mut references = tree_of(object)?.items("metadata.ownerReferences").to_vec();
    for reference in &mut references {
        set(reference, "blockOwnerDeletion", Value::Bool(false));
    }
    Ok(set_references(resource, object, references).into())
}

fn is_foreground(owner: &Object) -> bool {
    owner.is_deleting() && owner.meta().finalizers.iter().any(|finalizer| &**finalizer == FOREGROUND)
}

fn without_finalizer(resource: &Gvr, object: &Object, name: &str) -> Result<Action, PlanError> {
    let mut finalizers = tree_of(object)?.items("metadata.finalizers").to_vec();
    finalizers.retain(|finalizer| finalizer != name);
    Ok(Action::Patch {
        resource: resource.clone(),
        key: object.key(),
        subresource: "".into(),
        patch: json!({"metadata": {"finalizers": if finalizers.is_empty() { Value::Null } else { Value::Array(finalizers) }}}),
        precondition: Precondition::exactly(object),
    })
}

fn invalid_owner(object: &Object, reference: &OwnerReference) -> Note {
    let OwnerReference { api_version, kind, name, uid, .. } = reference;
    Note {
        about: About::object(object),
        kind: cache::controller::NoteKind::Warning,
        reason: "OwnerRefInvalidNamespace".into(),
        message: format!(
            "ownerRef [{api_version}/{kind}, namespace: {}, name: {name}, uid: {uid}] does not exist in namespace {:?}",
            object.namespace(),
            object.namespace()
        ),
    }
}

/// An object of any resource as a key: `group/version/plural` and its namespace, then its name.
fn key_of(resource: &Gvr, object: &Object) -> Key {
    let place = format!("{}/{}/{}/{}", resource.group, resource.version, resource.resource, object.namespace());
    Key::new(&place, object.name())
}

fn place_of(key: &Key) -> Option<(Gvr, Key)> {
    let mut parts = key.namespace.splitn(4, '/').map(str::to_owned);
    let (group, version, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let gvr = Gvr { group: group.into(), version: version.into(), resource: resource.into() };
    Some((gvr, Key::new(&parts.next()?, &key.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, now, show, wakes};
    use expect_test::{Expect, expect};

    fn collector() -> GarbageCollector {
        let served =
            [("", "pods", "Pod", true), ("apps", "replicasets", "ReplicaSet", true), ("", "nodes", "Node", false)];
        let served = served.map(|(group, plural, kind, namespaced)| Served {
            resource: Gvr::new(group, "v1", plural),
            kind: kind.to_owned(),
            namespaced,
        });
        GarbageCollector::new(&served)
    }

    /// All keys that anything wakes, and their plans.
    fn check(yaml: &str, expected: Expect) {
        let snapshot = cluster(&collector(), yaml);
        let mut text = String::new();
        for key in wakes(&collector(), yaml) {
            let (place, name) = key.rsplit_once('/').unwrap();
            let plan = collector().plan(&snapshot, &Key::new(place, name), now()).unwrap();
            text += &format!("{key}: {}", show(&snapshot, &plan));
        }
        expected.assert_eq(&text);
    }

    fn owner(extra: &str) -> String {
        format!("apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web, namespace: shop, {extra}}}")
    }

    fn pod(owners: &[(&str, &str)]) -> String {
        let reference = |(kind, name): &(&str, &str)| {
            let api = if *kind == "ReplicaSet" { "apps/v1" } else { "v1" };
            format!("{{apiVersion: {api}, kind: {kind}, name: {name}, uid: uid-{name}, blockOwnerDeletion: true}}")
        };
        let owners: Vec<_> = owners.iter().map(reference).collect();
        format!(
            "\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop, ownerReferences: [{}]}}",
            owners.join(", ")
        )
    }

    const WEB: (&str, &str) = ("ReplicaSet", "web");
    const ENDING: &str = "deletionTimestamp: '2026-01-01T11:00:00Z'";

    #[test]
    fn what_has_a_living_owner_stays() {
        check(
            &(owner("") + &pod(&[WEB])),
            expect![[r#"
            /v1/pods/shop/p: nothing
        "#]],
        );
    }

    #[test]
    fn what_all_owners_of_are_gone_goes() {
        check(
            &pod(&[WEB, ("ReplicaSet", "old")]),
            expect![[r#"
            /v1/pods/shop/p: if replicasets.apps shop/web (uid-web) is gone: if replicasets.apps shop/old (uid-old) is gone: delete pods shop/p Background
        "#]],
        );
        check(
            &pod(&[("ReplicaSet", "old"), ("Unheard", "of")]),
            expect![[r#"
            /v1/pods/shop/p: if replicasets.apps shop/old (uid-old) is gone: patch pods shop/p {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"kind":"Unheard","name":"of","uid":"uid-of"}]}}
        "#]],
        );
    }

    #[test]
    fn a_dangling_owner_is_forgotten_while_another_lives() {
        check(
            &(owner("") + &pod(&[WEB, ("ReplicaSet", "old")])),
            expect![[r#"
            /v1/pods/shop/p: if replicasets.apps shop/old (uid-old) is gone: patch pods shop/p {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"kind":"ReplicaSet","name":"web","uid":"uid-web"}]}}
        "#]],
        );
    }

    #[test]
    fn an_owner_deleted_in_the_foreground_waits_for_its_dependents() {
        let waiting = owner(&format!("{ENDING}, finalizers: [foregroundDeletion]"));
        check(
            &(waiting.clone() + &pod(&[WEB])),
            expect![[r#"
            /v1/pods/shop/p: delete pods shop/p Background
            apps/v1/replicasets/shop/web: nothing
        "#]],
        );
        check(
            &waiting,
            expect![[r#"
            apps/v1/replicasets/shop/web: patch replicasets.apps shop/web {"metadata":{"finalizers":null}}
        "#]],
        );
    }

    #[test]
    fn a_circle_of_owners_is_opened_where_it_closes() {
        let of = |name: &str, owner: &str, ending: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, {ending}ownerReferences: \
                 [{{apiVersion: v1, kind: Pod, name: {owner}, uid: uid-{owner}, blockOwnerDeletion: true}}]}}\n---\n"
            )
        };
        let ending = format!("{ENDING}, finalizers: [foregroundDeletion], ");
        check(
            &(of("a", "c", &ending) + &of("b", "a", &ending) + of("c", "b", "").trim_end_matches("---\n")),
            expect![[r#"
                /v1/pods/shop/a: nothing
                /v1/pods/shop/b: nothing
                /v1/pods/shop/c: patch pods shop/c {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":false,"kind":"Pod","name":"b","uid":"uid-b"}]}}
            "#]],
        );
    }

    #[test]
    fn an_owner_that_orphans_lets_its_dependents_go() {
        check(
            &(owner(&format!("{ENDING}, finalizers: [orphan]")) + &pod(&[WEB])),
            expect![[r#"
            /v1/pods/shop/p: nothing
            apps/v1/replicasets/shop/web: patch pods shop/p {"metadata":{"ownerReferences":null}}
            patch replicasets.apps shop/web {"metadata":{"finalizers":null}}
        "#]],
        );
    }
}
