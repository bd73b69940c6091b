//! Namespace: what is in a namespace that is being deleted goes first, then the namespace itself.
//!
//! ```text
//! deletionTimestamp --> delete the pods --> wait --> delete all else --> wait --> take the finalizer away
//! ```
//! Pods go first so that no policy that holds them back is deleted before them (KEP-5080). Conditions in the status tell
//! what the deletion waits for, in upstream's words.

use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Discovery, Interest, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Served;
use crate::definitions::{self, DEFINITIONS, LIST_WAIT, is_listed};
use crate::pods::PODS;
use crate::tree::{Tree, condition, set, time_text, tree_of};

pub(crate) const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const FINALIZER: &str = "kubernetes";
/// Events are not followed; they are deleted with everything else and hold nothing back.
const UNFOLLOWED: &str = "events";

pub struct NamespaceController {
    /// Namespaced resources, one version each.
    resources: Vec<Gvr>,
}

impl NamespaceController {
    /// `served` is all that the API server serves.
    pub fn new(served: &[Served]) -> Self {
        let resources = served.iter().filter(|served| served.namespaced).map(|served| served.resource.clone());
        Self { resources: resources.collect() }
    }
}

/// Whether the namespace exists and is not being deleted.
pub(crate) fn is_active(snapshot: &Snapshot, key: &Key) -> bool {
    snapshot.get(&NAMESPACES, key).is_some_and(|namespace| !namespace.is_deleting())
}

/// The key of the namespace that a change is about or in.
pub(crate) fn namespace_keys(resource: &Gvr, change: &Change) -> Vec<Key> {
    let name = |object: &Object| Key::cluster(if *resource == NAMESPACES { object.name() } else { object.namespace() });
    change.object().map(name).into_iter().collect()
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        let followed = self.resources.iter().filter(|resource| resource.resource != UNFOLLOWED);
        let inside = followed.map(|resource| Interest::metadata(resource.clone(), &[]));
        [Interest::new(NAMESPACES, &[]), Interest::new(DEFINITIONS, &[])].into_iter().chain(inside).collect()
    }

    fn discovers(&self) -> Option<Discovery> {
        Some(definitions::discover_namespaced())
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let mut keys = namespace_keys(resource, change);
        keys.retain(|key| snapshot.get(&NAMESPACES, key).is_some_and(Object::is_deleting));
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&NAMESPACES, key).filter(|object| object.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let namespace = tree_of(object)?;
        if !namespace.items("spec.finalizers").iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Plan::nothing());
        }
        let custom: Vec<Gvr> = definitions::namespaced(snapshot).collect();
        if !custom.iter().all(|resource| is_listed(snapshot, resource)) {
            return Ok(Plan { wake_at: Some(now + LIST_WAIT), ..Plan::nothing() });
        }
        let resources: Vec<Gvr> = self.resources.iter().cloned().chain(custom).collect();
        let remaining = remaining(snapshot, &resources, &key.name);
        if remaining.is_empty() {
            let mut actions = delete_all(&key.name, resources.iter());
            actions.push(finalize(namespace, key));
            return Ok(Plan::act(actions));
        }
        let pods_remain = remaining.iter().any(|(resource, _)| **resource == PODS);
        let due = remaining.iter().filter(|(resource, objects)| {
            (**resource == PODS || !pods_remain) && objects.iter().any(|object| !object.is_deleting())
        });
        let mut actions = delete_all(&key.name, due.map(|(resource, _)| *resource));
        actions.extend(show_remaining(namespace, key, &remaining, now));
        Ok(Plan::act(actions))
    }
}

/// The objects that are left, by resource.
fn remaining<'a>(snapshot: &'a Snapshot, resources: &'a [Gvr], namespace: &'a str) -> Vec<(&'a Gvr, Vec<&'a Object>)> {
    let followed = resources.iter().filter(|resource| resource.resource != UNFOLLOWED);
    let found = followed.map(|resource| (resource, snapshot.list(resource, Some(namespace)).collect()));
    found.filter(|(_, objects): &(_, Vec<_>)| !objects.is_empty()).collect()
}

fn delete_all<'a>(namespace: &str, resources: impl Iterator<Item = &'a Gvr>) -> Vec<Action> {
    resources
        .map(|resource| Action::DeleteCollection { resource: resource.clone(), namespace: namespace.into() })
        .collect()
}

fn finalize(mut namespace: Value, key: &Key) -> Action {
    let mut finalizers = namespace.items("spec.finalizers").to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    set(&mut namespace, "spec.finalizers", Value::Array(finalizers));
    Action::Update { resource: NAMESPACES, key: key.clone(), subresource: "finalize".into(), object: namespace }
}

/// A condition of the status: type, whether it holds, reason, message.
type Told = (&'static str, bool, &'static str, String);

