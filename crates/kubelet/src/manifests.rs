//! Static pods: manifests in a directory of the node, followed by inotify.
//!
//! A static pod belongs to the node: its name ends in the node's, its UID is made of its content, and the API only
//! shows a mirror of it (see [`crate::mirror`]).

use std::path::Path;

use api::name::Gvk;
use api::schema;
use api::typed::{Pod, Typed};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stdx::Backoff;
use tokio::sync::watch;

use crate::inotify::Watch;
use crate::pod::{PodRef, label};
use crate::pods::StaticPods;

/// A larger file is no manifest.
const MANIFEST_LEN_MAX: u64 = 10 << 20;
const RETRY: Backoff = Backoff::new(std::time::Duration::from_secs(1), std::time::Duration::from_secs(60));

/// Reads the directory, and again whenever something in it changes.
pub async fn follow(dir: Option<&Path>, node: &str, pods: &watch::Sender<StaticPods>) {
    let Some(dir) = dir else {
        pods.send_replace(Some(Vec::new()));
        return std::future::pending().await;
    };
    let mut failures = 0;
    loop {
        if let Err(error) = follow_once(dir, node, pods).await {
            failures += 1;
            tracing::warn!("cannot follow the manifests in {}: {error}", dir.display());
            // Nothing is known of static pods: none is stopped, and none is waited for.
            pods.send_if_modified(|pods| pods.is_none() && pods.replace(Vec::new()).is_none());
        }
        tokio::time::sleep(RETRY.delay(failures)).await;
    }
}

async fn follow_once(dir: &Path, node: &str, pods: &watch::Sender<StaticPods>) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let changes = Watch::new()?;
    changes.directory(dir)?;
    loop {
        let found = Some(read_all(dir, node)?);
        pods.send_replace(found);
        changes.changed().await?;
    }
}

fn read_all(dir: &Path, node: &str) -> std::io::Result<Vec<PodRef>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut pods = Vec::new();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let plain = std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MANIFEST_LEN_MAX);
        if hidden || !plain {
            continue;
        }
        match std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| read_one(&bytes, node)) {
            Ok(pod) => pods.push(pod),
            Err(error) => tracing::warn!("{} is no pod manifest: {error}", path.display()),
        }
    }
    Ok(pods)
}

/// The pod of one manifest, with the defaults that the API server would give it.
pub fn read_one(bytes: &[u8], node: &str) -> Result<PodRef, String> {
    let mut tree = api::yaml::parse(bytes).map_err(|error| error.to_string())?;
    let text = |tree: &Value, path: &str| tree.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text(&tree, "/kind"), text(&tree, "/metadata/name"));
    if kind != "Pod" || text(&tree, "/apiVersion") != "v1" {
        return Err(format!("it holds {kind:?}, not a v1 Pod"));
    }
    if name.is_empty() {
        return Err("the pod has no name".to_owned());
    }
    if let Some(schema) = schema::builtin().lookup_kind(&Gvk::new("", "v1", "Pod")) {
        schema::apply_defaults(&mut tree, schema);
    }
    let uid = uid(bytes, node);
    let metadata = tree["metadata"].as_object_mut().ok_or("the pod has no metadata")?;
    metadata.insert("name".to_owned(), json!(format!("{name}-{node}")));
    metadata.entry("namespace").or_insert_with(|| json!("default"));
    metadata.insert("uid".to_owned(), json!(uid));
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations[label::CONFIG_HASH] = json!(uid);
    annotations[label::CONFIG_SOURCE] = json!("file");
    tree["spec"]["nodeName"] = json!(node);
    // Nothing may take a static pod from its node.
    let tolerations =
        tree["spec"].as_object_mut().ok_or("the pod has no spec")?.entry("tolerations").or_insert_with(|| json!([]));
    if let Some(list) = tolerations.as_array_mut() {
        list.push(json!({"operator": "Exists", "effect": "NoExecute"}));
    }
    Pod::decode(tree.to_string().as_bytes()).map(PodRef::new).map_err(|error| error.to_string())
}

/// The same for the same content on the same node.
fn uid(bytes: &[u8], node: &str) -> String {
    let digest = Sha256::new().chain_update(node).chain_update([0]).chain_update(bytes).finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_a_pod_of_the_node() {
        let manifest =
            b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: c\n    image: nginx\n";
        let pod = read_one(manifest, "n1").unwrap();
        assert_eq!((pod.name(), pod.namespace(), pod.is_static(), pod.uid().len()), ("web-n1", "default", true, 32));
        assert_eq!(pod.app_containers().next().unwrap().spec.image_pull_policy.as_deref(), Some("Always"));
        assert_eq!(read_one(b"kind: Node\napiVersion: v1", "n1").unwrap_err(), "it holds \"Node\", not a v1 Pod");
        assert!(read_one(b"{", "n1").is_err());
    }
}
