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
        // It was there before the agents were.
        let found = cluster.kubectl(&["exec", name, "--", "nslookup", "kubernetes.default.svc.cluster.local"]);
        assert!(found.contains("10.96.0.1"), "{name}: {found}");
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
    run_a_static_pod(&cluster, &other);
}

fn run_a_static_pod(cluster: &Cluster, node: &str) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec:\n  containers:\n  - {name: c, image: nginx:alpine, \
               imagePullPolicy: IfNotPresent}\n";
    let file = "/var/lib/ironclad/manifests/own.yaml";
    cluster.ironclad(&["ssh", node, "--", "sh", "-c", &format!("printf %s '{pod}' > {file}")]);
    let mirror = format!("pod/own-{node}");
    cluster.kubectl(&["wait", "--for=create", &mirror, WAIT]);
    cluster.kubectl(&["wait", "--for=condition=Ready", &mirror, WAIT]);
    cluster.ironclad(&["ssh", node, "--", "rm", file]);
    cluster.kubectl(&["wait", "--for=delete", &mirror, WAIT]);
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
