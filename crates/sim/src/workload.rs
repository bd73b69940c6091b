//! Things that users do: Deployments made, resized, changed and deleted, nodes that die and return, at random.

use api::typed::{Deployment, Typed};
use api::{Key, Object};
use client::{DeleteOptions, Patch};
use serde_json::{Value, json};

use crate::cluster::Cluster;

const NAMES: [&str; 4] = ["web", "api", "db", "cron"];
const REPLICAS_MAX: u64 = 8;

/// A Deployment of the default namespace.
pub fn deployment(name: &str, replicas: u64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    })
}

/// A workload of another kind, whose pods run `image`. `spec` is what its spec has beside selector and template.
pub fn workload(api_version: &str, kind: &str, name: &str, image: &str, mut spec: Value) -> Value {
    spec["selector"] = json!({"matchLabels": {"app": name}});
    spec["template"] = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    });
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// A Job's spec, for itself or for the template of a CronJob.
pub fn job_spec(image: &str, mut spec: Value) -> Value {
    spec["template"] = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}});
    spec
}

/// Does one random thing to the cluster, whose nodes are `nodes`.
pub async fn step(cluster: &mut Cluster, nodes: &[&str]) {
    let rng = cluster.env.rng.clone();
    let pick = |count: usize| usize::try_from(rng.below(count as u64)).unwrap_or(0);
    let name = NAMES[pick(NAMES.len())];
    let key = Key::new("default", name);
    let admin = cluster.admin();
    let exists = cluster.truth.snapshot().get(&Deployment::GVR, &key).is_some_and(|found| !Object::is_deleting(found));
    let replicas = rng.below(REPLICAS_MAX + 1);
    let change = match rng.below(10) {
        0..=5 if !exists => {
            let object = deployment(name, replicas, "image:1");
            // A namesake on its way out may still be there; then this was no step.
            drop(admin.create_object(&Deployment::GVR, "default", &object).await);
            return;
        }
        0..=2 => json!({"spec": {"replicas": replicas}}),
        3..=5 => {
            let image = format!("image:{}", rng.below(4));
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
        }
        6 => {
            let propagation = ["Background", "Foreground"][pick(2)];
            let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
            drop(admin.delete_object(&Deployment::GVR, &key, &options).await);
            return;
        }
        _ => {
            // One node at a time, so that there is always room.
            let dead = nodes.iter().find(|node| !cluster.is_running(node));
            match dead {
                Some(dead) => cluster.start_node(dead),
                None => cluster.kill_node(nodes[pick(nodes.len())]),
            }
            return;
        }
    };
    drop(admin.patch_object(&Deployment::GVR, &key, "", &Patch::Strategic(change)).await);
}
