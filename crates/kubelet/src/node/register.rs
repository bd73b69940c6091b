//! Makes the node's object, or takes over the one that is there.

use api::Key;
use api::typed::{Node, Typed};
use client::Result;
use client::query::Patch;
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Map, Value, json};

use crate::shared::Shared;

pub async fn register(shared: &Shared) -> Result<()> {
    let node = object(shared);
    match shared.client.create_object(&Node::GVR, "", &node).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => take_over(shared, &node).await,
        Err(error) => Err(error),
    }
}

/// Labels that the kubelet owns are made true; everything else of the object stays as it is.
async fn take_over(shared: &Shared, node: &Value) -> Result<()> {
    let labels = node.pointer("/metadata/labels").cloned().unwrap_or_default();
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    shared.client.patch_object(&Node::GVR, &Key::cluster(&shared.config.node_name), "", &patch).await.map(drop)
}

fn object(shared: &Shared) -> Value {
    let (config, facts) = (&shared.config, &shared.machine);
    let mut labels: Map<String, Value> = Map::new();
    let hostname = if facts.hostname.is_empty() { &config.node_name } else { &facts.hostname };
    for (key, value) in [
        ("beta.kubernetes.io/arch", facts.architecture.as_str()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", facts.architecture.as_str()),
        ("kubernetes.io/hostname", hostname.as_str()),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
    labels.extend(config.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    // The API server adds not-ready itself, as upstream's admission does.
    let taint = |taint: &Taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect});
    let taints: Vec<Value> = config.taints.iter().map(taint).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": taints},
    })
}
