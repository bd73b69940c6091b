//! One pod and everything that kubectl does with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::cluster::Cluster;

const WAIT: &str = "--timeout=60s";

#[test]
fn a_pod_can_be_run_looked_at_entered_and_deleted() {
    let Some(cluster) = Cluster::start("pod", &[]) else { return };
    cluster.load_images();
    cluster.kubectl(&["run", "ngx", "--image=nginx:alpine"]);
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/ngx", WAIT]);
    let wide = cluster.kubectl(&["get", "pods", "-o", "wide"]);
    assert!(wide.contains("Running") && wide.contains("10.244."), "{wide}");
    let described = cluster.kubectl(&["describe", "pod", "ngx"]);
    for part in ["Image:          nginx:alpine", "Scheduled", "Pulled", "Created", "Started", "Successfully assigned"] {
        assert!(described.contains(part), "no {part:?} in {described}");
    }
    exec_and_cp(&cluster);
    port_forward_and_logs(&cluster);
    proxy(&cluster);
    debug(&cluster);
    cluster.kubectl(&["delete", "pod", "ngx", WAIT]);
    assert!(cluster.kubectl_fails(&["get", "pod", "ngx"]).contains("NotFound"));
}

fn exec_and_cp(cluster: &Cluster) {
    assert_eq!(cluster.kubectl(&["exec", "ngx", "--", "sh", "-c", "echo $((6*7))"]), "42\n");
    assert!(cluster.kubectl_fails(&["exec", "ngx", "--", "sh", "-c", "exit 7"]).contains("exit code 7"));
    assert_eq!(cluster.kubectl_with(&["exec", "-i", "ngx", "--", "cat"], "through and back"), "through and back");
    let from = cluster.home.join("page");
    std::fs::write(&from, "copied\n").expect("writes");
    cluster.kubectl(&["cp", from.to_str().expect("plain"), "ngx:/usr/share/nginx/html/page"]);
    let back = cluster.home.join("back");
    cluster.kubectl(&["cp", "ngx:/usr/share/nginx/html/page", back.to_str().expect("plain")]);
    assert_eq!(std::fs::read_to_string(back).expect("reads"), "copied\n");
}

fn port_forward_and_logs(cluster: &Cluster) {
    let mut command = cluster.kubectl_command(&["port-forward", "pod/ngx", ":80"]);
    let mut forward = command.stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let mut line = String::new();
    // Kept until the end: kubectl says something for each connection, and dies when nobody listens.
    let mut said = BufReader::new(forward.stdout.take().expect("piped"));
    said.read_line(&mut line).expect("reads");
    let address = line.split(' ').nth(2).unwrap_or_else(|| panic!("no address in {line:?}"));
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    let _ = forward.kill();
    let _ = forward.wait();
    assert!(answer.ends_with("copied\n"), "{answer}");
    let logs = cluster.kubectl(&["logs", "ngx"]);
    assert!(logs.contains("GET /page"), "{logs}");
}

fn proxy(cluster: &Cluster) {
    cluster.kubectl(&["expose", "pod", "ngx", "--port=8080", "--target-port=80"]);
    cluster.kubectl(&["wait", "--for=jsonpath={.subsets[0].addresses[0].ip}", "endpoints/ngx", WAIT]);
    for to in ["pods/ngx", "pods/http:ngx:80", "services/ngx", "services/ngx:8080"] {
        let path = format!("/api/v1/namespaces/default/{to}/proxy/page");
        assert_eq!(cluster.kubectl(&["get", "--raw", &path]), "copied\n", "{to}");
    }
    let refused = cluster.kubectl_fails(&["get", "--raw", "/api/v1/namespaces/default/pods/ngx:81/proxy/"]);
    assert!(refused.contains("error trying to reach service: dial tcp 10.244."), "{refused}");
    let node = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    assert_eq!(cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/healthz")]), "ok");
}

/// An ephemeral container sees the processes of the container that it targets.
fn debug(cluster: &Cluster) {
    let image = ["--image=busybox", "--image-pull-policy=IfNotPresent"];
    let mut args = vec!["debug", "ngx", "--container=dbg", "--target=ngx"];
    args.extend(image);
    args.extend(["--", "sleep", "100"]);
    cluster.kubectl(&args);
    cluster.kubectl(&["wait", "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.running}", "pod/ngx", WAIT]);
    let seen = cluster.kubectl(&["exec", "ngx", "-c", "dbg", "--", "ps"]);
    assert!(seen.contains("nginx: master") && seen.contains("sleep 100"), "{seen}");
    let mut args = vec!["run", "piped", "-i", "--rm", "--restart=Never"];
    args.extend(image);
    args.extend(["--", "sh"]);
    let said = cluster.kubectl_with(&args, "echo from $((6*7))");
    assert!(said.starts_with("from 42\n"), "{said}");
}

#[test]
fn an_image_that_does_not_exist_says_so() {
    let Some(cluster) = Cluster::start("noimage", &[]) else { return };
    cluster.kubectl(&["run", "lost", "--image=registry.invalid/no/such:thing"]);
    let reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    let first = [
        "wait",
        "--for",
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull",
        "pod/lost",
        WAIT,
    ];
    let second = [
        "wait",
        "--for",
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
        "pod/lost",
        WAIT,
    ];
    // The first may have passed already.
    let _ = cluster.kubectl_command(&first).output();
    cluster.kubectl(&second);
    assert_eq!(cluster.kubectl(&["get", "pod", "lost", "-o", reason]), "ImagePullBackOff");
    let events = cluster.kubectl(&["get", "events"]);
    assert!(events.contains("registry.invalid/no/such:thing"), "{events}");
    assert!(events.contains("ErrImagePull"), "{events}");
}
