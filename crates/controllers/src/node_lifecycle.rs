//! Node lifecycle: a node whose kubelet fell silent becomes Unknown, and a node's conditions become taints.
//!
//! ```text
//! Lease not renewed for the grace period --> Ready etc. Unknown --> taints unreachable --> (taint eviction deletes pods)
//!                                                              \-> its pods are marked not ready
//! ```
//! A Lease's own time is compared with ours; a silence counts only from when we began to look, so that a control plane
//! that was down does not blame its nodes for it.

use api::{Gvr, Key};
use cache::index::BY_NODE;
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::pods::{PODS, is_ready};
use crate::tree::{Tree, condition, set, time_text, tree_of};

pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");
const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Upstream's nodeMonitorGracePeriod (50 s since v1.32) and nodeStartupGracePeriod.
const GRACE: SignedDuration = SignedDuration::from_secs(50);
const STARTUP_GRACE: SignedDuration = SignedDuration::from_secs(60);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away: type, status, taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

pub struct NodeLifecycleController {
    /// When this control plane began to look.
    since: Timestamp,
}

impl NodeLifecycleController {
    pub fn new(since: Timestamp) -> Self {
        Self { since }
    }
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NODES, &[]), Interest::new(LEASES, &[]), Interest::new(PODS, &[BY_NODE])]
    }

    /// Renewed Leases wake nobody: the plan looks at them when the grace period is over.
    fn wakes(&self, _: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let Some(object) = change.object() else { return Vec::new() };
        if *resource == NODES {
            return vec![object.key()];
        }
        let is_new = *resource == LEASES && change.before.is_none() && object.namespace() == LEASE_NAMESPACE;
        if is_new { vec![Key::cluster(object.name())] } else { Vec::new() }
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&NODES, key) else { return Ok(Plan::nothing()) };
        let node = tree_of(object)?;
        let silent_at = self.silent_at(snapshot, &node, key)?;
        if silent_at <= now
            && let Some(conditions) = unknown_conditions(&node, now)
        {
            let mut changed = node;
            set(&mut changed, "status.conditions", Value::Array(conditions));
            let update =
                Action::Update { resource: NODES, key: key.clone(), subresource: "status".into(), object: changed };
            let message = format!("Node {key} status is now: NodeNotReady");
            return Ok(Plan {
                steps: vec![Step::from(update).done(Note::normal(object, "NodeNotReady", message))],
                wake_at: None,
            });
        }
        let mut plan = Plan::nothing();
        if silent_at > now {
            plan.wake_by(silent_at);
        }
        let taints = taints(&node, now);
        if taints != node.items("spec.taints") {
            plan.push(Action::Patch {
                resource: NODES,
                key: key.clone(),
                subresource: "".into(),
                patch: json!({"spec": {"taints": taints}}),
                precondition: Precondition::exactly(object),
            });
        }
        let ready = condition(node.items("status.conditions"), "Ready");
        if ready.is_some_and(|ready| ready.text("status") == "Unknown") {
            plan.steps.extend(mark_pods(snapshot, key, now)?);
        }
        Ok(plan)
    }
}

impl NodeLifecycleController {
    /// When the node has been silent for too long.
    fn silent_at(&self, snapshot: &Snapshot, node: &Value, key: &Key) -> Result<Timestamp, PlanError> {
        let ready = condition(node.items("status.conditions"), "Ready");
        let posted = ready.and_then(|ready| ready.time("lastHeartbeatTime"));
        let lease = snapshot.get(&LEASES, &Key::new(LEASE_NAMESPACE, &key.name)).map(tree_of).transpose()?;
        let renewed = lease.and_then(|lease| lease.time("spec.renewTime"));
        let created = node.time("metadata.creationTimestamp");
        let seen = [posted, renewed, created, Some(self.since)].into_iter().flatten().max().unwrap_or(self.since);
        Ok(seen + if ready.is_some() { GRACE } else { STARTUP_GRACE })
    }
}

/// The conditions with what a kubelet reports made Unknown; `None` if they say so already.
fn unknown_conditions(node: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let mut conditions = node.items("status.conditions").to_vec();
    let mut changed = false;
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|condition| condition.text("type") == kind) {
            None => conditions.push(json!({
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node.at("metadata.creationTimestamp"),
                "lastTransitionTime": time_text(now),
            })),
            Some(known) if known.text("status") != "Unknown" => {
                known["status"] = json!("Unknown");
                known["reason"] = json!("NodeStatusUnknown");
                known["message"] = json!("Kubelet stopped posting node status.");
                known["lastTransitionTime"] = json!(time_text(now));
            }
            Some(_) => continue,
        }
        changed = true;
    }
    changed.then_some(conditions)
}

