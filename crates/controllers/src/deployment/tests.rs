//! Deployments with their sets as YAML, and the plans made of them.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::DeploymentController;
use crate::testing::plan;

/// A Deployment of image `image` with `replicas` pods; `extra` goes into its spec, `status` is its status.
fn deployment(image: &str, replicas: u32, extra: &str, status: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop, generation: 3, annotations: {{deployment.kubernetes.io/revision: '1', team: a}}}}
spec:
  replicas: {replicas}
  progressDeadlineSeconds: 600
  revisionHistoryLimit: 1
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 25%, maxUnavailable: 25%}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: c, image: {image}}}]}}
{extra}status: {status}
"
    )
}

/// A set of the Deployment: the image that is its name, its revision, size, and available pods.
fn set(image: &str, revision: u32, replicas: u32, available: u32, desired: u32) -> String {
    let mut text = String::from("\n---\n");
    write!(
        text,
        "apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-{image}
  namespace: shop
  creationTimestamp: '2026-01-01T10:0{revision}:00Z'
  labels: {{app: web, pod-template-hash: {image}}}
  annotations: {{deployment.kubernetes.io/revision: '{revision}', team: a,
    deployment.kubernetes.io/desired-replicas: '{desired}', deployment.kubernetes.io/max-replicas: '{}'}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: uid-web, controller: true}}]
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web, pod-template-hash: {image}}}}}
  template:
    metadata: {{labels: {{app: web, pod-template-hash: {image}}}}}
    spec: {{containers: [{{name: c, image: {image}}}]}}
status: {{replicas: {replicas}, readyReplicas: {available}, availableReplicas: {available}}}",
        desired + desired.div_ceil(4)
    )
    .unwrap();
    text
}

const ROLLED: &str = "{conditions: [{type: Progressing, status: 'True', reason: NewReplicaSetAvailable}]}";
const ROLLING: &str = "{conditions: [{type: Progressing, status: 'True', reason: ReplicaSetUpdated,
    lastUpdateTime: '2026-01-01T11:59:00Z', lastTransitionTime: '2026-01-01T11:00:00Z'}]}";

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&plan(&DeploymentController, yaml, "shop/web"));
}

#[test]
fn a_new_deployment_gets_a_set_and_says_so() {
    check(
        &deployment("one", 3, "", "{}"),
        expect![[r#"
        create replicasets.apps in "shop": {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"3","deployment.kubernetes.io/max-replicas":"4","deployment.kubernetes.io/revision":"1","team":"a"},"labels":{"app":"web","pod-template-hash":"5758b7489d"},"name":"web-5758b7489d","namespace":"shop","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"Deployment","name":"web","uid":"uid-web"}]},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web","pod-template-hash":"5758b7489d"}},"template":{"metadata":{"labels":{"app":"web","pod-template-hash":"5758b7489d"}},"spec":{"containers":[{"image":"one","name":"c"}]}}}}
          then ScalingReplicaSet: Scaled up replica set web-5758b7489d from 0 to 3
          else Warning ReplicaSetCreateError: Failed to create new replica set "web-5758b7489d": {error}
          else update deployments.apps shop/web status
          status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Failed to create new replica set \"web-5758b7489d\": {error}","reason":"ReplicaSetCreateError","status":"False","type":"Progressing"}]
        update deployments.apps shop/web status
          status.conditions: null -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Created new replica set \"web-5758b7489d\"","reason":"NewReplicaSetCreated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
          status.observedGeneration: null -> 3
          status.terminatingReplicas: null -> 0
        wake at 2026-01-01T12:10:01Z
    "#]],
    );
}

