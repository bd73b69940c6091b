//! `ironclad store` on a live cluster and on its directory.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::Cluster;

/// A field of `ironclad store stats -o json`.
fn stat(cluster: &Cluster, field: &str) -> u64 {
    let stats = cluster.ironclad(&["store", "stats", "-o", "json"]);
    let tree: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
    tree[field].as_u64().expect("a number")
}

fn uid(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.metadata.uid} {.metadata.resourceVersion}"])
}

/// Creates ConfigMaps until told to stop.
fn write(cluster: &Cluster, stop: &AtomicBool) {
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        cluster.kubectl(&["create", "configmap", &format!("written-{i}")]);
    }
}

#[test]
fn a_cluster_comes_back_from_a_backup_that_was_taken_while_it_was_written_to() {
    let Some(cluster) = Cluster::start("store", &[]) else { return };
    let file = cluster.home.join("backup").display().to_string();
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=1"]);
    let (kept, stop) = (uid(&cluster), AtomicBool::new(false));
    let saved = std::thread::scope(|scope| {
        scope.spawn(|| write(&cluster, &stop));
        let saved = cluster.ironclad(&["store", "save", &file]);
        stop.store(true, Ordering::Relaxed);
        saved
    });
    let revision = saved.split([' ', ':']).nth(2).expect("a revision").to_owned();
    cluster.kubectl(&["delete", "configmap", "kept"]);
    let history = stat(&cluster, "historyEvents");
    assert!(cluster.ironclad(&["store", "compact", "--older-than", "0"]).contains("oldest revision:"));
    assert!(stat(&cluster, "historyEvents") < history, "only what was written since is left");
    assert!(cluster.ironclad(&["store", "check"]).contains("The store is whole."));
    let (code, why) = cluster.ironclad_fails(&["store", "restore", &file]);
    assert!(code == 1 && why.contains("runs: its store cannot be restored"), "{why}");

    cluster.ironclad(&["stop"]);
    let (_, why) = cluster.ironclad_fails(&["store", "restore", &file]);
    let store = cluster.home.join("profiles").join(&cluster.name).join("nodes").join(&cluster.name).join("lib/store");
    assert!(why.contains(&format!("mv {0} {0}.old", store.display())), "{why}");
    std::fs::rename(&store, cluster.home.join("old")).expect("moves");
    let damaged = cluster.home.join("damaged").display().to_string();
    let mut bytes = std::fs::read(&file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).expect("writes");
    let (_, why) = cluster.ironclad_fails(&["store", "restore", &damaged]);
    assert!(why.contains("at offset") && !store.exists(), "{why}");
    cluster.ironclad(&["store", "restore", &file]);
    assert_eq!(stat(&cluster, "revision").to_string(), revision);

    cluster.ironclad(&["start"]);
    assert_eq!(uid(&cluster), kept, "the same object, at the same revision");
}