/// The node's taints as its conditions want them. Those that others set stay.
fn taints(node: &Value, now: Timestamp) -> Vec<Value> {
    let conditions = node.items("status.conditions");
    let holds = |kind: &str, status: &str| condition(conditions, kind).is_some_and(|c| c.text("status") == status);
    let mut wanted: Vec<(&str, &str)> = BY_CONDITION
        .iter()
        .filter(|(kind, status, _)| holds(kind, status))
        .map(|(_, _, taint)| (*taint, "NoSchedule"))
        .collect();
    if node.flag("spec.unschedulable") {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    for (status, taint) in [("False", NOT_READY), ("Unknown", UNREACHABLE)] {
        if holds("Ready", status) {
            wanted.push((taint, "NoExecute"));
        }
    }
    let is_ours = |key: &str, effect: &str| match effect {
        "NoSchedule" => key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, taint)| *taint == key),
        "NoExecute" => key == NOT_READY || key == UNREACHABLE,
        _ => false,
    };
    let mut taints: Vec<Value> = Vec::new();
    for taint in node.items("spec.taints") {
        let (key, effect) = (taint.text("key"), taint.text("effect"));
        let is_wanted = wanted.iter().position(|(k, e)| (*k, *e) == (key, effect));
        if let Some(position) = is_wanted {
            wanted.remove(position);
        } else if is_ours(key, effect) && !conditions.is_empty() {
            continue;
        }
        let mut kept = taint.clone();
        // Evictions are timed from here.
        if effect == "NoExecute" && kept.at("timeAdded").is_null() {
            kept["timeAdded"] = json!(time_text(now));
        }
        taints.push(kept);
    }
    let added =
        wanted.into_iter().map(|(key, effect)| json!({"key": key, "effect": effect, "timeAdded": time_text(now)}));
    taints.extend(added);
    taints
}

/// Services must not send anything to pods of a node that nobody hears of.
fn mark_pods(snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    for object in snapshot.by_index(&PODS, BY_NODE.name, &key.name) {
        let pod = tree_of(object)?;
        if !is_ready(&pod) {
            continue;
        }
        let mut conditions = pod.items("status.conditions").to_vec();
        for ready in conditions.iter_mut().filter(|condition| condition.text("type") == "Ready") {
            ready["status"] = json!("False");
            ready["lastTransitionTime"] = json!(time_text(now));
        }
        let patch = Action::Patch {
            resource: PODS,
            key: object.key(),
            subresource: "status".into(),
            patch: json!({"status": {"conditions": conditions}}),
            precondition: Precondition::exactly(object),
        };
        steps.push(Step::from(patch).done(Note::warning(object, "NodeNotReady", "Node is not ready")));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::{Expect, expect};

    fn node(ready: &str, rest: &str, renewed: &str) -> String {
        format!(
            "apiVersion: v1
kind: Node
metadata: {{name: n1, creationTimestamp: '2026-01-01T10:00:00Z'}}
spec: {{{rest}}}
status: {{conditions: [{{type: Ready, status: '{ready}', lastHeartbeatTime: '2026-01-01T11:55:00Z'}}]}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: n1, namespace: kube-node-lease}}
spec: {{renewTime: '2026-01-01T{renewed}.000000Z'}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: shop}}
spec: {{nodeName: n1}}
status: {{conditions: [{{type: Ready, status: 'True'}}]}}"
        )
    }

    fn check(yaml: &str, expected: Expect) {
        let since = "2026-01-01T11:00:00Z".parse().unwrap();
        expected.assert_eq(&plan(&NodeLifecycleController::new(since), yaml, "n1"));
    }

    #[test]
    fn a_node_that_renews_is_looked_at_again_after_the_grace_period() {
        check(
            &node("True", "", "11:59:50"),
            expect![[r#"
            wake at 2026-01-01T12:00:40Z
        "#]],
        );
    }

    #[test]
    fn a_silent_node_becomes_unknown() {
        check(
            &node("True", "", "11:59:09"),
            expect![[r#"
            update nodes n1 status
              status.conditions: [{"lastHeartbeatTime":"2026-01-01T11:55:00Z","status":"True","type":"Ready"}] -> [{"lastHeartbeatTime":"2026-01-01T11:55:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"Ready"},{"lastHeartbeatTime":"2026-01-01T10:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"MemoryPressure"},{"lastHeartbeatTime":"2026-01-01T10:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"DiskPressure"},{"lastHeartbeatTime":"2026-01-01T10:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"PIDPressure"}]
              then NodeNotReady: Node n1 status is now: NodeNotReady
        "#]],
        );
    }

    #[test]
    fn an_unknown_node_is_tainted_and_its_pods_are_not_ready() {
        let unknown = node("Unknown", "taints: [{key: mine, effect: NoSchedule}]", "11:59:50");
        check(
            &unknown,
            expect![[r#"
            patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"mine"},{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"}]}}
            patch pods shop/p status{"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","status":"False","type":"Ready"}]}}
              then Warning NodeNotReady: Node is not ready
            wake at 2026-01-01T12:00:40Z
        "#]],
        );
    }

    #[test]
    fn a_node_that_is_back_loses_the_taints_and_a_cordoned_one_has_one() {
        let taints = "unschedulable: true, taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}, \
                      {key: node.kubernetes.io/unreachable, effect: NoSchedule}]";
        check(
            &node("True", taints, "11:59:50"),
            expect![[r#"
            patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable","timeAdded":"2026-01-01T12:00:00Z"}]}}
            wake at 2026-01-01T12:00:40Z
        "#]],
        );
    }

    #[test]
    fn a_control_plane_that_just_started_blames_nobody() {
        let text = plan(&NodeLifecycleController::new(crate::testing::now()), &node("True", "", "11:00:00"), "n1");
        assert_eq!(text, "wake at 2026-01-01T12:00:50Z\n");
    }
}
