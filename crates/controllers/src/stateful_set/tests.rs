//! StatefulSets with their pods, revisions and claims as YAML, and the plans made of them.

use expect_test::{Expect, expect};

use super::StatefulSetController;
use crate::testing::{plan, wakes};

const SET: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, generation: 1}
spec:
  replicas: 2
  serviceName: db
  podManagementPolicy: OrderedReady
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}
  revisionHistoryLimit: 10
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: i}]}
status: {replicas: 0, availableReplicas: 0, collisionCount: 0, observedGeneration: 1, currentRevision: db-now, updateRevision: db-now}
";
const OWNED: &str =
    "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: uid-db, controller: true}]";
const READY: &str =
    "{phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:59:55Z'}]}";

/// A revision of the set with this image.
fn revision(name: &str, number: u8, image: &str) -> String {
    format!(
        "\n---\napiVersion: apps/v1
kind: ControllerRevision
metadata: {{name: db-{name}, namespace: shop, labels: {{app: db}}, {OWNED}}}
revision: {number}
data: {{spec: {{template: {{$patch: replace, metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}}}}}"
    )
}

fn pod(ordinal: u8, revision: &str, status: &str) -> String {
    format!(
        "\n---\napiVersion: v1
kind: Pod
metadata:
  name: db-{ordinal}
  namespace: shop
  labels: {{app: db, controller-revision-hash: db-{revision}, statefulset.kubernetes.io/pod-name: db-{ordinal}, apps.kubernetes.io/pod-index: '{ordinal}'}}
  {OWNED}
spec: {{nodeName: n1}}
status: {status}"
    )
}

fn claim(name: &str, owner: &str) -> String {
    format!(
        "\n---\napiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}, namespace: shop, {owner}}}
spec: {{}}"
    )
}

/// The plan, without the writes of the status.
fn check(yaml: &str, expected: Expect) {
    let text = plan(&StatefulSetController, yaml, "shop/db");
    let mut shown = String::new();
    let mut in_status = false;
    for line in text.lines() {
        in_status = line.starts_with("update statefulsets.apps") || (in_status && line.starts_with("  status"));
        if !in_status {
            shown += line;
            shown += "\n";
        }
    }
    expected.assert_eq(&shown);
}

fn now(image: &str) -> String {
    revision("now", 1, image)
}

fn with_claims(policy: &str) -> String {
    SET.replace(
        "  template:\n",
        &format!(
            "  persistentVolumeClaimRetentionPolicy: {policy}
  volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce]}}}}]
  template:\n"
        ),
    )
}

#[test]
fn a_new_set_gets_a_revision_a_status_and_its_first_pod() {
    let set = SET.replace(", currentRevision: db-now, updateRevision: db-now", "");
    expect![[r#"
        create controllerrevisions.apps in "shop": {"data":{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"i","name":"c"}]}}}},"metadata":{"labels":{"app":"db","controller.kubernetes.io/hash":"65cdf5f6f9"},"name":"db-65cdf5f6f9","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"revision":1}
        update statefulsets.apps shop/db status
          status.currentRevision: null -> "db-65cdf5f6f9"
          status.updateRevision: null -> "db-65cdf5f6f9"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"db-65cdf5f6f9","statefulset.kubernetes.io/pod-name":"db-0"},"name":"db-0","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-0","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-0 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-0 in StatefulSet db failed error: {error}
    "#]]
    .assert_eq(&plan(&StatefulSetController, &set, "shop/db"));
}

