//! A node's silence and its conditions in, conditions, taints and unready pods out.

use super::*;
use crate::testing::{now, plan};
use expect_test::{Expect, expect};

const SILENT: &str = "2026-01-01T11:59:00Z";
const HEARD: &str = "2026-01-01T11:59:50Z";

fn check(renewed: &str, ready: &str, spec: &str, expected: &Expect) {
    let yaml = format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: n1}}
spec: {spec}
status:
  conditions:
  - {{type: Ready, status: '{ready}', lastHeartbeatTime: '{renewed}'}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{namespace: kube-node-lease, name: n1}}
spec: {{renewTime: '{renewed}'}}
---
apiVersion: v1
kind: Pod
metadata: {{namespace: d, name: p}}
spec: {{nodeName: n1}}
status: {{conditions: [{{type: Ready, status: 'True'}}]}}
"
    );
    let long_ago = now() - SignedDuration::from_hours(1);
    expected.assert_eq(&plan(&NodeLifecycle::new(NodeLifecycle::GRACE, long_ago), &yaml, "n1"));
}

#[test]
fn a_node_that_renews_is_looked_at_again_when_it_might_not() {
    check(
        HEARD,
        "True",
        "{}",
        &expect![[r#"
        wake at 2026-01-01T12:00:40Z
    "#]],
    );
}

#[test]
fn a_silent_node_becomes_unknown_then_tainted_and_its_pods_unready() {
    check(
        SILENT,
        "True",
        "{}",
        &expect![[r#"
        patch nodes n1 status{"status":{"conditions":[{"lastHeartbeatTime":"2026-01-01T11:59:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"Ready"},{"lastHeartbeatTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"MemoryPressure"},{"lastHeartbeatTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"DiskPressure"},{"lastHeartbeatTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"PIDPressure"}]}}
          then NodeNotReady: Node n1 status is now: NodeNotReady
    "#]],
    );
    check(
        SILENT,
        "Unknown",
        "{}",
        &expect![[r#"
        patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T12:00:00Z"}]}}
        patch pods d/p status{"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","status":"False","type":"Ready"}]}}
          then Warning NodeNotReady: Node is not ready
    "#]],
    );
}

#[test]
fn a_node_that_comes_back_loses_our_taints_and_keeps_others() {
    let tainted =
        "{taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}, {key: mine, effect: NoSchedule}]}";
    check(
        HEARD,
        "True",
        tainted,
        &expect![[r#"
        patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"mine"}]}}
        wake at 2026-01-01T12:00:40Z
    "#]],
    );
}

#[test]
fn a_cordoned_or_unready_node_is_tainted() {
    check(
        HEARD,
        "True",
        "{unschedulable: true}",
        &expect![[r#"
        patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable"}]}}
        wake at 2026-01-01T12:00:40Z
    "#]],
    );
    check(
        HEARD,
        "False",
        "{}",
        &expect![[r#"
        patch nodes n1 {"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"},{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","timeAdded":"2026-01-01T12:00:00Z"}]}}
        wake at 2026-01-01T12:00:40Z
    "#]],
    );
}

#[test]
fn nobody_is_judged_before_this_process_has_listened_for_the_whole_grace_period() {
    let yaml = "
apiVersion: v1
kind: Node
metadata: {name: n1, creationTimestamp: '2025-01-01T00:00:00Z'}
";
    let just_started = NodeLifecycle::new(NodeLifecycle::GRACE, now());
    expect![[r#"
        wake at 2026-01-01T12:00:50Z
    "#]]
    .assert_eq(&plan(&just_started, yaml, "n1"));
}
