//! Measures the forms of an object (docs/adr/0001): a 5 KB pod as bytes with an index, as a tree and as a typed struct, and
//! what the schema tables cost. Run it with optimization: `cargo run --release -p api --example forms`.

use std::hint::black_box;

use api::schema::{self, Validation};
use api::typed::{Pod, Typed};
use api::{Object, apply};
use serde_json::{Value, json};

const ROUNDS: u32 = 2000;

#[allow(clippy::disallowed_methods)] // A benchmark is about the wall clock.
fn time<T>(what: &str, rounds: u32, mut work: impl FnMut() -> T) {
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        black_box(work());
    }
    println!("{what:<34} {:>9.1} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
}

fn main() {
    time("schema table: first use", 1, || schema::builtin().types.len());
    let kind = schema::builtin().lookup("io.k8s.api.core.v1.Pod").expect("invariant: a Pod is built in");
    let json = pod(kind);
    println!("pod: {} bytes", json.len());
    let bytes = bytes::Bytes::from(json.clone());
    let tree: Value = serde_json::from_slice(&json).expect("invariant: just encoded");
    time("bytes: Object::decode, 2 fields", ROUNDS, || {
        Object::decode(bytes.clone(), &["spec.nodeName", "status.phase"]).expect("invariant: just encoded")
    });
    time("tree: serde_json", ROUNDS, || serde_json::from_slice::<Value>(&json).expect("invariant: just encoded"));
    time("tree: schema::decode (checked)", ROUNDS, || schema::decode(&json, kind, Validation::Strict));
    time("typed: Pod::decode", ROUNDS, || Pod::decode(&json).expect("invariant: just encoded"));
    time("tree: clone", ROUNDS, || tree.clone());
    time("tree: print", ROUNDS, || serde_json::to_vec(&tree));
    time("defaults and normal form", ROUNDS, || {
        let mut tree = tree.clone();
        schema::apply_defaults(&mut tree, kind);
        schema::normalize(&mut tree, kind);
        tree
    });
    time("track an update", ROUNDS, || {
        let mut new = tree.clone();
        new["spec"]["nodeName"] = json!("other");
        apply::track_update(Some(&tree), &mut new, kind, writer());
        new
    });
}

fn writer() -> apply::Writer<'static> {
    apply::Writer {
        manager: "m",
        api_version: "v1",
        subresource: "",
        now: jiff::Timestamp::UNIX_EPOCH,
        reset: &[],
        also: &[],
    }
}

/// A pod of about 5 KB, as one is after it has been scheduled and started.
fn pod(kind: schema::Schema<'_>) -> Vec<u8> {
    let container = |name: &str| {
        json!({"name": name, "image": format!("registry.example.com/team/{name}:v1.2.3"), "ports": [{"containerPort": 8080}],
            "env": (0..8).map(|n| json!({"name": format!("VAR_{n}"), "value": "some value of some length"})).collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "data", "mountPath": "/data"}]})
    };
    let conditions = ["Ready", "Initialized", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}));
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-5d4f8c7b9-x2x7k", "namespace": "default", "uid": "0b9c2a52-5d0f-4b5e-9c53-0a4f1d2e3c4b",
            "resourceVersion": "12345", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"}},
        "spec": {"nodeName": "node-1", "containers": [container("web"), container("sidecar")],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}, {"name": "data", "emptyDir": {}}]},
        "status": {"phase": "Running", "podIP": "10.244.1.7", "conditions": conditions}});
    schema::normalize(&mut pod, kind);
    schema::apply_defaults(&mut pod, kind);
    schema::normalize(&mut pod, kind);
    apply::track_update(None, &mut pod, kind, writer());
    serde_json::to_vec(&pod).expect("invariant: a tree encodes")
}
