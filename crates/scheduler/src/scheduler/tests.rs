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

    /// A pod with labels; `node` is where it is, if it is anywhere.
    fn labeled(&mut self, secs: i64, name: &str, app: &str, node: &str, mut spec: Value) {
        spec["containers"] = json!([{"name": "c"}]);
        spec["nodeName"] = if node.is_empty() { Value::Null } else { json!(node) };
        let metadata = json!({"namespace": "n", "name": name, "uid": name, "labels": {"app": app}});
        self.scheduler.on_pod(&change(&json!({"metadata": metadata, "spec": spec})), at(secs)).unwrap();
    }

    fn zoned(&mut self, name: &str, zone: &str) {
        let labels = json!({"kubernetes.io/hostname": name, "zone": zone});
        let node = json!({"metadata": {"name": name, "uid": name, "labels": labels},
            "status": {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20"}}});
        self.scheduler.on_node(&change(&node), at(0)).unwrap();
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
                Decision::Unschedulable { pod, message, preemption } => {
                    let leave = |one: Preemption| {
                        let names: Vec<_> = one.victims.iter().map(Object::name).collect();
                        format!(" [{} for it: {}]", one.node, names.join(", "))
                    };
                    format!("{secs}s {}: {message}{}\n", pod.name(), preemption.map(leave).unwrap_or_default())
                }
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
        0s p: 0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.
        0s q: 0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.
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
        0s p: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
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
        0s low: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
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
        0s p2: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
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

/// A term about pods of an app.
fn term(app: &str, key: &str) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
}

fn required(side: &str, terms: Value) -> Value {
    json!({"affinity": {side: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

#[test]
fn pods_keep_apart_and_a_pod_that_is_there_keeps_others_away() {
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.zoned("b", "1");
    let apart = || required("podAntiAffinity", json!([term("db", "kubernetes.io/hostname")]));
    for name in ["db-0", "db-1", "db-2"] {
        f.labeled(0, name, "db", "", apart());
    }
    // It says nothing itself, but the others do not want it.
    f.labeled(0, "plain", "db", "", json!({}));
    f.decide(0);
    f.pod_deleted(5, "db-0");
    f.decide(5);
    f.check(&expect![[r#"
        0s db-0 -> b
        0s db-1 -> a
        0s db-2: 0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
        0s plain: 0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
        5s db-2 -> b
        5s plain: 0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
    "#]]);
}

#[test]
fn pods_go_where_others_are_and_the_first_of_a_kind_goes_anywhere() {
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.zoned("b", "2");
    f.zoned("c", "2");
    f.labeled(0, "lonely", "web", "", required("podAffinity", json!([term("cache", "zone")])));
    f.labeled(0, "first", "kin", "", required("podAffinity", json!([term("kin", "zone")])));
    f.decide(0);
    f.labeled(1, "cache", "cache", "a", json!({}));
    f.decide(2);
    f.labeled(3, "far", "x", "", required("podAntiAffinity", json!([term("cache", "zone")])));
    f.decide(3);
    f.check(&expect![[r#"
        0s lonely: 0/3 nodes are available: 3 node(s) didn't match pod affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.
        0s first -> c
        2s lonely -> a
        3s far -> b
    "#]]);
}

#[test]
fn terms_mean_pods_of_their_namespaces() {
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.labeled(0, "cache", "cache", "a", json!({}));
    let mut elsewhere = term("cache", "zone");
    elsewhere["namespaces"] = json!(["other"]);
    f.labeled(0, "named", "x", "", required("podAffinity", json!([elsewhere])));
    let mut selected = term("cache", "zone");
    selected["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
    f.labeled(0, "selected", "x", "", required("podAffinity", json!([selected])));
    f.decide(0);
    let namespace = json!({"metadata": {"name": "n", "labels": {"team": "a"}}});
    f.scheduler.on_namespace(&change(&namespace));
    f.zoned("b", "1");
    f.decide(2);
    f.check(&expect![[r#"
        0s named: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
        0s selected: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
        2s named: 0/2 nodes are available: 2 node(s) didn't match pod affinity rules. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
        2s selected -> b
    "#]]);
}

#[test]
fn preferred_places_are_taken_while_they_fit() {
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.zoned("b", "2");
    f.labeled(0, "cache", "cache", "b", json!({}));
    let prefer = |side: &str| {
        json!({"affinity": {side: {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 10, "podAffinityTerm": term("cache", "zone")}]}}})
    };
    f.labeled(0, "near", "x", "", prefer("podAffinity"));
    f.labeled(0, "far", "x", "", prefer("podAntiAffinity"));
    f.decide(0);
    f.check(&expect![[r#"
        0s near -> b
        0s far -> a
    "#]]);
}

#[test]
fn pods_spread_over_domains_as_far_as_the_skew_says() {
    let spread = |when: &str, more: Value| {
        let mut one = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        one.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({"topologySpreadConstraints": [one]})
    };
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.zoned("b", "2");
    f.labeled(0, "w1", "web", "a", json!({}));
    for name in ["w2", "w3", "w4"] {
        f.labeled(0, name, "web", "", spread("DoNotSchedule", json!({})));
    }
    f.decide(0);
    // Zone 2 has no room by name: the skew keeps the next out of zone 1, and a mere wish does not.
    let mut pinned = spread("DoNotSchedule", json!({}));
    pinned["nodeSelector"] = json!({"kubernetes.io/hostname": "a"});
    f.labeled(1, "alone", "web", "", pinned);
    f.labeled(1, "w5", "web", "a", json!({}));
    f.labeled(1, "w6", "web", "a", json!({}));
    f.labeled(1, "wish", "web", "", spread("ScheduleAnyway", json!({})));
    f.labeled(1, "three", "web", "", spread("DoNotSchedule", json!({"minDomains": 3})));
    f.decide(1);
    f.check(&expect![[r#"
        0s w2 -> b
        0s w3 -> b
        0s w4 -> a
        1s alone -> a
        1s wish -> b
        1s three: 0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
    "#]]);
}

#[test]
fn a_pod_of_higher_priority_makes_the_least_important_pods_leave() {
    let mut f = Fixture::new();
    f.node(0, "a", "4", json!({}));
    f.node(0, "b", "4", json!({}));
    f.pod(0, "a1", "2", json!({"nodeName": "a", "priority": 5}));
    f.pod(0, "a2", "2", json!({"nodeName": "a", "priority": 1}));
    f.pod(0, "b1", "4", json!({"nodeName": "b", "priority": 3}));
    f.pod(0, "high", "2", json!({"priority": 10}));
    f.pod(0, "same", "2", json!({"priority": 1}));
    f.pod(0, "meek", "2", json!({"priority": 10, "preemptionPolicy": "Never"}));
    f.decide(0);
    // The room that is made is kept for who made it.
    f.pod_deleted(5, "a2");
    f.pod(5, "thief", "1", json!({"priority": 2}));
    f.decide(5);
    f.check(&expect![[r#"
        0s high: 0/2 nodes are available: 2 Insufficient cpu. [a for it: a2]
        0s meek: 0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.
        0s same: 0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
        5s high -> a
        5s meek: 0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.
        5s thief: 0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
        5s same: 0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
    "#]]);
}

#[test]
fn preemption_spares_what_a_budget_protects_where_it_can() {
    let mut f = Fixture::new();
    f.zoned("a", "1");
    f.zoned("b", "1");
    let budget = json!({"metadata": {"namespace": "n", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}}, "status": {"disruptionsAllowed": 0}});
    f.scheduler.on_budget(&change(&budget));
    let apart = || {
        required(
            "podAntiAffinity",
            json!([term("web", "kubernetes.io/hostname"), term("api", "kubernetes.io/hostname")]),
        )
    };
    f.labeled(0, "web", "web", "a", json!({}));
    f.labeled(0, "api", "api", "b", json!({"priority": 3}));
    let mut high = apart();
    high["priority"] = json!(10);
    f.labeled(0, "high", "x", "", high);
    f.decide(0);
    f.check(&expect![[r#"
        0s high: 0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. [b for it: api]
    "#]]);
}
