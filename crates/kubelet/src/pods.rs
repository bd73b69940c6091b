//! All pods of the node: from what the sources say to one worker a pod.
//!
//! Level-triggered: whenever a source, the runtime or a worker has something new, every pod is compared with its worker.
//! Invariants: a UID has at most one worker; no pod is stopped because a source has not been read yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::typed::Pod;
use cache::controller::NoteKind;
use cri::{EventStream, v1};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stdx::Backoff;
use tokio::sync::{mpsc, watch};

use crate::admission;
use crate::gc;
use crate::pod::{PodRef, label};
use crate::shared::Shared;
use crate::worker::{Desired, Handle};
use client::follow::View;

const SUBSCRIBE_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// The pods of one source of static pods; `None` until it has been read.
pub type StaticPods = Option<Vec<PodRef>>;

pub struct Pods {
    shared: Arc<Shared>,
    api: watch::Receiver<View>,
    statics: watch::Receiver<StaticPods>,
    workers: BTreeMap<String, Running>,
    /// UIDs whose worker has come to its end, until their source forgets them.
    finished: BTreeSet<String>,
    ended: mpsc::UnboundedSender<String>,
    /// Whether pods left by an earlier kubelet have been looked for.
    swept: bool,
    /// What is running now, for the kubelet's server.
    told: watch::Sender<Vec<PodRef>>,
}

struct Running {
    handle: Handle,
    desired: Desired,
    revision: api::Revision,
}

impl Pods {
    /// Runs until it is dropped; its workers end with it, their containers do not.
    pub async fn run(
        shared: Arc<Shared>,
        api: watch::Receiver<View>,
        statics: watch::Receiver<StaticPods>,
        told: watch::Sender<Vec<PodRef>>,
    ) {
        // Bounded by the number of workers: each sends once.
        let (ended, mut ends) = mpsc::unbounded_channel();
        let mut pods = Self {
            shared,
            api,
            statics,
            workers: BTreeMap::new(),
            finished: BTreeSet::new(),
            ended,
            swept: false,
            told,
        };
        let mut events = None;
        let mut failures = 0;
        loop {
            pods.reconcile().await;
            if events.is_none() {
                events = pods.subscribe().await;
                failures = if events.is_some() { 0 } else { failures + 1 };
            }
            tokio::select! {
                biased;
                Some(uid) = ends.recv() => pods.worker_ended(&uid),
                changed = pods.api.changed() => if changed.is_err() { return },
                changed = pods.statics.changed() => if changed.is_err() { return },
                event = next_event(&mut events, failures) => match event {
                    Some(event) => pods.wake(&event),
                    None => {
                        events = None;
                        pods.wake_all();
                    }
                },
            }
        }
    }

    async fn subscribe(&self) -> Option<Box<dyn EventStream>> {
        match self.shared.deps.runtime.events().await {
            Ok(stream) => {
                // What happened before the subscription is seen by looking.
                self.wake_all();
                Some(stream)
            }
            Err(error) => {
                tracing::warn!("cannot follow the runtime's events: {error}");
                None
            }
        }
    }

    fn wake(&self, event: &v1::ContainerEventResponse) {
        let uid = event.pod_sandbox_status.as_ref().and_then(|sandbox| sandbox.metadata.as_ref()).map(|m| &m.uid);
        match uid.and_then(|uid| self.workers.get(uid)) {
            Some(running) => running.handle.wake.notify_one(),
            None if uid.is_none() => self.wake_all(),
            None => {}
        }
    }

    fn wake_all(&self) {
        self.workers.values().for_each(|running| running.handle.wake.notify_one());
    }

    fn worker_ended(&mut self, uid: &str) {
        let Some(running) = self.workers.remove(uid) else { return };
        // A static pod that was taken away and came back while it stopped starts anew.
        let returned = running.desired.pod.is_static()
            && self.wanted().contains_key(uid)
            && running.handle.desired.borrow().removed;
        if !returned {
            self.finished.insert(uid.to_owned());
        }
    }

    /// What the sources say, by UID.
    fn wanted(&self) -> BTreeMap<String, (Desired, api::Revision)> {
        let table = self.api.borrow().table.clone();
        let mut wanted = BTreeMap::new();
        let mut mirrors = BTreeMap::new();
        for object in table.iter() {
            let Some(known) = self.workers.get(object.uid()).filter(|running| running.revision == object.revision())
            else {
                let Ok(pod) = object.typed::<Pod>() else {
                    tracing::warn!(pod = %object.key(), "cannot read the pod");
                    continue;
                };
                let pod = PodRef::new(pod);
                if pod.is_mirror() {
                    let hash = pod.annotation(label::CONFIG_HASH).unwrap_or_default().to_owned();
                    mirrors.insert((pod.key(), hash), pod.uid().to_owned());
                    continue;
                }
                let desired = Desired { pod, removed: false, refused: None, mirror_uid: None };
                wanted.insert(object.uid().to_owned(), (desired, object.revision()));
                continue;
            };
            wanted.insert(object.uid().to_owned(), (known.desired.clone(), known.revision));
        }
        for pod in self.statics.borrow().iter().flatten() {
            let hash = pod.annotation(label::CONFIG_HASH).unwrap_or_default().to_owned();
            let mirror_uid = mirrors.get(&(pod.key(), hash)).cloned();
            let desired = Desired { pod: pod.clone(), removed: false, refused: None, mirror_uid };
            wanted.insert(pod.uid().to_owned(), (desired, api::Revision::ZERO));
        }
        wanted
    }

