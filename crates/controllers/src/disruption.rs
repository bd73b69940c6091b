//! Disruption: how many pods of a PodDisruptionBudget may be evicted now.
//!
//! The API server takes one from `disruptionsAllowed` for each eviction and writes the pod into `disruptedPods`, in one
//! commit; here the number is made anew from the pods. Semantics:
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>.

use api::selector::LabelSelector;
use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Snapshot, Step};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::pods::{PODS, is_ready};
use crate::replica_set::{REPLICA_SETS, REPLICATION_CONTROLLERS, replicas};
use crate::template::scaled_value;
use crate::tree::{Tree, condition, set, time_text, tree_of};

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
const STATEFUL_SETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
/// A pod whose eviction was granted and that is still there after this is not expected to go any more.
const EVICTION_SECS: i64 = 120;

pub struct DisruptionController;

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "controllermanager"
    }

    fn account(&self) -> &'static str {
        "disruption-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        let mut watches = vec![Interest::new(BUDGETS, &[]), Interest::new(PODS, &[])];
        for scaled in [REPLICA_SETS, REPLICATION_CONTROLLERS, DEPLOYMENTS, STATEFUL_SETS] {
            watches.push(Interest::new(scaled, &[]));
        }
        watches
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == BUDGETS {
            return change.after.iter().map(Object::key).collect();
        }
        if *resource != PODS {
            return Vec::new();
        }
        let mut keys = Vec::new();
        for pod in change.before.iter().chain(&change.after) {
            let budgets = snapshot.list(&BUDGETS, Some(pod.namespace()));
            keys.extend(budgets.filter(|budget| selects(budget, pod)).map(Object::key));
        }
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&BUDGETS, key).filter(|budget| !budget.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let tree = tree_of(object)?;
        let selector = selector_of(&tree);
        let pods = snapshot.list(&PODS, Some(object.namespace())).filter(|pod| selector.matches_object(pod));
        let pods = pods.map(|pod| Ok((tree_of(pod)?, pod))).collect::<Result<Vec<_>, PlanError>>()?;
        let mut plan = Plan::nothing();
        let notes = Budget { snapshot, object, tree, pods, now }.run(&mut plan)?;
        plan.steps.extend(notes.into_iter().map(|note| Step::from(Action::Tell).done(note)));
        Ok(plan)
    }
}

/// A budget's selector: an empty one means all pods of the namespace, an absent one none.
fn selector_of(tree: &Value) -> LabelSelector {
    let selector = tree.at("spec.selector");
    let read = (!selector.is_null()).then(|| LabelSelector::from_object(Some(selector)).ok()).flatten();
    read.unwrap_or_else(LabelSelector::nothing)
}

fn selects(budget: &Object, pod: &Object) -> bool {
    budget.tree().is_ok_and(|tree| selector_of(&tree).matches_object(pod))
}

struct Budget<'a> {
    snapshot: &'a Snapshot,
    object: &'a Object,
    tree: Value,
    pods: Vec<(Value, &'a Object)>,
    now: Timestamp,
}

/// How many pods there should be, and how many of them healthy.
struct Demand {
    expected: i64,
    healthy: i64,
}