#[test]
fn a_new_template_rolls_up_as_far_as_the_surge_allows() {
    // Two sets: the old one full, the new one just made.
    check(
        &(deployment("two", 4, "", ROLLED) + &set("one", 1, 4, 4, 4) + &set("two", 2, 0, 0, 4)),
        expect![[r#"
            update replicasets.apps shop/web-two
              spec.replicas: 0 -> 1
              then ScalingReplicaSet: Scaled up replica set web-two from 0 to 1
            update deployments.apps shop/web status
              metadata.annotations.deployment.kubernetes.io/revision: "1" -> "2"
              status.availableReplicas: null -> 4
              status.conditions: [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":null,"lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-two\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 4
              status.replicas: null -> 4
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 1
            wake at 2026-01-01T12:10:01Z
        "#]],
    );
}

#[test]
fn an_old_set_shrinks_as_far_as_enough_pods_are_available() {
    check(
        &(deployment("two", 4, "", ROLLING) + &set("one", 1, 4, 4, 4) + &set("two", 2, 1, 1, 4)),
        expect![[r#"
            update replicasets.apps shop/web-one
              spec.replicas: 4 -> 2
              then ScalingReplicaSet: Scaled down replica set web-one from 4 to 2
            update deployments.apps shop/web status
              metadata.annotations.deployment.kubernetes.io/revision: "1" -> "2"
              status.availableReplicas: null -> 5
              status.conditions: [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:59:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-two\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 5
              status.replicas: null -> 5
              status.terminatingReplicas: null -> 0
              status.updatedReplicas: null -> 1
            wake at 2026-01-01T12:10:01Z
        "#]],
    );
}

#[test]
fn unhealthy_old_pods_go_first() {
    check(
        &(deployment("two", 4, "", ROLLING) + &set("one", 1, 4, 2, 4) + &set("two", 2, 1, 0, 4)),
        expect![[r#"
            update replicasets.apps shop/web-one
              spec.replicas: 4 -> 3
              then ScalingReplicaSet: Scaled down replica set web-one from 4 to 3
            update deployments.apps shop/web status
              metadata.annotations.deployment.kubernetes.io/revision: "1" -> "2"
              status.availableReplicas: null -> 2
              status.conditions: [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:59:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-two\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 2
              status.replicas: null -> 5
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 2
              status.updatedReplicas: null -> 1
            wake at 2026-01-01T12:10:01Z
        "#]],
    );
}

#[test]
fn a_finished_roll_is_told_and_the_oldest_set_beyond_the_limit_goes() {
    let done = deployment("three", 2, "", ROLLING).replace("revision: '1'", "revision: '3'");
    let sets = set("one", 1, 0, 0, 2) + &set("two", 2, 0, 0, 2) + &set("three", 3, 2, 2, 2);
    check(
        &(done + &sets),
        expect![[r#"
        delete replicasets.apps shop/web-one
        update deployments.apps shop/web status
          status.availableReplicas: null -> 2
          status.conditions: [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:59:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-three\" has successfully progressed.","reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
          status.observedGeneration: null -> 3
          status.readyReplicas: null -> 2
          status.replicas: null -> 2
          status.terminatingReplicas: null -> 0
          status.updatedReplicas: null -> 2
    "#]],
    );
}

#[test]
fn undo_makes_an_old_set_the_newest_revision() {
    let back = deployment("one", 2, "", ROLLED).replace("revision: '1'", "revision: '2'");
    check(
        &(back + &set("one", 1, 0, 0, 2) + &set("two", 2, 2, 2, 2)),
        expect![[r#"
            update replicasets.apps shop/web-one
              metadata.annotations.deployment.kubernetes.io/revision: "1" -> "3"
              metadata.annotations.deployment.kubernetes.io/revision-history: null -> "1"
              spec.replicas: 0 -> 1
              then ScalingReplicaSet: Scaled up replica set web-one from 0 to 1
            update deployments.apps shop/web status
              metadata.annotations.deployment.kubernetes.io/revision: "2" -> "3"
              status.availableReplicas: null -> 2
              status.conditions: [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":null,"lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-one\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 2
              status.replicas: null -> 2
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 1
            wake at 2026-01-01T12:10:01Z
        "#]],
    );
}

#[test]
fn a_resize_in_the_middle_of_a_roll_is_shared_in_proportion() {
    let big = deployment("two", 10, "", ROLLING).replace("revision: '1'", "revision: '2'");
    check(
        &(big + &set("one", 1, 3, 3, 4) + &set("two", 2, 2, 2, 4)),
        expect![[r#"
            update replicasets.apps shop/web-one
              metadata.annotations.deployment.kubernetes.io/desired-replicas: "4" -> "10"
              metadata.annotations.deployment.kubernetes.io/max-replicas: "5" -> "13"
              spec.replicas: 3 -> 8
              then ScalingReplicaSet: Scaled up replica set web-one from 3 to 8
            update replicasets.apps shop/web-two
              metadata.annotations.deployment.kubernetes.io/desired-replicas: "4" -> "10"
              metadata.annotations.deployment.kubernetes.io/max-replicas: "5" -> "13"
              spec.replicas: 2 -> 5
              then ScalingReplicaSet: Scaled up replica set web-two from 2 to 5
            update deployments.apps shop/web status
              status.availableReplicas: null -> 5
              status.conditions: [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:59:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:59:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 5
              status.replicas: null -> 5
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 8
              status.updatedReplicas: null -> 2
            wake at 2026-01-01T12:09:01Z
        "#]],
    );
}

#[test]
fn a_paused_deployment_is_resized_but_not_rolled() {
    let paused = deployment("two", 6, "  paused: true\n", ROLLED);
    check(
        &(paused + &set("one", 1, 4, 4, 4)),
        expect![[r#"
            update replicasets.apps shop/web-one
              metadata.annotations.deployment.kubernetes.io/desired-replicas: "4" -> "6"
              metadata.annotations.deployment.kubernetes.io/max-replicas: "5" -> "8"
              spec.replicas: 4 -> 6
              then ScalingReplicaSet: Scaled up replica set web-one from 4 to 6
            update deployments.apps shop/web status
              status.availableReplicas: null -> 4
              status.conditions: [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment is paused","reason":"DeploymentPaused","status":"Unknown","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 4
              status.replicas: null -> 4
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 2
        "#]],
    );
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreate = deployment("two", 2, "", ROLLED)
        .replace("{type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}", "{type: Recreate}");
    check(
        &(recreate.clone() + &set("one", 1, 2, 2, 2)),
        expect![[r#"
            update replicasets.apps shop/web-one
              metadata.annotations.deployment.kubernetes.io/max-replicas: "3" -> "2"
              spec.replicas: 2 -> 0
              then ScalingReplicaSet: Scaled down replica set web-one from 2 to 0
            update deployments.apps shop/web status
              status.availableReplicas: null -> 2
              status.conditions: [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":null,"lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment \"web\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
              status.observedGeneration: null -> 3
              status.readyReplicas: null -> 2
              status.replicas: null -> 2
              status.terminatingReplicas: null -> 0
            wake at 2026-01-01T12:10:01Z
        "#]],
    );
    let pod = "\n---\napiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, deletionTimestamp: '2026-01-01T12:00:10Z',
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-one, uid: uid-web-one, controller: true}]}
status: {phase: Running}";
    check(
        &(recreate + &set("one", 1, 0, 0, 2) + pod),
        expect![[r#"
        update deployments.apps shop/web status
          status.conditions: [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}] -> [{"reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
          status.observedGeneration: null -> 3
          status.terminatingReplicas: null -> 0
    "#]],
    );
}

#[test]
fn a_roll_that_gets_nowhere_exceeds_its_deadline() {
    let stuck =
        deployment("two", 4, "", &ROLLING.replace("11:59:00Z", "11:49:00Z")).replace("revision: '1'", "revision: '2'");
    let counts = "status: {replicas: 5, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3, ";
    let stuck = stuck.replace("status: {conditions", &format!("{counts}conditions"));
    check(
        &(stuck + &set("one", 1, 3, 3, 4) + &set("two", 2, 2, 0, 4)),
        expect![[r#"
            update deployments.apps shop/web status
              status.conditions: [{"lastTransitionTime":"2026-01-01T11:00:00Z","lastUpdateTime":"2026-01-01T11:49:00Z","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}] -> [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"web-two\" has timed out progressing.","reason":"ProgressDeadlineExceeded","status":"False","type":"Progressing"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"}]
              status.observedGeneration: null -> 3
              status.terminatingReplicas: null -> 0
              status.unavailableReplicas: null -> 2
        "#]],
    );
}