#[test]
fn the_next_pod_waits_until_the_one_before_is_ready() {
    check(&(SET.to_owned() + &now("i") + &pod(0, "now", "{phase: Running}")), expect![[r#""#]]);
    check(
        &(SET.to_owned() + &now("i") + &pod(0, "now", READY)),
        expect![[r#"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"1","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-1"},"name":"db-1","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-1","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-1 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-1 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn the_next_pod_waits_until_the_one_before_is_available() {
    let set = SET.replace("  replicas: 2", "  replicas: 2\n  minReadySeconds: 30");
    check(
        &(set + &now("i") + &pod(0, "now", READY)),
        expect![[r#"
        wake at 2026-01-01T12:00:25Z
    "#]],
    );
}

#[test]
fn parallel_makes_all_at_once() {
    check(
        &(SET.replace("OrderedReady", "Parallel") + &now("i")),
        expect![[r#"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-0"},"name":"db-0","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-0","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-0 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-0 in StatefulSet db failed error: {error}
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"1","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-1"},"name":"db-1","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-1","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-1 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-1 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn a_set_may_start_at_another_ordinal_and_pods_outside_go() {
    let set = SET.replace("  replicas: 2", "  ordinals: {start: 5}\n  replicas: 1");
    check(
        &(set.clone() + &now("i") + &pod(0, "now", READY)),
        expect![[r#"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"5","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-5"},"name":"db-5","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-5","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-5 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-5 in StatefulSet db failed error: {error}
    "#]],
    );
    check(
        &(set + &now("i") + &pod(0, "now", READY) + &pod(5, "now", READY)),
        expect![[r#"
        delete pods shop/db-0
          then SuccessfulDelete: delete Pod db-0 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn a_set_shrinks_from_its_end_one_pod_at_a_time() {
    let set = SET.replace("replicas: 2", "replicas: 1") + &now("i") + &pod(0, "now", READY);
    check(
        &(set.clone() + &pod(1, "now", READY) + &pod(2, "now", READY)),
        expect![[r#"
        delete pods shop/db-2
          then SuccessfulDelete: delete Pod db-2 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-2 in StatefulSet db failed error: {error}
    "#]],
    );
    // One that is not ready waits for those before it that are not, either.
    check(&(set.clone() + &pod(1, "now", "{phase: Pending}") + &pod(2, "now", "{phase: Pending}")), expect![[r#""#]]);
    check(
        &(set + &pod(1, "now", READY) + &pod(2, "now", "{phase: Pending}")),
        expect![[r#"
        delete pods shop/db-2
          then SuccessfulDelete: delete Pod db-2 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-2 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn a_failed_pod_is_replaced() {
    check(
        &(SET.to_owned() + &now("i") + &pod(0, "now", "{phase: Failed}")),
        expect![[r#"
        delete pods shop/db-0
          then SuccessfulDelete: delete Pod db-0 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn a_new_template_rolls_from_the_end() {
    let set = SET.replace("image: i", "image: j") + &now("i") + &pod(0, "now", READY);
    let new = revision("new", 2, "j");
    check(
        &(set.clone() + &new + &pod(1, "now", READY)),
        expect![[r#"
        delete pods shop/db-1
          then SuccessfulDelete: delete Pod db-1 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-1 in StatefulSet db failed error: {error}
    "#]],
    );
    check(&(set.clone() + &new + &pod(1, "new", "{phase: Running}")), expect![[r#""#]]);
    check(
        &(set.clone() + &new + &pod(1, "new", READY)),
        expect![[r#"
        delete pods shop/db-0
          then SuccessfulDelete: delete Pod db-0 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
    check(&(set.replace("partition: 0", "partition: 1") + &new + &pod(1, "new", READY)), expect![[r#""#]]);
    check(&(set.replace("type: RollingUpdate", "type: OnDelete") + &new + &pod(1, "now", READY)), expect![[r#""#]]);
}

#[test]
fn max_unavailable_pods_roll_at_once_and_broken_ones_cost_nothing() {
    let set = SET
        .replace("image: i", "image: j")
        .replace("partition: 0", "partition: 0, maxUnavailable: 50%")
        .replace("replicas: 2", "replicas: 4")
        .replace("OrderedReady", "Parallel");
    let pods = |third: &str| -> String { (0..4).map(|i| pod(i, "now", if i == 2 { third } else { READY })).collect() };
    let known = now("i") + &revision("new", 2, "j");
    check(
        &(set.clone() + &known + &pods(READY)),
        expect![[r#"
        delete pods shop/db-3
          then SuccessfulDelete: delete Pod db-3 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-3 in StatefulSet db failed error: {error}
        delete pods shop/db-2
          then SuccessfulDelete: delete Pod db-2 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-2 in StatefulSet db failed error: {error}
    "#]],
    );
    check(
        &(set + &known + &pods("{phase: Running}")),
        expect![[r#"
        delete pods shop/db-3
          then SuccessfulDelete: delete Pod db-3 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-3 in StatefulSet db failed error: {error}
        delete pods shop/db-2
          then SuccessfulDelete: delete Pod db-2 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-2 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn going_back_to_an_old_template_makes_its_revision_the_newest() {
    let set = SET.to_owned() + &now("i") + &revision("new", 2, "j") + &pod(0, "new", READY) + &pod(1, "new", READY);
    check(
        &set,
        expect![[r#"
        patch controllerrevisions.apps shop/db-now {"revision":3}
        delete pods shop/db-1
          then SuccessfulDelete: delete Pod db-1 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-1 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn a_pod_behind_the_partition_comes_back_with_the_old_template() {
    let set = SET.replace("image: i", "image: j").replace("partition: 0", "partition: 1");
    check(
        &(set + &now("i") + &revision("new", 2, "j")),
        expect![[r#"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-0"},"name":"db-0","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-0","subdomain":"db"}}
          then SuccessfulCreate: create Pod db-0 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn claims_are_made_before_their_pod_and_stay() {
    let set = with_claims("{whenDeleted: Retain, whenScaled: Retain}") + &now("i");
    check(
        &set,
        expect![[r#"
        create persistentvolumeclaims in "shop": {"metadata":{"labels":{"app":"db"},"name":"data-db-0"},"spec":{"accessModes":["ReadWriteOnce"]}}
          then SuccessfulCreate: create Claim data-db-0 Pod db-0 in StatefulSet db success
          else Warning FailedCreate: create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: {error}
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-0"},"name":"db-0","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-0","subdomain":"db","volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-db-0"}}]}}
          then SuccessfulCreate: create Pod db-0 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
    check(
        &(set + &claim("data-db-0", "")),
        expect![[r#"
        create pods in "shop": {"metadata":{"labels":{"app":"db","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"db-now","statefulset.kubernetes.io/pod-name":"db-0"},"name":"db-0","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]},"spec":{"containers":[{"image":"i","name":"c"}],"hostname":"db-0","subdomain":"db","volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-db-0"}}]}}
          then SuccessfulCreate: create Pod db-0 in StatefulSet db successful
          else Warning FailedCreate: create Pod db-0 in StatefulSet db failed error: {error}
    "#]],
    );
}

#[test]
fn claims_go_with_the_set_or_with_the_pod_where_the_policy_says_so() {
    let set =
        with_claims("{whenDeleted: Delete, whenScaled: Delete}").replace("replicas: 2", "replicas: 1") + &now("i");
    let pods = pod(0, "now", READY) + &pod(1, "now", READY);
    check(
        &(set.clone() + &pods + &claim("data-db-0", "") + &claim("data-db-1", "")),
        expect![[r#"
        patch persistentvolumeclaims shop/data-db-0 {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"db","uid":"uid-db"}]}}
        patch persistentvolumeclaims shop/data-db-1 {"metadata":{"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"db-1","uid":"uid-db-1"}]}}
        delete pods shop/db-1
          then SuccessfulDelete: delete Pod db-1 in StatefulSet db successful
          else Warning FailedDelete: delete Pod db-1 in StatefulSet db failed error: {error}
    "#]],
    );
    let stale = "ownerReferences: [{apiVersion: v1, kind: Pod, name: db-0, uid: gone}]";
    check(
        &(set + &claim("data-db-0", stale)),
        expect![[r#"
        nothing
    "#]],
    );
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let set = SET.replace("revisionHistoryLimit: 10", "revisionHistoryLimit: 1");
    let all = revision("a", 1, "a") + &revision("b", 2, "b") + &revision("now", 3, "i");
    check(
        &(set + &all + &pod(0, "now", READY) + &pod(1, "now", READY)),
        expect![[r#"
        delete controllerrevisions.apps shop/db-a
    "#]],
    );
}

#[test]
fn a_claim_that_is_gone_wakes_its_set() {
    use api::Gvr;
    use cache::{Change, Controller};
    let yaml = with_claims("{}") + &claim("data-db-0", "");
    assert_eq!(wakes(&StatefulSetController, &yaml), ["shop/db"]);
    let snapshot = crate::testing::cluster(&StatefulSetController, &yaml);
    let resource = Gvr::new("", "v1", "persistentvolumeclaims");
    let gone = snapshot.list(&resource, None).next().cloned();
    let change = Change { revision: snapshot.table(&resource).unwrap().revision(), before: gone, after: None };
    let keys = StatefulSetController.wakes(&snapshot, &resource, &change);
    assert_eq!(keys.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop/db"]);
}
