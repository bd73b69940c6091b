//! DaemonSets with nodes and pods as YAML, and the plans made of them.

use cache::{Change, Controller};
use expect_test::{Expect, expect};

use super::DaemonSetController;
use crate::testing::{cluster, plan};

const SET: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: log, namespace: sys, generation: 1}
spec:
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}
  revisionHistoryLimit: 10
  selector: {matchLabels: {app: log}}
  template:
    metadata: {labels: {app: log}}
    spec: {containers: [{name: c, image: i}]}
";
const OWNED: &str =
    "ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: log, uid: uid-log, controller: true}]";
const READY: &str =
    "{phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:59:55Z'}]}";

fn node(name: &str, more: &str) -> String {
    format!("\n---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{disk: ssd}}}}\nspec: {{{more}}}")
}

fn revision(hash: &str, number: u8, image: &str) -> String {
    format!(
        "\n---\napiVersion: apps/v1
kind: ControllerRevision
metadata: {{name: log-{hash}, namespace: sys, labels: {{app: log, controller-revision-hash: {hash}}}, {OWNED}}}
revision: {number}
data: {{spec: {{template: {{$patch: replace, metadata: {{labels: {{app: log}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}}}}}"
    )
}

fn pod(name: &str, node: &str, hash: &str, status: &str) -> String {
    format!(
        "\n---\napiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: sys
  creationTimestamp: '2026-01-01T11:00:00Z'
  labels: {{app: log, controller-revision-hash: {hash}}}
  {OWNED}
spec: {{nodeName: {node}}}
status: {status}"
    )
}

/// What is done to pods and revisions: the verb and the name, or the node that a pod is made for.
fn check(yaml: &str, expected: Expect) {
    let text = plan(&DaemonSetController, yaml, "sys/log");
    let mut shown = String::new();
    for line in text.lines() {
        if let Some((_, node)) = line.split_once(r#""operator":"In","values":[""#) {
            shown += &format!("create pod for {}\n", node.split('"').next().unwrap());
        } else if !line.starts_with(' ') || line.contains("daemon pod") {
            shown += &format!("{line}\n");
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn every_node_gets_a_pod_that_names_it_and_tolerates_its_troubles() {
    expect![[r#"
        update daemonsets.apps sys/log status
          status: null -> {"currentNumberScheduled":0,"desiredNumberScheduled":1,"numberMisscheduled":0,"numberReady":0,"numberUnavailable":1,"observedGeneration":1}
        create pods in "sys": {"metadata":{"generateName":"log-","labels":{"app":"log","controller-revision-hash":"now"},"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"log","uid":"uid-log"}]},"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}}},"containers":[{"image":"i","name":"c"}],"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/disk-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/memory-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/pid-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable","operator":"Exists"}]}}
          then SuccessfulCreate: Created pod: {name}
          else Warning FailedCreate: Error creating: {error}
    "#]].assert_eq(&plan(
        &DaemonSetController,
        &(SET.to_owned() + &revision("now", 1, "i") + &node("n1", "")),
        "sys/log",
    ));
}

#[test]
fn nodes_are_chosen_by_selector_affinity_name_and_taints() {
    let nodes = node("n1", "")
        + &node("n2", "taints: [{key: gpu, effect: NoSchedule}]")
        + &node("n3", "unschedulable: true")
        + &node("n4", "taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}]");
    let known = revision("now", 1, "i");
    check(
        &(SET.to_owned() + &known + &nodes),
        expect![[r#"
        update daemonsets.apps sys/log status
        create pod for n1
        create pod for n3
        create pod for n4
    "#]],
    );
    let chosen = |spec: &str| {
        let set = SET.replace("containers:", &format!("{spec}, containers:"));
        set + &known.replace("containers:", &format!("{spec}, containers:")) + &nodes
    };
    check(
        &chosen("nodeSelector: {disk: tape}"),
        expect![[r#"
        update daemonsets.apps sys/log status
    "#]],
    );
    check(
        &chosen("nodeName: n3"),
        expect![[r#"
        update daemonsets.apps sys/log status
        create pod for n3
    "#]],
    );
    check(
        &chosen("tolerations: [{key: gpu, operator: Exists}]"),
        expect![[r#"
        update daemonsets.apps sys/log status
        create pod for n1
        create pod for n2
        create pod for n3
        create pod for n4
    "#]],
    );
    check(
        &chosen(
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
             [{matchFields: [{key: metadata.name, operator: NotIn, values: [n1]}]}]}}}",
        ),
        expect![[r#"
            update daemonsets.apps sys/log status
            create pod for n3
            create pod for n4
        "#]],
    );
}

#[test]
fn a_pod_stays_under_a_new_noschedule_taint_and_goes_under_noexecute_or_from_a_node_that_no_longer_fits() {
    let base = SET.to_owned() + &revision("now", 1, "i") + &pod("a", "n1", "now", READY);
    check(
        &(base.clone() + &node("n1", "taints: [{key: gpu, effect: NoSchedule}]")),
        expect![[r#"
        update daemonsets.apps sys/log status
    "#]],
    );
    check(
        &(base.clone() + &node("n1", "taints: [{key: gpu, effect: NoExecute}]")),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
    "#]],
    );
    let choosy = |text: String| text.replace("containers:", "nodeSelector: {disk: ssd}, containers:");
    check(
        &(choosy(base) + &node("n1", "").replace("ssd", "tape")),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
    "#]],
    );
}

#[test]
fn of_two_pods_on_a_node_one_goes_and_pods_that_ended_are_replaced() {
    let base = SET.to_owned() + &revision("now", 1, "i") + &node("n1", "");
    check(
        &(base.clone() + &pod("a", "n1", "now", READY) + &pod("b", "n1", "now", READY)),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/b
    "#]],
    );
    check(
        &(base.clone() + &pod("a", "n1", "now", "{phase: Failed}")),
        expect![[r#"
        update daemonsets.apps sys/log status
        tell
          then Warning FailedDaemonPod: Found failed daemon pod sys/a on node n1, will try to kill it
        delete pods sys/a
    "#]],
    );
    check(
        &(base.clone() + &pod("a", "n1", "now", "{phase: Succeeded}")),
        expect![[r#"
        update daemonsets.apps sys/log status
        tell
          then SucceededDaemonPod: Found succeeded daemon pod sys/a on node n1, will try to delete it
        delete pods sys/a
    "#]],
    );
    let young = pod("a", "n1", "now", "{phase: Failed}").replace("11:00:00", "11:59:57");
    check(
        &(base + &young),
        expect![[r#"
        update daemonsets.apps sys/log status
        wake at 2026-01-01T12:00:07Z
    "#]],
    );
}

#[test]
fn a_rolling_update_deletes_old_pods_as_far_as_max_unavailable_allows() {
    let nodes = node("n1", "") + &node("n2", "") + &node("n3", "");
    let base = SET.replace("image: i", "image: j") + &revision("old", 1, "i") + &revision("new", 2, "j") + &nodes;
    let pods = |second: &str| pod("a", "n1", "old", READY) + second + &pod("c", "n3", "old", READY);
    check(
        &(base.clone() + &pods(&pod("b", "n2", "old", READY))),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
    "#]],
    );
    check(
        &(base.clone() + &pods(&pod("b", "n2", "new", "{phase: Running}"))),
        expect![[r#"
        update daemonsets.apps sys/log status
    "#]],
    );
    check(
        &(base.clone() + &pods(&pod("b", "n2", "new", READY))),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
    "#]],
    );
    check(
        &(base.clone() + &pods(&pod("b", "n2", "old", "{phase: Running}"))),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/b
    "#]],
    );
    let two = base.replace("maxUnavailable: 1", "maxUnavailable: 50%");
    check(
        &(two + &pods(&pod("b", "n2", "old", READY))),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
        delete pods sys/b
    "#]],
    );
    let on_delete = base.replace("type: RollingUpdate", "type: OnDelete");
    check(
        &(on_delete + &pods(&pod("b", "n2", "old", READY))),
        expect![[r#"
        update daemonsets.apps sys/log status
    "#]],
    );
}

#[test]
fn a_surging_update_makes_the_new_pod_before_the_old_one_goes() {
    let nodes = node("n1", "") + &node("n2", "");
    let base =
        SET.replace("image: i", "image: j").replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1")
            + &revision("old", 1, "i")
            + &revision("new", 2, "j")
            + &nodes;
    let old = pod("a", "n1", "old", READY) + &pod("b", "n2", "old", READY);
    check(
        &(base.clone() + &old),
        expect![[r#"
        update daemonsets.apps sys/log status
        create pod for n1
    "#]],
    );
    check(
        &(base.clone() + &old + &pod("x", "n1", "new", "{phase: Running}")),
        expect![[r#"
        update daemonsets.apps sys/log status
    "#]],
    );
    check(
        &(base.clone() + &old + &pod("x", "n1", "new", READY)),
        expect![[r#"
        update daemonsets.apps sys/log status
        delete pods sys/a
        create pod for n2
    "#]],
    );
    check(
        &(base + &pod("a", "n1", "old", "{phase: Running}") + &pod("b", "n2", "old", READY)),
        expect![[r#"
        update daemonsets.apps sys/log status
        create pod for n1
        create pod for n2
    "#]],
    );
}

#[test]
fn the_status_counts_nodes() {
    let nodes = node("n1", "") + &node("n2", "") + &node("n3", "taints: [{key: gpu, effect: NoSchedule}]");
    let pods = pod("a", "n1", "now", READY) + &pod("b", "n3", "now", READY);
    expect![[r#"
        update daemonsets.apps sys/log status
          status: null -> {"currentNumberScheduled":1,"desiredNumberScheduled":2,"numberAvailable":1,"numberMisscheduled":1,"numberReady":1,"numberUnavailable":1,"observedGeneration":1,"updatedNumberScheduled":1}
    "#]].assert_eq(
        plan(&DaemonSetController, &(SET.to_owned() + &revision("now", 1, "i") + &nodes + &pods), "sys/log")
            .split("create").next().unwrap(),
    );
}

#[test]
fn heartbeats_of_a_node_wake_no_set_and_its_labels_do() {
    let yaml = SET.to_owned() + &node("n1", "");
    let snapshot = cluster(&DaemonSetController, &yaml);
    let wakes = |after: &str| {
        let node = |yaml: &str| cluster(&DaemonSetController, yaml).list(&super::NODES, None).next().cloned();
        let after = node(after);
        let change = Change { revision: after.as_ref().unwrap().revision(), before: node(&yaml), after };
        DaemonSetController.wakes(&snapshot, &super::NODES, &change).len()
    };
    assert_eq!(wakes(&(yaml.clone() + "\nstatus: {phase: Running}")), 0);
    assert_eq!(wakes(&yaml.replace("ssd", "tape")), 1);
    assert_eq!(wakes(&(SET.to_owned() + &node("n1", "unschedulable: true"))), 1);
}
