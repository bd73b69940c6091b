//! ReplicaSets with their pods as YAML, and the plans made of them.

use expect_test::{Expect, expect};

use super::ReplicaSetController;
use crate::testing::plan;

const SET: &str = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: shop, generation: 2}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i}]}
";

/// A pod of the set: its name, labels and status as YAML, and what else its metadata has.
fn pod(name: &str, extra: &str, status: &str) -> String {
    format!(
        "\n---\napiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: web}}, {extra}}}
spec: {{nodeName: n1}}
status: {status}"
    )
}

const OWNED: &str =
    "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: uid-web, controller: true}]";
const READY: &str =
    "{phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:59:55Z'}]}";

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&plan(&ReplicaSetController::replica_sets(), yaml, "shop/web"));
}

#[test]
fn missing_pods_are_created_and_a_refusal_is_shown_in_the_status() {
    check(
        &(SET.replace("replicas: 2", "replicas: 1")),
        expect![[r#"
        create pods in "shop": {"metadata":{"generateName":"web-","labels":{"app":"web"},"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"uid-web"}]},"spec":{"containers":[{"image":"i","name":"c"}]}}
          then SuccessfulCreate: Created pod: {name}
          else Warning FailedCreate: Error creating: {error}
          else update replicasets.apps shop/web status
          status: null -> {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"{error}","reason":"FailedCreate","status":"True","type":"ReplicaFailure"}],"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
        update replicasets.apps shop/web status
          status: null -> {"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn ready_pods_are_counted_and_nothing_more_is_done() {
    check(
        &(SET.to_owned() + &pod("a", OWNED, READY) + &pod("b", OWNED, "{phase: Pending}")),
        expect![[r#"
        update replicasets.apps shop/web status
          status: null -> {"availableReplicas":1,"fullyLabeledReplicas":2,"observedGeneration":2,"readyReplicas":1,"replicas":2,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn a_pod_that_is_not_ready_for_long_enough_is_not_available_until_later() {
    let set = SET.replace("replicas: 2", "replicas: 1\n  minReadySeconds: 30");
    check(
        &(set + &pod("a", OWNED, READY)),
        expect![[r#"
        update replicasets.apps shop/web status
          status: null -> {"fullyLabeledReplicas":1,"observedGeneration":2,"readyReplicas":1,"replicas":1,"terminatingReplicas":0}
        wake at 2026-01-01T12:00:25Z
    "#]],
    );
}

#[test]
fn the_least_useful_pods_go_first() {
    let cheap = format!("{OWNED}, annotations: {{controller.kubernetes.io/pod-deletion-cost: '-5'}}");
    let pods = [
        pod("ready", OWNED, READY),
        pod("cheap", &cheap, READY),
        pod("pending", OWNED, "{phase: Pending}"),
        pod("ended", OWNED, "{phase: Failed}"),
        pod("ending", &format!("{OWNED}, deletionTimestamp: '2026-01-01T12:00:10Z'"), READY),
    ];
    check(
        &(SET.replace("replicas: 2", "replicas: 1") + &pods.concat()),
        expect![[r#"
        delete pods shop/pending
          then SuccessfulDelete: Deleted pod: {name}
          else Warning FailedDelete: Error deleting: {error}
          else update replicasets.apps shop/web status
          status: null -> {"availableReplicas":2,"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"{error}","reason":"FailedDelete","status":"True","type":"ReplicaFailure"}],"fullyLabeledReplicas":3,"observedGeneration":2,"readyReplicas":2,"replicas":3,"terminatingReplicas":1}
        delete pods shop/cheap
          then SuccessfulDelete: Deleted pod: {name}
          else Warning FailedDelete: Error deleting: {error}
          else update replicasets.apps shop/web status
          status: null -> {"availableReplicas":2,"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"{error}","reason":"FailedDelete","status":"True","type":"ReplicaFailure"}],"fullyLabeledReplicas":3,"observedGeneration":2,"readyReplicas":2,"replicas":3,"terminatingReplicas":1}
        update replicasets.apps shop/web status
          status: null -> {"availableReplicas":2,"fullyLabeledReplicas":3,"observedGeneration":2,"readyReplicas":2,"replicas":3,"terminatingReplicas":1}
    "#]],
    );
}

#[test]
fn matching_orphans_are_adopted_and_strangers_let_go() {
    let stranger = pod("stranger", OWNED, READY).replace("labels: {app: web}", "labels: {app: other}");
    check(
        &(SET.to_owned() + &pod("orphan", "", READY) + &pod("own", OWNED, READY) + &stranger),
        expect![[r#"
        patch pods shop/stranger {"metadata":{"ownerReferences":null}}
        patch pods shop/orphan {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"uid-web"}]}}
        update replicasets.apps shop/web status
          status: null -> {"availableReplicas":2,"fullyLabeledReplicas":2,"observedGeneration":2,"readyReplicas":2,"replicas":2,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn a_set_that_is_being_deleted_makes_nothing() {
    check(
        &SET.replace("generation: 2", "generation: 2, deletionTimestamp: '2026-01-01T12:00:10Z'"),
        expect![[r#"
        update replicasets.apps shop/web status
          status: null -> {"observedGeneration":2,"replicas":0,"terminatingReplicas":0}
    "#]],
    );
}

#[test]
fn a_replication_controller_selects_by_a_plain_map() {
    let yaml = "
apiVersion: v1
kind: ReplicationController
metadata: {name: web, namespace: shop, generation: 1}
spec:
  replicas: 1
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i}]}
"
    .to_owned();
    let controller = ReplicaSetController::replication_controllers();
    let adopted = plan(&controller, &(yaml + &pod("a", "", READY)), "shop/web");
    expect![[r#"
        patch pods shop/a {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicationController","name":"web","uid":"uid-web"}]}}
        update replicationcontrollers shop/web status
          status: null -> {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":1,"readyReplicas":1,"replicas":1}
    "#]]
    .assert_eq(&adopted);
}
