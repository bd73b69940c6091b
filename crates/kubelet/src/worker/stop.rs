//! Stops containers, with their preStop hooks and grace periods; sidecars last. Then the sandbox.

use std::time::Duration;

use cache::controller::NoteKind;
use cri::v1;
use futures::future::join_all;

use super::Worker;
use crate::hook;
use crate::observed::{Seen, observe};
use crate::pod::{PodRef, Role};
use crate::shared::Shared;

/// What a container gets at least, after its preStop hook used up the grace period.
const GRACE_MIN_SECS: i64 = 2;

impl Worker {
    /// Terminating: stops all that runs, within the grace period of the newest word.
    pub(super) async fn terminate(&mut self) {
        self.take_desired();
        let mut failures = 0;
        loop {
            if let Err(error) = self.look().await {
                failures += 1;
                tracing::warn!(pod = %self.pod.key(), "cannot ask the runtime: {error}");
                tokio::time::sleep(super::RETRY.delay(failures)).await;
                continue;
            }
            let left = self.observed.running().next().is_some() || self.observed.ready_sandboxes().next().is_some();
            if !left {
                break;
            }
            self.report(&std::collections::BTreeMap::new(), true);
            self.stop_within_newest_grace().await;
            failures += 1;
            // At once the first time: what did not stop is looked at again.
            tokio::time::sleep(super::RETRY.delay(failures - 1)).await;
        }
        self.probes.stop_all();
        if self.observed.is_gone() && self.verdict.is_some() && self.status.is_none() {
            tracing::debug!(pod = %self.pod.key(), "the pod never ran");
        }
    }

    async fn stop_within_newest_grace(&mut self) {
        loop {
            let grace = self.grace_secs();
            let mut desired = self.desired.clone();
            desired.mark_unchanged();
            let shorter = async {
                let sooner = |d: &super::Desired| d.pod.is_deleting() && d.pod.grace_period_secs() < grace;
                if desired.wait_for(sooner).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = self.stop_all(grace) => return,
                () = shorter => {}
            }
            self.take_desired();
        }
    }

    fn grace_secs(&self) -> i64 {
        let grace = self.desired.borrow().pod.grace_period_secs();
        // A forced deletion takes the object away first; its containers still get a second.
        grace.max(1)
    }

    /// Containers together, then sidecars from the last to the first, then sandboxes.
    pub(super) async fn stop_all(&self, grace: i64) {
        let began = tokio::time::Instant::now();
        let running: Vec<Seen> = self.observed.running().cloned().collect();
        let sidecars: Vec<&str> =
            self.pod.init_containers().filter(|c| c.role == Role::Sidecar).map(|c| c.spec.name.as_str()).collect();
        let (last, first): (Vec<&Seen>, Vec<&Seen>) = running.iter().partition(|seen| sidecars.contains(&seen.name()));
        join_all(first.iter().map(|seen| self.stop_seen(seen, grace))).await;
        for name in sidecars.iter().rev() {
            let spent = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
            let left = grace.saturating_sub(spent).max(GRACE_MIN_SECS.min(grace));
            for seen in last.iter().filter(|seen| seen.name() == *name) {
                self.stop_seen(seen, left).await;
            }
        }
        for sandbox in &self.observed.sandboxes {
            let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            if let Err(error) = self.shared.deps.runtime.stop_pod_sandbox(request).await {
                let message =
                    format!("error killing pod: failed to \"KillPodSandbox\" for {:?}: {error}", self.pod.uid());
                self.shared.tell(&self.pod, None, NoteKind::Warning, "FailedKillPod", message);
            }
        }
    }

    async fn stop_seen(&self, seen: &Seen, grace: i64) {
        let message = format!("Stopping container {}", seen.name());
        stop(&self.shared, &self.pod, &self.observed.addresses(), (seen.id(), seen.name()), &message, grace).await;
    }

    pub(super) async fn stop_container(&self, id: &str, name: &str, message: &str, grace: i64) {
        stop(&self.shared, &self.pod, &self.observed.addresses(), (id, name), message, grace).await;
    }

    /// Sandboxes but the newest, with the containers in them.
    pub(super) async fn remove_older_sandboxes(&self) {
        for sandbox in self.observed.sandboxes.iter().skip(1) {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            if let Err(error) = self.shared.deps.runtime.remove_pod_sandbox(request).await {
                tracing::debug!(pod = %self.pod.key(), "cannot remove a dead sandbox: {error}");
            }
        }
    }

    /// Removes every container and sandbox of the pod.
    pub(super) async fn remove_dead(&self) {
        let mut failures = 0;
        loop {
            let Ok(observed) = observe(&*self.shared.deps.runtime, self.pod.uid()).await else {
                failures += 1;
                tokio::time::sleep(super::RETRY.delay(failures)).await;
                continue;
            };
            if observed.is_gone() {
                return;
            }
            for seen in &observed.containers {
                let request = v1::RemoveContainerRequest { container_id: seen.id().to_owned() };
                if let Err(error) = self.shared.deps.runtime.remove_container(request).await {
                    tracing::debug!(pod = %self.pod.key(), "cannot remove a container: {error}");
                }
            }
            for sandbox in &observed.sandboxes {
                let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
                if let Err(error) = self.shared.deps.runtime.remove_pod_sandbox(request).await {
                    tracing::debug!(pod = %self.pod.key(), "cannot remove a sandbox: {error}");
                }
            }
            failures += 1;
            tokio::time::sleep(super::RETRY.delay(failures - 1)).await;
        }
    }
}

async fn stop(
    shared: &Shared,
    pod: &PodRef,
    addresses: &[String],
    (id, name): (&str, &str),
    message: &str,
    grace: i64,
) {
    let ephemeral = pod.ephemeral_container(name);
    let found = match &ephemeral {
        Some(spec) => Some(crate::pod::ContainerRef { spec, role: Role::Ephemeral }),
        None => pod.container(name),
    };
    shared.tell(pod, found.as_ref(), NoteKind::Normal, "Killing", message.to_owned());
    let began = tokio::time::Instant::now();
    let handler = found.as_ref().and_then(|c| c.spec.lifecycle.as_ref()?.pre_stop.as_ref());
    if let (Some(handler), Some(container), true) = (handler, found.as_ref(), grace > 0) {
        let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let run = hook::run(&*shared.deps.runtime, handler, container.spec, id, addresses);
        if let Ok(Err(why)) = tokio::time::timeout(limit, run).await {
            tracing::debug!(pod = %pod.key(), "preStop hook failed: {why}");
            shared.tell(pod, found.as_ref(), NoteKind::Warning, "FailedPreStopHook", "PreStopHook failed".to_owned());
        }
    }
    let spent = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
    let left = grace.saturating_sub(spent).max(GRACE_MIN_SECS.min(grace.max(0)));
    let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout: left };
    if let Err(error) = shared.deps.runtime.stop_container(request).await {
        tracing::warn!(pod = %pod.key(), container = name, "cannot stop the container: {error}");
    }
}
