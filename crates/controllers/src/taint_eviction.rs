//! Taint eviction: pods that do not tolerate a NoExecute taint of their node leave it, at once or when their
//! tolerationSeconds are over.

use api::{Gvr, Key, Object};
use cache::index::{BY_NODE, text_at};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::node_lifecycle::NODES;
use crate::pods::{PODS, tolerates};
use crate::tree::{Tree, time_text, tree_of};

pub struct TaintEvictionController;

/// When a pod has to go because of its node's taints.
enum Leave {
    Never,
    At(Timestamp),
}

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NODES, &[]), Interest::new(PODS, &[BY_NODE])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == PODS {
            let pod = change.after.as_ref().filter(|pod| !pod.is_deleting());
            return pod.map(Object::key).into_iter().collect();
        }
        let taints = |node: &Option<Object>| {
            node.as_ref().and_then(|node| node.tree().ok()).map(|tree| tree.at("spec.taints").clone())
        };
        match &change.after {
            Some(node) if taints(&change.before) != taints(&change.after) => {
                snapshot.by_index(&PODS, BY_NODE.name, node.name()).map(Object::key).collect()
            }
            _ => Vec::new(),
        }
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&PODS, key).filter(|pod| !pod.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let node = text_at(object.json(), &["spec", "nodeName"]).unwrap_or_default();
        let Some(node) = snapshot.get(&NODES, &Key::cluster(&node)) else { return Ok(Plan::nothing()) };
        let node = tree_of(node)?;
        let taints: Vec<&Value> =
            node.items("spec.taints").iter().filter(|taint| taint.text("effect") == "NoExecute").collect();
        if taints.is_empty() {
            return Ok(Plan::nothing());
        }
        let pod = tree_of(object)?;
        match leave(&pod, &taints, now) {
            Leave::Never => Ok(Plan::nothing()),
            Leave::At(at) if at > now => Ok(Plan { steps: Vec::new(), wake_at: Some(at) }),
            Leave::At(_) => Ok(evict(object, &pod, now)),
        }
    }
}

fn leave(pod: &Value, taints: &[&Value], now: Timestamp) -> Leave {
    let mut earliest: Option<Timestamp> = None;
    for taint in taints {
        let mut tolerations = pod.items("spec.tolerations").iter().filter(|toleration| tolerates(toleration, taint));
        let Some(toleration) = tolerations.next() else { return Leave::At(now) };
        if let Some(secs) = toleration.at("tolerationSeconds").as_i64() {
            let added = taint.time("timeAdded").unwrap_or(now);
            let at = added + SignedDuration::from_secs(secs.max(0));
            earliest = Some(earliest.map_or(at, |other| other.min(at)));
        }
    }
    earliest.map_or(Leave::Never, Leave::At)
}

fn evict(object: &Object, pod: &Value, now: Timestamp) -> Plan {
    let mut conditions = pod.items("status.conditions").to_vec();
    conditions.retain(|condition| condition.text("type") != "DisruptionTarget");
    conditions.push(json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": time_text(now),
    }));
    let why = Action::Patch {
        resource: PODS,
        key: object.key(),
        subresource: "status".into(),
        patch: json!({"status": {"conditions": conditions}}),
        precondition: Precondition::exactly(object),
    };
    let delete = Action::Delete {
        resource: PODS,
        key: object.key(),
        precondition: Precondition::same(object),
        propagation: None,
        grace_period_secs: None,
    };
    let note = Note::normal(object, "TaintManagerEviction", format!("Marking for deletion Pod {}", object.key()));
    Plan { steps: vec![why.into(), Step::from(delete).done(note)], wake_at: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    fn check(tolerations: &str) -> String {
        let yaml = format!(
            "apiVersion: v1
kind: Node
metadata: {{name: n1}}
spec: {{taints: [{{key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: '2026-01-01T11:56:00Z'}},
  {{key: x, effect: NoSchedule}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: shop}}
spec: {{nodeName: n1, tolerations: [{tolerations}]}}
status: {{phase: Running}}"
        );
        plan(&TaintEvictionController, &yaml, "shop/p")
    }

    #[test]
    fn a_pod_leaves_when_its_toleration_is_over() {
        let unreachable = "{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute";
        assert_eq!(check(&format!("{unreachable}, tolerationSeconds: 300}}")), "wake at 2026-01-01T12:01:00Z\n");
        assert_eq!(check(&format!("{unreachable}}}")), "nothing\n");
        assert_eq!(check("{operator: Exists}"), "nothing\n");
        for tolerations in ["", "{key: other, operator: Exists}", &format!("{unreachable}, tolerationSeconds: 60}}")] {
            let text = check(tolerations);
            assert!(text.contains("delete pods shop/p") && text.contains("TaintManagerEviction"), "{text}");
        }
    }
}
