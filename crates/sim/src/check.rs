//! What must hold at every moment and at rest, seen from the cluster as it really is.
//!
//! Decisions are made from slightly older states, over a network that delays them: a bound counts as broken only if it
//! is broken by every state of the last [`MEMORY`].

use std::collections::BTreeMap;
use std::time::Duration;

use api::typed::{Deployment, Pod, ReplicaSet, Typed};
use api::{Key, Object};
use cache::{Change, Snapshot};
use client::News;
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::Cluster;

/// How old a state a controller may have planned from: retries and relists on a bad network.
const MEMORY: Duration = Duration::from_secs(20);

/// Looks at every change. Hand it to a task of its own, or call [`Checker::take`].
#[derive(Default)]
pub struct Checker {
    /// What was asked for, newest last: pods of a ReplicaSet, pods of a Deployment with its surge.
    asked: BTreeMap<(bool, Key), Vec<(Instant, i64)>>,
    pub broken: Vec<String>,
}

impl Checker {
    /// Follows the cluster until it is dropped, and panics at the first broken bound.
    pub async fn follow(truth: client::Hub) {
        let mut checker = Self::default();
        let mut changes = truth.changes();
        loop {
            if let News::Changed(change) = changes.next().await {
                checker.take(&truth.snapshot(), &change.1);
            }
            assert!(checker.broken.is_empty(), "{:#?}", checker.broken);
        }
    }

    pub fn take(&mut self, snapshot: &Snapshot, change: &Change) {
        let Some(object) = &change.after else { return };
        match &*object.meta().kind {
            "Deployment" => self.note_deployment(object),
            "ReplicaSet" => {
                self.note(false, object.key(), int(&tree(object), "/spec/replicas"));
                self.check_sets(snapshot, object);
            }
            "Pod" if change.before.is_none() => self.check_pods(snapshot, object),
            _ => {}
        }
    }

    fn note(&mut self, is_deployment: bool, key: Key, count: i64) {
        let now = Instant::now();
        let history = self.asked.entry((is_deployment, key)).or_default();
        history.push((now, count));
        // The newest of those that are too old was in force until the next one.
        while history.len() > 1 && history[1].0 + MEMORY < now {
            history.remove(0);
        }
    }

    /// The most that was asked for lately.
    fn most(&self, is_deployment: bool, key: &Key) -> i64 {
        let history = self.asked.get(&(is_deployment, key.clone()));
        history.into_iter().flatten().map(|(_, count)| *count).max().unwrap_or(i64::MAX)
    }

    fn note_deployment(&mut self, object: &Object) {
        let tree = tree(object);
        let replicas = int(&tree, "/spec/replicas");
        self.note(true, object.key(), replicas + surge(&tree, replicas));
    }

    /// A Deployment's sets never ask for more pods than its replicas and surge.
    fn check_sets(&mut self, snapshot: &Snapshot, changed: &Object) {
        let Some(owner) = changed.controller() else { return };
        let key = Key::new(changed.namespace(), &owner.name);
        let sets = snapshot.list(&ReplicaSet::GVR, Some(changed.namespace()));
        let sets = sets.filter(|set| set.controller().is_some_and(|other| other.uid == owner.uid));
        let total: i64 = sets.map(|set| int(&tree(set), "/spec/replicas")).sum();
        let most = self.most(true, &key);
        if total > most {
            self.broken.push(format!("{key}: its sets ask for {total} pods, {most} are allowed"));
        }
    }

    /// A set never has more living pods than it asks for.
    fn check_pods(&mut self, snapshot: &Snapshot, created: &Object) {
        let Some(owner) = created.controller() else { return };
        let key = Key::new(created.namespace(), &owner.name);
        let living = living(snapshot, created.namespace(), &owner.uid);
        let most = self.most(false, &key);
        if living > most {
            self.broken.push(format!("{key}: {living} pods live, {most} were asked for"));
        }
    }

    /// What must hold when nothing has happened for a while. Returns what does not.
    pub fn at_rest(cluster: &Cluster) -> Vec<String> {
        let snapshot = cluster.truth.snapshot();
        let mut broken = cluster.pending_plans();
        for set in snapshot.list(&ReplicaSet::GVR, None) {
            let asked = int(&tree(set), "/spec/replicas");
            let living = living(&snapshot, set.namespace(), set.uid());
            if living != asked {
                broken.push(format!("ReplicaSet {}: {living} pods live, {asked} were asked for", set.key()));
            }
        }
        for pod in snapshot.list(&Pod::GVR, None) {
            let owners = pod.meta().owner_references.iter().filter(|owner| owner.controller).count();
            let owner = pod.controller().map(|owner| Key::new(pod.namespace(), &owner.name));
            if owners != 1 || owner.is_none_or(|owner| snapshot.get(&ReplicaSet::GVR, &owner).is_none()) {
                broken.push(format!("Pod {} is not owned exactly once by what exists", pod.key()));
            }
        }
        for deployment in snapshot.list(&Deployment::GVR, None) {
            let tree = tree(deployment);
            let (asked, have) = (int(&tree, "/spec/replicas"), int(&tree, "/status/availableReplicas"));
            if asked != have || int(&tree, "/status/updatedReplicas") != asked {
                broken.push(format!("Deployment {}: {asked} replicas, {have} available", deployment.key()));
            }
        }
        broken
    }
}

fn tree(object: &Object) -> Value {
    object.tree().unwrap_or_default()
}

fn int(tree: &Value, path: &str) -> i64 {
    tree.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

fn surge(tree: &Value, replicas: i64) -> i64 {
    match tree.pointer("/spec/strategy/rollingUpdate/maxSurge") {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (percent * replicas + 99) / 100
        }
        _ => 0,
    }
}

fn living(snapshot: &Snapshot, namespace: &str, owner: &str) -> i64 {
    let pods = snapshot.list(&Pod::GVR, Some(namespace));
    let owned = pods.filter(|pod| pod.controller().is_some_and(|other| *other.uid == *owner) && !pod.is_deleting());
    let alive = |pod: &&Object| !matches!(tree(pod)["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    i64::try_from(owned.filter(alive).count()).unwrap_or(i64::MAX)
}
