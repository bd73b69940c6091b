//! Pod garbage collector: pods that no kubelet will ever finish, and too many that have ended.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>. A pod is orphaned when
//! its node is gone from a picture that is at least as new as the pod: revisions are global, so no waiting is needed.

use api::{Gvr, Key, Object};
use cache::index::BY_NODE;
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot, Wake};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::nodes::NODES;
use crate::pods::{PODS, is_terminal};
use crate::tree::{Tree, time_text, tree_of};

/// When to look again at a pod whose node is not known yet.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(20);

pub struct PodGc {
    ended_max: usize,
}

impl PodGc {
    /// Upstream's terminated-pod-gc-threshold.
    pub const ENDED_MAX: usize = 12_500;

    pub fn new(ended_max: usize) -> Self {
        Self { ended_max }
    }

    /// The oldest of the pods that have ended, beyond the number that is kept.
    fn surplus(&self, snapshot: &Snapshot) -> Result<Plan, PlanError> {
        let mut ended = Vec::new();
        for pod in snapshot.list(&PODS, None).filter(|pod| !pod.is_deleting()) {
            if is_terminal(&tree_of(pod)?) {
                ended.push(pod);
            }
        }
        let surplus = ended.len().saturating_sub(self.ended_max);
        ended.sort_by_key(|pod| (pod.meta().creation_timestamp, pod.key()));
        Ok(Plan::act(ended.into_iter().take(surplus).map(force_delete).collect()))
    }
}

/// The key under which the number of ended pods is looked at.
fn all_ended() -> Key {
    Key::cluster("")
}

impl Controller for PodGc {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NODES, &[]), Interest::new(PODS, &[BY_NODE])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Wake> {
        if *resource == NODES {
            let gone = change.before.as_ref().filter(|_| change.after.is_none());
            return gone.map_or_else(Vec::new, |node| {
                snapshot.by_index(&PODS, BY_NODE.name, node.name()).map(Object::key).collect()
            });
        }
        let ended = |object: &Object| object.tree().is_ok_and(|pod| is_terminal(&pod));
        let has_ended = change.after.as_ref().is_some_and(ended) && !change.before.as_ref().is_some_and(ended);
        let mut keys: Vec<Key> = change.after.iter().map(Object::key).collect();
        keys.extend(has_ended.then(all_ended));
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        if *key == all_ended() {
            return self.surplus(snapshot);
        }
        let Some(object) = snapshot.get(&PODS, key) else { return Ok(Plan::nothing()) };
        let pod = tree_of(object)?;
        let node = pod.text("spec.nodeName");
        if node.is_empty() {
            let is_given_up = object.is_deleting();
            return Ok(Plan::act(is_given_up.then(|| force_delete(object)).into_iter().collect()));
        }
        let Some(nodes) = snapshot.table(&NODES) else { return Ok(Plan::nothing()) };
        if nodes.get(&Key::cluster(node)).is_some() {
            return Ok(Plan::nothing());
        }
        if nodes.revision() < object.revision() {
            let mut plan = Plan::nothing();
            plan.wake_by(now + LOOK_AGAIN);
            return Ok(plan);
        }
        let mut actions = Vec::new();
        if !is_terminal(&pod) {
            actions.push(fail(object, &pod, now));
        }
        actions.push(force_delete(object));
        Ok(Plan::act(actions))
    }
}

/// Shows what became of the pod to whoever still watches it.
fn fail(object: &Object, pod: &Value, now: Timestamp) -> Action {
    let mut conditions: Vec<Value> = pod.items("status.conditions").to_vec();
    conditions.retain(|condition| condition.text("type") != "DisruptionTarget");
    conditions.push(json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists", "lastTransitionTime": time_text(now)}));
    Action::Patch {
        resource: PODS,
        key: object.key(),
        subresource: "status".into(),
        patch: json!({"status": {"phase": "Failed", "conditions": conditions}}),
        precondition: Precondition::same(object),
    }
}

fn force_delete(object: &Object) -> Action {
    Action::Delete {
        resource: PODS,
        key: object.key(),
        precondition: Precondition::same(object),
        propagation: None,
        grace_period_secs: Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::{Expect, expect};

    fn check(pod: &str, expected: &Expect) {
        let node = "apiVersion: v1\nkind: Node\nmetadata: {name: alive, resourceVersion: '50'}";
        let yaml = format!("{node}\n---\napiVersion: v1\nkind: Pod\n{pod}");
        expected.assert_eq(&plan(&PodGc::new(10), &yaml, "d/p"));
    }

    #[test]
    fn a_pod_whose_node_is_gone_fails_and_goes() {
        check(
            "metadata: {namespace: d, name: p, resourceVersion: '40'}\nspec: {nodeName: gone}",
            &expect![[r#"
            patch pods d/p status{"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"PodGC: node no longer exists","reason":"DeletionByPodGC","status":"True","type":"DisruptionTarget"}],"phase":"Failed"}}
            delete pods d/p in 0s
        "#]],
        );
    }

    #[test]
    fn a_node_that_may_only_be_unknown_yet_is_waited_for() {
        check(
            "metadata: {namespace: d, name: p, resourceVersion: '60'}\nspec: {nodeName: new}",
            &expect![[r#"
            wake at 2026-01-01T12:00:20Z
        "#]],
        );
    }

    #[test]
    fn a_deleted_pod_that_never_got_a_node_goes_at_once_and_others_stay() {
        check(
            "metadata: {namespace: d, name: p, deletionTimestamp: '2026-01-01T11:00:00Z'}",
            &expect![[r#"
            delete pods d/p in 0s
        "#]],
        );
        check(
            "metadata: {namespace: d, name: p}",
            &expect![[r#"
            nothing
        "#]],
        );
        check(
            "metadata: {namespace: d, name: p}\nspec: {nodeName: alive}",
            &expect![[r#"
            nothing
        "#]],
        );
    }

    #[test]
    fn the_oldest_of_too_many_ended_pods_go() {
        let ended = |name: &str, day: u8| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: d, name: {name}, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\nstatus: {{phase: Succeeded}}"
            )
        };
        let yaml = [ended("a", 3), ended("b", 1), ended("c", 2)].join("\n---\n");
        expect![[r#"
            delete pods d/b in 0s
        "#]]
        .assert_eq(&plan(&PodGc::new(2), &yaml, ""));
    }
}