/// What the deletion waits for, in upstream's words.
fn told(remaining: &[(&Gvr, Vec<&Object>)]) -> [Told; 5] {
    let count = |(resource, objects): &(&Gvr, Vec<&Object>)| {
        format!("{}.{} has {} resource instances", resource.resource, resource.group, objects.len())
    };
    let counts: Vec<String> = remaining.iter().map(count).collect();
    let mut finalizers = std::collections::BTreeMap::<&str, usize>::new();
    for object in remaining.iter().flat_map(|(_, objects)| objects) {
        for finalizer in &object.meta().finalizers {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    let held: Vec<String> =
        finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    let discovered = "All resources successfully discovered".to_owned();
    let parsed = "All legacy kube types successfully parsed".to_owned();
    let deleted = "All content successfully deleted, may be waiting on finalization".to_owned();
    let remain = format!("Some resources are remaining: {}", counts.join(", "));
    let (finalizers_reason, finalizers_message) = if held.is_empty() {
        ("ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {}", held.join(", "));
        ("SomeFinalizersRemain", message)
    };
    [
        ("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", discovered),
        ("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", parsed),
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", deleted),
        ("NamespaceContentRemaining", true, "SomeResourcesRemain", remain),
        ("NamespaceFinalizersRemaining", !held.is_empty(), finalizers_reason, finalizers_message),
    ]
}

/// The status that tells what the deletion waits for, if it is not told yet.
fn show_remaining(
    mut namespace: Value,
    key: &Key,
    remaining: &[(&Gvr, Vec<&Object>)],
    now: Timestamp,
) -> Option<Action> {
    let old = namespace.items("status.conditions").to_vec();
    let mut changed = false;
    let mut conditions = Vec::new();
    for (kind, holds, reason, message) in told(remaining) {
        let status = if holds { "True" } else { "False" };
        let known = condition(&old, kind).filter(|known| known.text("status") == status);
        changed |= known.is_none_or(|known| known.text("message") != message);
        let since = known.map_or_else(|| json!(time_text(now)), |known| known["lastTransitionTime"].clone());
        conditions.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        }));
    }
    if !changed {
        return None;
    }
    set(&mut namespace, "status.conditions", Value::Array(conditions));
    Some(Action::Update { resource: NAMESPACES, key: key.clone(), subresource: "status".into(), object: namespace })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use api::Revision;
    use expect_test::{Expect, expect};

    const ENDING: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, deletionTimestamp: '2026-01-01T11:59:00Z'}
spec: {finalizers: [kubernetes]}
status: {phase: Terminating}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
";

    fn check(content: &str, expected: Expect) {
        let served = [("", "pods", "Pod"), ("", "configmaps", "ConfigMap"), ("", "events", "Event")];
        let served = served.map(|(group, plural, kind)| Served {
            resource: Gvr::new(group, "v1", plural),
            kind: kind.to_owned(),
            namespaced: true,
        });
        expected.assert_eq(&plan(&NamespaceController::new(&served), &format!("{ENDING}{content}"), "shop"));
    }

    #[test]
    fn pods_go_before_everything_else() {
        let content = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n---\napiVersion: v1\nkind: \
                       ConfigMap\nmetadata: {name: c, namespace: shop, finalizers: [example.com/hold]}";
        check(
            content,
            expect![[r#"
            delete all pods in shop
            update namespaces shop status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All resources successfully discovered","reason":"ResourcesDiscovered","status":"False","type":"NamespaceDeletionDiscoveryFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All legacy kube types successfully parsed","reason":"ParsedGroupVersions","status":"False","type":"NamespaceDeletionGroupVersionParsingFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All content successfully deleted, may be waiting on finalization","reason":"ContentDeleted","status":"False","type":"NamespaceDeletionContentFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Some resources are remaining: pods. has 1 resource instances, configmaps. has 1 resource instances","reason":"SomeResourcesRemain","status":"True","type":"NamespaceContentRemaining"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances","reason":"SomeFinalizersRemain","status":"True","type":"NamespaceFinalizersRemaining"}]
        "#]],
        );
    }

    #[test]
    fn what_is_on_its_way_out_is_waited_for() {
        let content = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop, finalizers: [x], \
                       deletionTimestamp: '2026-01-01T11:59:30Z'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: \
                       {name: kept, namespace: other}";
        check(
            content,
            expect![[r#"
            update namespaces shop status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All resources successfully discovered","reason":"ResourcesDiscovered","status":"False","type":"NamespaceDeletionDiscoveryFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All legacy kube types successfully parsed","reason":"ParsedGroupVersions","status":"False","type":"NamespaceDeletionGroupVersionParsingFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"All content successfully deleted, may be waiting on finalization","reason":"ContentDeleted","status":"False","type":"NamespaceDeletionContentFailure"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Some resources are remaining: configmaps. has 1 resource instances","reason":"SomeResourcesRemain","status":"True","type":"NamespaceContentRemaining"},{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"Some content in the namespace has finalizers remaining: x in 1 resource instances","reason":"SomeFinalizersRemain","status":"True","type":"NamespaceFinalizersRemaining"}]
        "#]],
        );
    }

    #[test]
    fn an_empty_namespace_loses_its_finalizer() {
        check(
            "",
            expect![[r#"
            delete all pods in shop
            delete all configmaps in shop
            delete all events in shop
            update namespaces shop finalize
              spec.finalizers: ["kubernetes"] -> []
        "#]],
        );
    }

    const WIDGETS: &str = "
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, names: {plural: widgets, kind: Widget}, scope: Namespaced, versions: [{name: v1, served: true}]}
status: {conditions: [{type: Established, status: 'True'}]}
";

    #[test]
    fn custom_resources_are_deleted_too_and_are_listed_first() {
        check(
            WIDGETS,
            expect![[r#"
            wake at 2026-01-01T12:00:00.5Z
        "#]],
        );
        let controller = NamespaceController::new(&[]);
        let mut snapshot = crate::testing::cluster(&controller, &format!("{ENDING}{WIDGETS}"));
        let widgets = Gvr::new("example.com", "v1", "widgets");
        let definition = snapshot.list(&DEFINITIONS, None).next().unwrap();
        assert_eq!((controller.discovers().unwrap().names)(definition)[0].resource, widgets);
        let mut table = cache::Table::new([].into());
        table.advance(Revision(9));
        snapshot.insert(widgets, table);
        let plan = controller.plan(&snapshot, &Key::cluster("shop"), crate::testing::now()).unwrap();
        expect![[r#"
            delete all widgets.example.com in shop
            update namespaces shop finalize
              spec.finalizers: ["kubernetes"] -> []
        "#]]
        .assert_eq(&crate::testing::show(&snapshot, &plan));
    }
}
