//! The node's lease: renewed every 10 s, good for 40 s. Missing it is how a dead node is told from a quiet one.

use std::sync::Arc;
use std::time::Duration;

use api::Key;
use api::typed::{Lease, Node, Typed};
use client::Result;
use serde_json::{Value, json};

use super::RETRY;
use crate::shared::Shared;

const EVERY: Duration = Duration::from_secs(10);
const DURATION_SECS: i64 = 40;
const NAMESPACE: &str = "kube-node-lease";

pub async fn keep(shared: Arc<Shared>) {
    let mut lease: Option<Value> = None;
    let mut failures = 0;
    loop {
        match renew(&shared, lease.take()).await {
            Ok(renewed) => {
                lease = Some(renewed);
                failures = 0;
                tokio::time::sleep(EVERY).await;
            }
            Err(error) => {
                failures += 1;
                tracing::debug!("cannot renew the node's lease: {error}");
                tokio::time::sleep(RETRY.delay(failures)).await;
            }
        }
    }
}

/// Renews the lease as last seen; without one it is read, or made.
async fn renew(shared: &Shared, lease: Option<Value>) -> Result<Value> {
    let key = Key::new(NAMESPACE, &shared.config.node_name);
    let lease = match lease {
        Some(lease) => lease,
        None => match shared.client.read(&Lease::GVR, &key).await {
            Ok(found) => found.tree()?,
            Err(error) if error.is_not_found() => return create(shared).await,
            Err(error) => return Err(error),
        },
    };
    let mut renewed = lease;
    renewed["spec"]["renewTime"] = json!(micro_time(shared));
    renewed["spec"]["holderIdentity"] = json!(shared.config.node_name);
    renewed["spec"]["leaseDurationSeconds"] = json!(DURATION_SECS);
    match shared.client.update_object(&Lease::GVR, &key, "", &renewed).await {
        Ok(answer) => Ok(answer.tree()?),
        Err(error) => Err(error),
    }
}

async fn create(shared: &Shared) -> Result<Value> {
    let name = &shared.config.node_name;
    let node = shared.client.read(&Node::GVR, &Key::cluster(name)).await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid()}],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": DURATION_SECS,
            "renewTime": micro_time(shared),
        },
    });
    Ok(shared.client.create_object(&Lease::GVR, NAMESPACE, &lease).await?.tree()?)
}

/// The time with exactly six digits of a second, as MicroTime wants it.
fn micro_time(shared: &Shared) -> String {
    format!("{:.6}", shared.now())
}