impl Budget<'_> {
    fn run(&self, plan: &mut Plan) -> Result<Vec<Note>, PlanError> {
        let mut notes = Vec::new();
        if self.pods.is_empty() {
            notes.push(Note::normal(self.object, "NoPods", "No matching pods found"));
        }
        let demand = self.demand(&mut notes)?;
        let disrupted = self.disrupted(plan, &mut notes);
        let is_healthy = |(tree, pod): &&(Value, &Object)| {
            !pod.is_deleting() && !disrupted.contains_key(pod.name()) && is_ready(tree)
        };
        let current = i64::try_from(self.pods.iter().filter(is_healthy).count()).unwrap_or(i64::MAX);
        let allowed = if demand.expected > 0 { (current - demand.healthy).max(0) } else { 0 };
        let mut status = self.tree.at("status").clone();
        for (field, value) in [
            ("currentHealthy", current),
            ("desiredHealthy", demand.healthy),
            ("disruptionsAllowed", allowed),
            ("expectedPods", demand.expected),
            ("observedGeneration", self.tree.int("metadata.generation")),
        ] {
            status[field] = json!(value);
        }
        status["conditions"] = Value::Array(self.conditions(allowed));
        if let Some(fields) = status.as_object_mut() {
            fields.remove("disruptedPods");
            if !disrupted.is_empty() {
                fields.insert("disruptedPods".into(), Value::Object(disrupted));
            }
        }
        if self.tree.at("status") == &status {
            // Nothing changed: it was told before.
            return Ok(Vec::new());
        }
        let mut object = self.tree.clone();
        set(&mut object, "status", status);
        let key = self.object.key();
        plan.push(Action::Update { resource: BUDGETS, key, subresource: "status".into(), object });
        Ok(notes)
    }

    fn demand(&self, notes: &mut Vec<Note>) -> Result<Demand, PlanError> {
        let spec = self.tree.at("spec");
        let (most, least) = (spec.at("maxUnavailable"), spec.at("minAvailable"));
        if let Some(healthy) = least.as_i64() {
            let expected = i64::try_from(self.pods.len()).unwrap_or(i64::MAX);
            return Ok(Demand { expected, healthy });
        }
        if most.is_null() && least.is_null() {
            return Ok(Demand { expected: 0, healthy: 0 });
        }
        let expected = self.expected_scale(notes)?;
        let healthy = if most.is_null() {
            scaled_value(least, expected, true)
        } else {
            (expected - scaled_value(most, expected, true)).max(0)
        };
        Ok(Demand { expected, healthy })
    }

    /// The summed sizes of whatever controls the pods.
    fn expected_scale(&self, notes: &mut Vec<Note>) -> Result<i64, PlanError> {
        let mut scales = std::collections::BTreeMap::new();
        let mut unmanaged = Vec::new();
        for (_, pod) in &self.pods {
            match self.scale_of(pod)? {
                Some((uid, size)) => {
                    scales.insert(uid, size);
                }
                None if pod.controller().is_none() => unmanaged.push(pod.name()),
                None => {}
            }
        }
        if !unmanaged.is_empty() {
            let selector = selector_of(&self.tree);
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the \
                 status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for \
                 these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            notes.push(Note::warning(self.object, "UnmanagedPods", message));
        }
        Ok(scales.into_values().sum())
    }

    /// Whatever sets the number of pods of this one's kind, and that number.
    fn scale_of(&self, pod: &Object) -> Result<Option<(String, i64)>, PlanError> {
        let Some(mut owner) = pod.controller() else { return Ok(None) };
        let find = |resource: &Gvr, name: &str| self.snapshot.get(resource, &Key::new(pod.namespace(), name));
        if &*owner.kind == "ReplicaSet"
            && let Some(above) = find(&REPLICA_SETS, &owner.name).and_then(Object::controller)
            && &*above.kind == "Deployment"
        {
            owner = above;
        }
        let resource = match &*owner.kind {
            "Deployment" => DEPLOYMENTS,
            "ReplicaSet" => REPLICA_SETS,
            "ReplicationController" => REPLICATION_CONTROLLERS,
            "StatefulSet" => STATEFUL_SETS,
            _ => return Ok(None),
        };
        let Some(found) = find(&resource, &owner.name).filter(|found| found.uid() == &*owner.uid) else {
            return Ok(None);
        };
        Ok(Some((found.uid().to_owned(), replicas(&tree_of(found)?))))
    }

    /// The pods whose eviction was granted and that are about to go.
    fn disrupted(&self, plan: &mut Plan, notes: &mut Vec<Note>) -> Map<String, Value> {
        let mut kept = Map::new();
        for (name, at) in self.tree.at("status.disruptedPods").as_object().into_iter().flatten() {
            let Some((_, pod)) = self.pods.iter().find(|(_, pod)| pod.name() == name) else { continue };
            let granted = at.as_str().and_then(|at| at.parse::<Timestamp>().ok()).unwrap_or(self.now);
            let until = granted + SignedDuration::from_secs(EVICTION_SECS);
            if pod.is_deleting() {
                continue;
            }
            if until <= self.now {
                let key = self.object.key();
                let message = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
                notes.push(Note::warning(pod, "NotDeleted", message));
                continue;
            }
            plan.wake_by(until);
            kept.insert(name.clone(), at.clone());
        }
        kept
    }

    fn conditions(&self, allowed: i64) -> Vec<Value> {
        let mut conditions = self.tree.items("status.conditions").to_vec();
        let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let generation = self.tree.int("metadata.generation");
        let old = condition(&conditions, "DisruptionAllowed");
        let since = old.filter(|old| old.text("status") == status).map(|old| old.at("lastTransitionTime").clone());
        let new = json!({
            "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or_else(|| json!(time_text(self.now))),
        });
        match conditions.iter_mut().find(|old| old.text("type") == "DisruptionAllowed") {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
        conditions
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::DisruptionController;
    use crate::testing::{plan, wakes};

    fn budget(spec: &str, status: &str) -> String {
        format!(
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: b, namespace: shop, generation: 1}}
spec: {{selector: {{matchLabels: {{app: web}}}}, {spec}}}\nstatus: {{{status}}}"
        )
    }

    const SETS: &str = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 4}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: uid-web, controller: true}]}
