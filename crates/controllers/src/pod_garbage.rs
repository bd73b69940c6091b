//! Pod garbage collector: pods that no kubelet will ever clean up after.
//!
//! Those of nodes that no longer exist, those that are deleted before they were given a node, and the oldest of too many
//! that have ended.

use api::{Gvr, Key, Object};
use cache::index::{BY_NODE, text_at};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::node_lifecycle::NODES;
use crate::pods::{PODS, is_terminal};
use crate::tree::{Tree, time_text, tree_of};

/// Ended pods that may stay: upstream's default.
const ENDED_MAX: usize = 12_500;
/// The key under which all ended pods are counted. Pods have a namespace, so it is no pod's.
const ENDED: &str = "ended";

pub struct PodGarbageCollector;

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NODES, &[]), Interest::new(PODS, &[BY_NODE])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == NODES {
            let gone = change.before.as_ref().filter(|_| change.after.is_none());
            let pods = gone.map(|node| snapshot.by_index(&PODS, BY_NODE.name, node.name()).map(Object::key).collect());
            return pods.unwrap_or_default();
        }
        let Some(pod) = &change.after else { return Vec::new() };
        let mut keys = Vec::new();
        let node = node_of(pod);
        if (node.is_empty() && pod.is_deleting())
            || (!node.is_empty() && snapshot.get(&NODES, &Key::cluster(&node)).is_none())
        {
            keys.push(pod.key());
        }
        if has_ended(pod) && snapshot.table(&PODS).is_some_and(|table| table.len() > ENDED_MAX) {
            keys.push(Key::cluster(ENDED));
        }
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        if key.namespace.is_empty() {
            return Ok(delete_oldest(snapshot));
        }
        let Some(object) = snapshot.get(&PODS, key) else { return Ok(Plan::nothing()) };
        let node = node_of(object);
        if node.is_empty() {
            return if object.is_deleting() { remove(object, None, "", now) } else { Ok(Plan::nothing()) };
        }
        let place = Key::cluster(&node);
        if snapshot.get(&NODES, &place).is_some() {
            return Ok(Plan::nothing());
        }
        remove(object, Some(place), "PodGC: node no longer exists", now)
    }
}

fn node_of(pod: &Object) -> String {
    text_at(pod.json(), &["spec", "nodeName"]).unwrap_or_default()
}

fn has_ended(pod: &Object) -> bool {
    matches!(text_at(pod.json(), &["status", "phase"]).as_deref(), Some("Succeeded" | "Failed"))
}

/// Shows that the pod has failed and removes it, if its node is really gone.
fn remove(object: &Object, node: Option<Key>, why: &str, now: Timestamp) -> Result<Plan, PlanError> {
    let pod = tree_of(object)?;
    let mut plan = Plan::nothing();
    let absent: Vec<_> = node.into_iter().map(|node| (NODES, node, Box::default())).collect();
    if !is_terminal(&pod) {
        let mut status = json!({"phase": "Failed"});
        if !why.is_empty() {
            let mut conditions = pod.items("status.conditions").to_vec();
            conditions.retain(|condition| condition.text("type") != "DisruptionTarget");
            conditions.push(json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": why,
                "lastTransitionTime": time_text(now),
            }));
            status["conditions"] = Value::Array(conditions);
        }
        let patch = Action::Patch {
            resource: PODS,
            key: object.key(),
            subresource: "status".into(),
            patch: json!({"status": status}),
            precondition: Precondition::exactly(object),
        };
        plan.push(Step { absent: absent.clone(), ..Step::from(patch) });
    }
    let delete = Action::Delete {
        resource: PODS,
        key: object.key(),
        precondition: Precondition::same(object),
        propagation: None,
        grace_period_secs: Some(0),
    };
    plan.push(Step { absent, ..Step::from(delete) });
    Ok(plan)
}

fn delete_oldest(snapshot: &Snapshot) -> Plan {
    let mut ended: Vec<&Object> =
        snapshot.list(&PODS, None).filter(|pod| has_ended(pod) && !pod.is_deleting()).collect();
    ended.sort_by_key(|pod| (pod.meta().creation_timestamp, pod.key()));
    let surplus = ended.len().saturating_sub(ENDED_MAX);
    let delete = |pod: &&Object| Action::Delete {
        resource: PODS,
        key: pod.key(),
        precondition: Precondition::same(pod),
        propagation: None,
        grace_period_secs: Some(0),
    };
    Plan::act(ended.iter().take(surplus).map(delete).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plan, wakes};
    use expect_test::expect;

    #[test]
    fn pods_that_nobody_will_clean_up_are_removed() {
        let pod = |name: &str, meta: &str, spec: &str| {
            format!(
                "\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop{meta}}}\nspec: {{{spec}}}"
            )
        };
        let ending = ", deletionTimestamp: '2026-01-01T12:00:00Z'";
        let yaml = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}".to_owned()
            + &pod("fine", "", "nodeName: n1")
            + &pod("lost", "", "nodeName: n2")
            + &pod("waiting", "", "")
            + &pod("never", ending, "");
        assert_eq!(wakes(&PodGarbageCollector, &yaml), ["shop/lost", "shop/never"]);
        expect![[r#"
            if nodes n2 () is gone: patch pods shop/lost status{"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"PodGC: node no longer exists","reason":"DeletionByPodGC","status":"True","type":"DisruptionTarget"}],"phase":"Failed"}}
            if nodes n2 () is gone: delete pods shop/lost in 0s
        "#]].assert_eq(&plan(&PodGarbageCollector, &yaml, "shop/lost"));
        expect![[r#"
            patch pods shop/never status{"status":{"phase":"Failed"}}
            delete pods shop/never in 0s
        "#]]
        .assert_eq(&plan(&PodGarbageCollector, &yaml, "shop/never"));
        assert_eq!(plan(&PodGarbageCollector, &yaml, "shop/fine"), "nothing\n");
    }
}
