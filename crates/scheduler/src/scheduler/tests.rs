//! What the scheduler decides, as tables: nodes and pods in, decisions out.

use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + secs).unwrap()
}

struct Fixture {
    scheduler: Scheduler,
    trace: String,
}

impl Fixture {
    fn new() -> Self {
        Self { scheduler: Scheduler::new(crate::DEFAULT_SCHEDULER, Rng::seeded(1)), trace: String::new() }
    }

    fn node(&mut self, secs: i64, name: &str, cpu: &str, spec: Value) {
        let node = json!({"metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}}, "spec": spec,
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "3"}}});
        self.scheduler.on_node(&change(&node), at(secs)).unwrap();
    }

    fn pod(&mut self, secs: i64, name: &str, cpu: &str, mut spec: Value) {
        spec["containers"] = json!([{"name": "c", "resources": {"requests": {"cpu": cpu}},
            "ports": spec.get("ports").cloned().unwrap_or(json!([]))}]);
        let pod = json!({"metadata": {"namespace": "n", "name": name, "uid": name}, "spec": spec});
        self.scheduler.on_pod(&change(&pod), at(secs)).unwrap();
    }

    fn pod_deleted(&mut self, secs: i64, name: &str) {
        let pod = json!({"metadata": {"namespace": "n", "name": name, "uid": name}});
        let change = Change { before: change(&pod).after, after: None, ..change(&pod) };
        self.scheduler.on_pod(&change, at(secs)).unwrap();
    }

    fn decide(&mut self, secs: i64) {
        while let Some(decision) = self.scheduler.decide(at(secs)) {
            self.trace += &match decision {
                Decision::Bind { pod, node } => format!("{secs}s {} -> {node}\n", pod.name()),
                Decision::Unschedulable { pod, message } => format!("{secs}s {}: {message}\n", pod.name()),
            };
        }
    }

    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.trace);
    }
}

fn change(tree: &Value) -> Change {
    let object = Object::decode(Bytes::from(tree.to_string()), &[]).unwrap();
    Change { revision: object.revision(), before: None, after: Some(object) }
}

#[test]
fn pods_spread_to_the_emptier_node() {
    let mut f = Fixture::new();
    f.node(0, "a", "4", json!({}));
    f.node(0, "b", "4", json!({}));
    f.pod(0, "p1", "2", json!({"nodeName": "a"}));
    f.pod(0, "p2", "1", json!({}));
    f.pod(0, "p3", "1", json!({}));
    f.decide(0);
    f.check(&expect![[r#"
        0s p2 -> b
        0s p3 -> b
    "#]]);
}

#[test]
fn each_filter_says_why_in_upstreams_words() {
    let mut f = Fixture::new();
    f.node(0, "full", "1", json!({}));
    f.node(0, "cordoned", "4", json!({"unschedulable": true}));
    f.node(0, "tainted", "4", json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}));
    f.pod(0, "p", "2", json!({}));
    f.pod(0, "q", "1", json!({"nodeSelector": {"disk": "ssd"}}));
    f.decide(0);
    f.check(&expect![[r#"
        0s p: 0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.
        0s q: 0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.
    "#]]);
}

#[test]
fn without_nodes_a_pod_waits_for_the_first_one() {
    let mut f = Fixture::new();
    f.pod(0, "p", "1", json!({}));
    f.decide(0);
    f.node(1, "a", "4", json!({}));
    f.decide(1);
    f.check(&expect![[r#"
        0s p: no nodes available to schedule pods
        1s p -> a
    "#]]);
}

#[test]
fn only_an_event_that_helps_wakes_a_pod_and_its_backoff_is_kept() {
    let mut f = Fixture::new();
    f.node(0, "a", "2", json!({}));
    f.pod(0, "big", "2", json!({"nodeName": "a"}));
    f.pod(0, "p", "1", json!({}));
    f.decide(0);
    f.node(0, "a", "2", json!({"taints": []}));
    f.decide(5);
    f.pod_deleted(5, "big");
    f.decide(5);
    f.check(&expect![[r#"
        0s p: 0/1 nodes are available: 1 Insufficient cpu.
        5s p -> a
    "#]]);
    assert_eq!(f.scheduler.next_alarm(), None);
}

#[test]
fn a_refused_binding_is_tried_again_after_a_backoff() {
    let mut f = Fixture::new();
    f.node(0, "a", "2", json!({}));
    f.pod(0, "p", "2", json!({}));
    f.decide(0);
    f.scheduler.binding_failed("p", at(0));
    f.decide(0);
    assert_eq!(f.scheduler.next_alarm(), Some(at(1)));
    f.decide(1);
    f.check(&expect![[r#"
        0s p -> a
        1s p -> a
    "#]]);
}

#[test]
fn priority_comes_first_and_gated_pods_do_not_come_at_all() {
    let mut f = Fixture::new();
    f.node(0, "a", "1", json!({}));
    f.pod(0, "low", "1", json!({}));
    f.pod(0, "high", "1", json!({"priority": 10}));
    f.pod(0, "gated", "0", json!({"schedulingGates": [{"name": "g"}]}));
    f.pod(0, "foreign", "0", json!({"schedulerName": "other"}));
    f.decide(0);
    f.check(&expect![[r#"
        0s high -> a
        0s low: 0/1 nodes are available: 1 Insufficient cpu.
    "#]]);
}

#[test]
fn a_host_port_is_given_once_a_node() {
    let mut f = Fixture::new();
    f.node(0, "a", "4", json!({}));
    f.pod(0, "p1", "0", json!({"ports": [{"hostPort": 80, "containerPort": 80}]}));
    f.pod(0, "p2", "0", json!({"ports": [{"hostPort": 80, "containerPort": 80}]}));
    f.decide(0);
    f.check(&expect![[r#"
        0s p1 -> a
        0s p2: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.
    "#]]);
}

#[test]
fn affinity_requires_and_prefers() {
    let mut f = Fixture::new();
    for name in ["a", "b", "c"] {
        f.node(0, name, "4", json!({}));
    }
    let hostname = |op: &str, names: Value| json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": op, "values": names}]});
    f.pod(0, "p", "1", json!({"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [hostname("NotIn", json!(["a"]))]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": hostname("In", json!(["c"]))}]}}}));
    f.pod(
        0,
        "tolerant",
        "1",
        json!({"tolerations": [{"operator": "Exists"}], "nodeSelector": {"kubernetes.io/hostname": "b"}}),
    );
    f.decide(0);
    f.check(&expect![[r#"
        0s p -> c
        0s tolerant -> b
    "#]]);
}
