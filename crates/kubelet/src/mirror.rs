//! Mirror pods: the API's pictures of static pods. Made where one is missing, replaced where it shows another manifest,
//! removed where there is no static pod any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Key;
use api::typed::{Node, Pod, Typed};
use client::query::DeleteOptions;
use serde_json::{Value, json};
use stdx::Backoff;
use tokio::sync::watch;

use crate::pod::{PodRef, label};
use crate::pods::StaticPods;
use crate::shared::Shared;
use client::follow::View;

const RETRY: Backoff = Backoff::new(std::time::Duration::from_millis(200), std::time::Duration::from_secs(30));

/// Keeps the mirrors true until it is dropped.
pub async fn keep(shared: Arc<Shared>, mut api: watch::Receiver<View>, mut statics: watch::Receiver<StaticPods>) {
    let mut failures = 0;
    loop {
        let view = api.borrow_and_update().clone();
        let wanted = statics.borrow_and_update().clone();
        let outcome = match wanted.filter(|_| view.synced) {
            Some(wanted) => reconcile(&shared, &view, &wanted).await,
            None => Ok(()),
        };
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
        let again = async {
            match &outcome {
                Ok(()) => std::future::pending().await,
                Err(error) => {
                    tracing::debug!("cannot keep mirror pods: {error}");
                    tokio::time::sleep(RETRY.delay(failures)).await;
                }
            }
        };
        tokio::select! {
            biased;
            changed = api.changed() => if changed.is_err() { return },
            changed = statics.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

async fn reconcile(shared: &Shared, view: &View, wanted: &[PodRef]) -> client::Result<()> {
    let wanted: BTreeMap<Key, &PodRef> = wanted.iter().map(|pod| (pod.key(), pod)).collect();
    let mut shown = BTreeMap::new();
    for object in view.table.iter() {
        let Ok(pod) = object.typed::<Pod>().map(PodRef::new) else { continue };
        if !pod.is_mirror() {
            continue;
        }
        let fits = |of: &&&PodRef| of.annotation(label::CONFIG_HASH) == pod.annotation(label::CONFIG_MIRROR);
        if wanted.get(&pod.key()).filter(fits).is_some() && !pod.is_deleting() {
            shown.insert(pod.key(), ());
            continue;
        }
        let options =
            DeleteOptions { uid: Some(pod.uid().to_owned()), grace_period_secs: Some(0), ..DeleteOptions::default() };
        match shared.client.delete_object(&Pod::GVR, &pod.key(), &options).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
            _ => {}
        }
    }
    for (key, pod) in wanted.iter().filter(|(key, _)| !shown.contains_key(key)) {
        let mirror = mirror(shared, pod).await?;
        match shared.client.create_object(&Pod::GVR, &key.namespace, &mirror).await {
            Err(error) if !error.is_already_exists() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn mirror(shared: &Shared, pod: &PodRef) -> client::Result<Value> {
    let node = shared.client.read(&Node::GVR, &Key::cluster(&shared.config.node_name)).await?;
    let mut tree = pod.get().to_tree();
    let hash = pod.annotation(label::CONFIG_HASH).unwrap_or_default();
    let metadata = &mut tree["metadata"];
    metadata["annotations"][label::CONFIG_MIRROR] = json!(hash);
    metadata["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": node.uid(), "controller": true}]);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("uid");
    }
    Ok(tree)
}
