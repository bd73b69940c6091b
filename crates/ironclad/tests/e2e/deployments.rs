//! A deployment's life: create, expose, scale, update, undo.

use crate::cluster::{Cluster, image};

const WAIT: &str = "--timeout=90s";

#[test]
fn a_deployment_is_exposed_scaled_updated_and_undone() {
    let Some(cluster) = Cluster::start("deploy", &[]) else { return };
    cluster.load_images();
    cluster.kubectl(&["create", "deployment", "hello", "--image=nginx:alpine", "--replicas=3"]);
    cluster.kubectl(&["rollout", "status", "deployment/hello", WAIT]);
    cluster.kubectl(&["expose", "deployment", "hello", "--type=NodePort", "--port=8080", "--target-port=80"]);
    let port = cluster.kubectl(&["get", "service", "hello", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    let ip = cluster.kubectl(&["get", "node", &cluster.name, "-o", "jsonpath={.status.addresses[0].address}"]);
    let page = cluster.kubectl(&["exec", "deploy/hello", "--", "wget", "-qO-", &format!("http://{ip}:{port}/")]);
    assert!(page.contains("Welcome to nginx!"), "{page}");
    let page = cluster.kubectl(&[
        "exec",
        "deploy/hello",
        "--",
        "wget",
        "-qO-",
        "http://hello.default.svc.cluster.local:8080/",
    ]);
    assert!(page.contains("Welcome to nginx!"), "{page}");
    cluster.kubectl(&["scale", "deployment", "hello", "--replicas=5"]);
    cluster.kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/hello", WAIT]);
    let next = image("nginx", "nginx:next");
    cluster.ironclad(&["image", "load", next.to_str().expect("plain")]);
    cluster.kubectl(&["set", "image", "deployment/hello", "nginx=nginx:next"]);
    cluster.kubectl(&["rollout", "status", "deployment/hello", WAIT]);
    let history = cluster.kubectl(&["rollout", "history", "deployment/hello"]);
    assert!(history.contains("\n2 "), "{history}");
    cluster.kubectl(&["rollout", "undo", "deployment/hello"]);
    cluster.kubectl(&["rollout", "status", "deployment/hello", WAIT]);
    let image = ["get", "deployment", "hello", "-o", "jsonpath={.spec.template.spec.containers[0].image}"];
    assert_eq!(cluster.kubectl(&image), "nginx:alpine");
    cluster.kubectl(&["delete", "deployment,service", "hello", WAIT]);
    cluster.kubectl(&["wait", "--for=delete", "pod", "-l", "app=hello", WAIT]);
}
