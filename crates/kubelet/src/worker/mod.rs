//! One task a pod: it makes what runs equal to what the spec says, and tells how it goes.
//!
//! ```text
//! Syncing --deleted, removed, refused, past its deadline, or done--> Terminating --nothing runs--> Terminated
//!    ^ plan -> steps -> observe                    stop containers, then sandbox      clean up, delete the API object
//! ```
//! The task sleeps until something it depends on changes: its pod, its containers, its probes, what it refers to, or
//! the time that a plan named. Invariants: the API object is deleted only when nothing of the pod is left and its last
//! status has been written; a final phase is never left.

mod images;
mod start;
mod steps;
mod stop;
mod volumes;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::typed::{Pod, Typed};
use cache::controller::NoteKind;
use client::query::DeleteOptions;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use stdx::Backoff;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::crash::Waits;
use crate::observed::{Observed, observe};
use crate::plan;
use crate::pod::PodRef;
use crate::probe::Probes;
use crate::references;
use crate::shared::{Shared, signed, until};
use crate::status::writer::Writer;
use crate::status::{self, Verdict};
use crate::volumes::token::Tokens;
use crate::volumes::{self as vols, Mounted};

const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(120));

/// What a pod should be, as its sources say.
#[derive(Clone, Debug)]
pub struct Desired {
    pub pod: PodRef,
    /// It is gone from its source: stop it, and there is nobody to tell.
    pub removed: bool,
    /// The node cannot take it.
    pub refused: Option<Verdict>,
    /// The API object that tells of a static pod.
    pub mirror_uid: Option<String>,
}

/// A running worker. Dropping it aborts the task; the pod's containers run on.
pub struct Handle {
    pub desired: watch::Sender<Desired>,
    pub wake: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Handle {
    pub fn start(shared: Arc<Shared>, desired: Desired, ended: tokio::sync::mpsc::UnboundedSender<String>) -> Self {
        let (sender, receiver) = watch::channel(desired);
        let wake = Arc::new(Notify::new());
        let worker = Worker::new(shared, receiver, Arc::clone(&wake));
        let task = tokio::spawn(async move {
            let uid = worker.pod.uid().to_owned();
            Box::pin(worker.run()).await;
            // The pool may be gone already, at shut-down.
            drop(ended.send(uid));
        });
        Self { desired: sender, wake, _task: AbortOnDropHandle::new(task) }
    }
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    pod: PodRef,
    observed: Observed,
    crash: Waits,
    pulls: BTreeMap<String, images::FailedPull>,
    pull_waits: Waits,
    /// Until when containers are not started again, by name; the sandbox under the empty name.
    held: BTreeMap<String, Timestamp>,
    /// Why containers wait: what the last try to start them came to.
    waiting: BTreeMap<String, (String, String)>,
    /// Containers whose back-off has been told in an event.
    told_crash: BTreeSet<String>,
    /// What the pod referred to when a container's config could not be made.
    refused_with: Vec<Option<api::Revision>>,
    failures: u32,
    probes: Probes,
    tokens: Tokens,
    mounted: Option<Mounted>,
    last_words: BTreeMap<String, String>,
    status: Option<core::PodStatus>,
    verdict: Option<Verdict>,
    writer: Writer,
}

/// What to do after one round.
enum Next {
    Again,
    Sleep(Option<Timestamp>),
    Terminate,
}

impl Worker {
    fn new(shared: Arc<Shared>, mut desired: watch::Receiver<Desired>, wake: Arc<Notify>) -> Self {
        let first = desired.borrow_and_update().clone();
        let writer = Writer::start(shared.client.clone());
        let probes = Probes::new(Arc::clone(&shared), Arc::clone(&wake));
        Self {
            verdict: first.refused,
            status: first.pod.status().filter(|status| status.start_time.is_some()).cloned(),
            pod: first.pod,
            shared,
            desired,
            wake,
            observed: Observed::default(),
            crash: Waits::default(),
            pulls: BTreeMap::new(),
            pull_waits: Waits::default(),
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            told_crash: BTreeSet::new(),
            refused_with: Vec::new(),
            failures: 0,
            probes,
            tokens: Tokens::default(),
            mounted: None,
            last_words: BTreeMap::new(),
            writer,
        }
    }