    async fn reconcile(&mut self) {
        let (api_synced, statics_read) =
            (self.api.borrow_and_update().synced, self.statics.borrow_and_update().is_some());
        let wanted = self.wanted();
        if api_synced && statics_read {
            self.finished.retain(|uid| wanted.contains_key(uid));
            for (uid, running) in &mut self.workers {
                if !wanted.contains_key(uid) && !running.desired.removed {
                    running.desired.removed = true;
                    running.handle.desired.send_replace(running.desired.clone());
                }
            }
        }
        for (uid, (desired, revision)) in wanted {
            self.set(uid, desired, revision);
        }
        if api_synced && statics_read && !self.swept {
            self.swept = self.sweep().await;
        }
        // A pod that is gone comes behind its successor of the same name, which clients mean.
        let mut told: Vec<&Desired> = self.workers.values().map(|running| &running.desired).collect();
        told.sort_by_key(|desired| desired.removed);
        self.told.send_replace(told.into_iter().map(|desired| desired.pod.clone()).collect());
    }

    fn set(&mut self, uid: String, desired: Desired, revision: api::Revision) {
        if let Some(running) = self.workers.get_mut(&uid) {
            let same = running.revision == revision && running.desired.mirror_uid == desired.mirror_uid;
            if !same || running.desired.removed {
                running.revision = revision;
                running.desired = Desired { refused: running.desired.refused.clone(), ..desired };
                running.handle.desired.send_replace(running.desired.clone());
            }
            return;
        }
        if self.finished.contains(&uid) {
            return;
        }
        let refused = self.refuse(&desired.pod);
        let desired = Desired { refused, ..desired };
        let handle = Handle::start(Arc::clone(&self.shared), desired.clone(), self.ended.clone());
        self.workers.insert(uid, Running { handle, desired, revision });
    }

    /// Why the node cannot take a pod that is new to it.
    fn refuse(&self, pod: &PodRef) -> Option<crate::status::Verdict> {
        let known = pod.status().is_some_and(|status| status.start_time.is_some());
        if known || pod.is_deleting() || pod.phase_is_final() || pod.is_static() {
            return None;
        }
        // A pod that is gone from the API has ended, whatever is still to be cleaned up: its successor may be bound by now.
        let counts = |running: &&Running| {
            let desired = &running.desired;
            !desired.pod.phase_is_final() && desired.refused.is_none() && !desired.removed
        };
        let others = self.workers.values().filter(counts).map(|running| &running.desired.pod);
        let verdict = admission::check(pod, others, &self.shared.allocatable_millis)?;
        self.shared.tell(
            pod,
            None,
            NoteKind::Warning,
            admission::static_reason(&verdict.reason),
            verdict.message.clone(),
        );
        Some(verdict)
    }

    /// Stops pods that the runtime still has and no source knows; false when the runtime could not be asked.
    async fn sweep(&mut self) -> bool {
        let listed = self.shared.deps.runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: None }).await;
        let Ok(listed) = listed else { return false };
        for sandbox in listed.items {
            let Some(metadata) = sandbox.metadata else { continue };
            let known = self.workers.contains_key(&metadata.uid) || self.finished.contains(&metadata.uid);
            if known || !sandbox.labels.contains_key(label::POD_UID) {
                continue;
            }
            let meta = ObjectMeta {
                name: Some(metadata.name),
                namespace: Some(metadata.namespace),
                uid: Some(metadata.uid.clone()),
                ..ObjectMeta::default()
            };
            let pod = PodRef::new(Pod { metadata: meta, ..Pod::default() });
            tracing::info!(pod = %pod.key(), "stopping a pod that nobody knows any more");
            let desired = Desired { pod, removed: true, refused: None, mirror_uid: None };
            let handle = Handle::start(Arc::clone(&self.shared), desired.clone(), self.ended.clone());
            self.workers.insert(metadata.uid, Running { handle, desired, revision: api::Revision::ZERO });
        }
        let known: BTreeSet<&str> = self.workers.keys().chain(&self.finished).map(String::as_str).collect();
        gc::sweep(&self.shared, &known);
        true
    }
}

async fn next_event(events: &mut Option<Box<dyn EventStream>>, failures: u32) -> Option<v1::ContainerEventResponse> {
    match events {
        Some(stream) => stream.next().await,
        None => {
            // The runtime gave no stream: ask again in a while.
            tokio::time::sleep(SUBSCRIBE_AGAIN.delay(failures)).await;
            None
        }
    }
}