spec: {replicas: 2}";

    fn pod(name: &str, ready: &str, owned: bool) -> String {
        let owner =
            "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: uid-web-1, controller: true}]";
        format!(
            "\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web}}, {}}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}",
            if owned { owner } else { "" }
        )
    }

    fn check(yaml: &str, expected: Expect) {
        expected.assert_eq(&plan(&DisruptionController, yaml, "shop/b"));
    }

    #[test]
    fn pods_above_the_least_may_go() {
        let pods = pod("a", "True", false) + &pod("b", "True", false) + &pod("c", "False", false);
        check(
            &(budget("minAvailable: 1", "") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 2
              status.desiredHealthy: null -> 1
              status.disruptionsAllowed: null -> 1
              status.expectedPods: null -> 3
              status.observedGeneration: null -> 1
        "#]],
        );
        check(
            &(budget("minAvailable: 2", "") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 2
              status.desiredHealthy: null -> 2
              status.disruptionsAllowed: null -> 0
              status.expectedPods: null -> 3
              status.observedGeneration: null -> 1
        "#]],
        );
        check(
            &budget("minAvailable: 1", ""),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 0
              status.desiredHealthy: null -> 1
              status.disruptionsAllowed: null -> 0
              status.expectedPods: null -> 0
              status.observedGeneration: null -> 1
            tell
              then NoPods: No matching pods found
        "#]],
        );
    }

    #[test]
    fn shares_are_of_the_size_that_the_controller_asks_for() {
        let pods = SETS.to_owned() + &pod("a", "True", true) + &pod("b", "True", true) + &pod("c", "True", true);
        check(
            &(budget("minAvailable: 50%", "") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 3
              status.desiredHealthy: null -> 2
              status.disruptionsAllowed: null -> 1
              status.expectedPods: null -> 4
              status.observedGeneration: null -> 1
        "#]],
        );
        check(
            &(budget("maxUnavailable: 1", "") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 3
              status.desiredHealthy: null -> 3
              status.disruptionsAllowed: null -> 0
              status.expectedPods: null -> 4
              status.observedGeneration: null -> 1
        "#]],
        );
        check(
            &(budget("maxUnavailable: 1", "") + &pod("a", "True", false)),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 1
              status.desiredHealthy: null -> 0
              status.disruptionsAllowed: null -> 0
              status.expectedPods: null -> 0
              status.observedGeneration: null -> 1
            tell
              then Warning UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: app=web) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.
        "#]],
        );
    }

    #[test]
    fn a_granted_eviction_counts_as_gone_until_it_is_or_two_minutes_are_over() {
        let pods = pod("a", "True", false) + &pod("b", "True", false);
        let granted = |at: &str| budget("minAvailable: 0", &format!("disruptedPods: {{a: '{at}', gone: '{at}'}}"));
        check(
            &(granted("2026-01-01T11:59:00Z") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 1
              status.desiredHealthy: null -> 0
              status.disruptedPods.gone: "2026-01-01T11:59:00Z" -> null
              status.disruptionsAllowed: null -> 1
              status.expectedPods: null -> 2
              status.observedGeneration: null -> 1
            wake at 2026-01-01T12:01:00Z
        "#]],
        );
        check(
            &(granted("2026-01-01T11:50:00Z") + &pods),
            expect![[r#"
            update poddisruptionbudgets.policy shop/b status
              status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":1,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}]
              status.currentHealthy: null -> 2
              status.desiredHealthy: null -> 0
              status.disruptedPods: {"a":"2026-01-01T11:50:00Z","gone":"2026-01-01T11:50:00Z"} -> null
              status.disruptionsAllowed: null -> 2
              status.expectedPods: null -> 2
              status.observedGeneration: null -> 1
            tell
              then Warning NotDeleted: Pod was expected by PDB shop/b to be deleted but it wasn't
        "#]],
        );
    }

    #[test]
    fn a_pod_wakes_the_budgets_that_select_it() {
        assert_eq!(
            wakes(&DisruptionController, &(budget("minAvailable: 1", "") + &pod("a", "True", false))),
            ["shop/b"]
        );
    }
}
