//! Several nodes: pods on all of them reach each other, and move when one dies.

use crate::cluster::Cluster;

const WAIT: &str = "--timeout=90s";

#[test]
fn pods_spread_over_nodes_and_reach_each_other() {
    let Some(cluster) = Cluster::start("nodes", &["--nodes", "3"]) else { return };
    cluster.load_images();
    let nodes = cluster.kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    cluster.kubectl(&["create", "deployment", "web", "--image=nginx:alpine", "--replicas=6"]);
    cluster.kubectl(&["expose", "deployment", "web", "--port=80"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    let names = "jsonpath={range .items[*]}{.spec.nodeName}{\"\\n\"}{end}";
    let mut on: Vec<String> = cluster.kubectl(&["get", "pods", "-o", names]).lines().map(str::to_owned).collect();
    on.sort();
    on.dedup();
    assert_eq!(on.len(), 3, "pods are only on {on:?}");
    let pods = cluster.kubectl(&[
        "get",
        "pods",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}",
    ]);
    let pods: Vec<(&str, &str)> = pods.lines().filter_map(|line| line.split_once(' ')).collect();
    for (_, ip) in &pods {
        let page = cluster.kubectl(&["exec", pods[0].0, "--", "wget", "-qO-", &format!("http://{ip}/")]);
        assert!(page.contains("Welcome"), "{ip}: {page}");
    }
    for (name, _) in &pods {
        let page = cluster.kubectl(&["exec", name, "--", "wget", "-qO-", "http://web/"]);
        assert!(page.contains("Welcome"), "{name}: {page}");
    }
}

#[test]
fn a_node_can_be_cordoned_and_drained() {
    let Some(cluster) = Cluster::start("drain", &["--nodes", "2"]) else { return };
    cluster.load_images();
    let other = format!("{}-m02", cluster.name);
    cluster.kubectl(&["create", "deployment", "web", "--image=nginx:alpine", "--replicas=4"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    cluster.kubectl(&["drain", &other, "--ignore-daemonsets", WAIT]);
    assert!(cluster.kubectl(&["get", "node", &other]).contains("SchedulingDisabled"));
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    let left = cluster.kubectl(&["get", "pods", "--field-selector", &format!("spec.nodeName={other}"), "-o", "name"]);
    assert_eq!(left, "");
    cluster.kubectl(&["uncordon", &other]);
}

#[test]
fn a_node_that_stops_becomes_not_ready() {
    let Some(cluster) = Cluster::start("dead", &["--nodes", "2"]) else { return };
    let other = format!("{}-m02", cluster.name);
    cluster.ironclad(&["node", "stop", &other]);
    cluster.kubectl(&["wait", "--for=condition=Ready=Unknown", &format!("node/{other}"), WAIT]);
    cluster.ironclad(&["node", "start", &other]);
    cluster.kubectl(&["wait", "--for=condition=Ready", &format!("node/{other}"), WAIT]);
}