    async fn run(mut self) {
        if self.verdict.is_none() && !self.must_stop() {
            self.sync_until_told_to_stop().await;
        }
        self.terminate().await;
        self.clean_up().await;
        self.await_deletion().await;
        self.remove().await;
    }

    async fn sync_until_told_to_stop(&mut self) {
        loop {
            match Box::pin(self.sync()).await {
                Next::Terminate => return,
                Next::Again => {}
                Next::Sleep(at) => self.sleep(at).await,
            }
            self.take_desired();
        }
    }

    async fn sleep(&mut self, at: Option<Timestamp>) {
        let timer = async {
            match at {
                Some(at) => tokio::time::sleep(until(at, self.shared.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The pool is gone: the node shuts down, and this task is about to be aborted.
            changed = self.desired.changed() => if changed.is_err() { std::future::pending::<()>().await },
            () = self.wake.notified() => {}
            () = timer => {}
        }
    }

    fn take_desired(&mut self) {
        let desired = self.desired.borrow_and_update().clone();
        self.pod = desired.pod;
    }

    /// Whether the pod's own lot says that it must not run.
    fn must_stop(&self) -> bool {
        let desired = self.desired.borrow();
        desired.removed || desired.pod.is_deleting() || desired.pod.phase_is_final() || self.verdict.is_some()
    }

    async fn sync(&mut self) -> Next {
        if self.must_stop() {
            return Next::Terminate;
        }
        if let Some(next) = self.check_deadline() {
            return next;
        }
        self.release_changed();
        if let Err(error) = self.look().await {
            tracing::warn!(pod = %self.pod.key(), "cannot ask the runtime: {error}");
            return self.retry();
        }
        let plan = self.plan();
        self.note_crash_loops(&plan);
        self.drop_stale_reasons();
        if plan.done {
            return Next::Terminate;
        }
        let wake_at = self.wake_at(&plan);
        if plan.steps.is_empty() {
            self.failures = 0;
            self.report(&plan.waiting, false);
            return match self.refresh_volumes().await {
                Ok(()) => Next::Sleep(earliest(wake_at, self.tokens.renew_at())),
                Err(error) => self.mount_failed(&error),
            };
        }
        self.report(&plan.waiting, false);
        match self.execute_all(&plan.steps).await {
            Ok(()) => Next::Again,
            Err(steps::Stopped::Interrupted) => Next::Again,
            Err(steps::Stopped::Retry(at)) => Next::Sleep(earliest(wake_at, Some(at))),
        }
    }

    fn retry(&mut self) -> Next {
        self.failures = self.failures.saturating_add(1);
        Next::Sleep(Some(self.shared.now() + signed(RETRY.delay(self.failures))))
    }

    async fn look(&mut self) -> cri::Result<()> {
        self.observed = observe(&*self.shared.deps.runtime, self.pod.uid()).await?;
        self.read_last_words();
        self.probes.follow(&self.pod, &self.observed);
        Ok(())
    }

    fn plan(&self) -> plan::Plan {
        plan::plan(&plan::Input {
            pod: &self.pod,
            observed: &self.observed,
            health: &self.probes.health(),
            crash: &self.crash,
            held: &self.held,
            now: self.shared.now(),
        })
    }

    /// When to look again even if nothing happens.
    fn wake_at(&self, plan: &plan::Plan) -> Option<Timestamp> {
        let pulls = self.pulls.values().filter_map(images::FailedPull::tells_at).min();
        earliest(earliest(plan.wake_at, pulls), self.deadline())
    }

    fn deadline(&self) -> Option<Timestamp> {
        let secs = self.pod.spec().active_deadline_seconds?;
        let started = self.status.as_ref()?.start_time.as_ref()?.0;
        Some(started + SignedDuration::from_secs(secs))
    }

    fn check_deadline(&mut self) -> Option<Next> {
        if self.shared.now() < self.deadline()? {
            return None;
        }
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.shared.tell(&self.pod, None, NoteKind::Normal, "DeadlineExceeded", message.clone());
        self.verdict = Some(Verdict { reason: "DeadlineExceeded".to_owned(), message });
        Some(Next::Terminate)
    }

    fn note_crash_loops(&mut self, plan: &plan::Plan) {
        for (name, (reason, _)) in &plan.waiting {
            let id = self.observed.container(name).map(|seen| seen.id().to_owned()).unwrap_or_default();
            if *reason == "CrashLoopBackOff" && self.told_crash.insert(id) {
                let message = format!("Back-off restarting failed container {name} in pod {}", self.pod.described());
                let container = self.pod.container(name);
                self.shared.tell(&self.pod, container.as_ref(), NoteKind::Warning, "BackOff", message);
            }
        }
    }

    /// Forgets why containers waited that run now.
    fn drop_stale_reasons(&mut self) {
        self.tell_pull_back_offs();
        let observed = &self.observed;
        self.waiting.retain(|name, _| !observed.container(name).is_some_and(|seen| seen.is_running()));
    }

    /// Lets containers try again at once whose config lacked something that has changed since.
    fn release_changed(&mut self) {
        let lacks = |(reason, _): &(String, String)| reason == "CreateContainerConfigError";
        if !self.waiting.values().any(lacks) {
            return;
        }
        let now = self.shared.references.revisions(&references::of_pod(&self.pod));
        if now != self.refused_with {
            self.held.retain(|name, _| !self.waiting.get(name).is_some_and(lacks));
            self.refused_with = now;
        }
    }

    /// Computes the status and hands it to the writer.
    fn report(&mut self, crash_loops: &BTreeMap<String, (&'static str, String)>, terminating: bool) {
        let mut waiting = self.waiting.clone();
        waiting.extend(
            crash_loops.iter().map(|(name, (reason, text))| (name.clone(), ((*reason).to_owned(), text.clone()))),
        );
        let now = status::conditions::whole_seconds(self.shared.now());
        let status = status::status(&status::Input {
            pod: &self.pod,
            observed: &self.observed,
            health: &self.probes.health(),
            waiting: &waiting,
            last_words: &self.last_words,
            previous: self.status.as_ref(),
            verdict: self.verdict.as_ref(),
            terminating,
            host_ips: &self.shared.config.node_ips,
            now,
        });
        let mirror_uid = self.desired.borrow().mirror_uid.clone();
        let uid = if self.pod.is_static() { mirror_uid } else { Some(self.pod.uid().to_owned()) };
        self.writer.tell(&self.pod, uid, &status);
        self.status = Some(status);
    }

    /// Terminated: nothing runs. Volumes and cgroups go; dead containers stay for their logs until the pod is deleted.
    async fn clean_up(&mut self) {
        self.report(&BTreeMap::new(), true);
        self.shared.references.release(self.pod.uid());
        let dir = self.shared.config.pod_dir(self.pod.uid());
        let mut failures = 0;
        while let Err(error) = vols::tear_down(&dir, &*self.shared.deps.mounts) {
            failures += 1;
            tracing::warn!(pod = %self.pod.key(), "cannot remove the pod's volumes: {error}");
            tokio::time::sleep(RETRY.delay(failures)).await;
        }
        self.mounted = None;
        let cgroup = crate::qos::cgroup_path(&self.shared.config.cgroup_root, &self.pod);
        if let Err(error) = self.shared.deps.cgroups.remove(&cgroup) {
            tracing::debug!(pod = %self.pod.key(), "cannot remove the pod's cgroup: {error}");
        }
    }

    async fn await_deletion(&mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            self.pod = desired.pod;
            if desired.removed || self.pod.is_deleting() {
                return;
            }
            self.report(&BTreeMap::new(), true);
            if self.desired.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Removes what is left of the pod here, and then its API object.
    async fn remove(&mut self) {
        self.report(&BTreeMap::new(), true);
        self.writer.flush().await;
        self.remove_dead().await;
        let logs = self.shared.config.pod_log_dir(self.pod.namespace(), self.pod.name(), self.pod.uid());
        if let Err(error) = std::fs::remove_dir_all(&logs)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(pod = %self.pod.key(), "cannot remove the pod's logs: {error}");
        }
        if self.desired.borrow().removed || self.pod.is_static() {
            return;
        }
        let options = DeleteOptions {
            uid: Some(self.pod.uid().to_owned()),
            grace_period_secs: Some(0),
            ..DeleteOptions::default()
        };
        let mut failures = 0;
        loop {
            match self.shared.client.delete_object(&Pod::GVR, &self.pod.key(), &options).await {
                Ok(_) => return,
                Err(error) if error.is_not_found() || error.is_conflict() => return,
                Err(error) => tracing::debug!(pod = %self.pod.key(), "cannot delete the pod: {error}"),
            }
            failures += 1;
            tokio::time::sleep(RETRY.delay(failures)).await;
        }
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
