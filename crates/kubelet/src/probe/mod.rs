//! Probes: one task for each probe of each running container, and what they found together ([`Health`]).
//!
//! The counting is a pure state machine ([`Counter`]); tasks only ask and sleep. A task lives as long as its container
//! runs; liveness and readiness begin when the startup probe has succeeded.

mod ask;
mod grpc;
pub mod http;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::controller::NoteKind;
use k8s_openapi::api::core::v1 as core;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::observed::Observed;
use crate::plan::{FailedProbe, Health};
use crate::pod::{PodRef, Role};
use crate::shared::{Shared, signed};
pub use ask::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Counts results until a threshold is reached.
#[derive(Clone, Debug)]
pub struct Counter {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    run: u32,
}

impl Counter {
    pub fn new(probe: &core::Probe) -> Self {
        let threshold =
            |value: Option<i32>, default| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default).max(1);
        Self {
            success_threshold: threshold(probe.success_threshold, 1),
            failure_threshold: threshold(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// The verdict, once there have been enough like results in a row.
    pub fn count(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let needed = if success { self.success_threshold } else { self.failure_threshold };
        (self.run >= needed).then_some(success)
    }
}

/// The probes of one pod.
pub struct Probes {
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    health: Arc<Mutex<Health>>,
    tasks: BTreeMap<(String, Kind), AbortOnDropHandle<()>>,
}

impl Probes {
    pub fn new(shared: Arc<Shared>, wake: Arc<Notify>) -> Self {
        Self { shared, wake, health: Arc::default(), tasks: BTreeMap::new() }
    }

    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the probes of containers that run, ends those of containers that do not.
    pub fn follow(&mut self, pod: &PodRef, observed: &Observed) {
        let running: BTreeMap<&str, &crate::observed::Seen> =
            observed.running().map(|seen| (seen.id(), seen)).collect();
        self.tasks.retain(|(id, _), _| running.contains_key(id.as_str()));
        {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            health.started.retain(|id| running.contains_key(id.as_str()));
            health.ready.retain(|id| running.contains_key(id.as_str()));
            health.failed.retain(|id, _| running.contains_key(id.as_str()));
        }
        let health = self.health();
        let stopping = pod.is_deleting();
        for container in pod.containers().filter(|c| matches!(c.role, Role::App | Role::Sidecar)) {
            let Some(seen) = observed.container(container.name()).filter(|seen| seen.is_running()) else { continue };
            let started = container.spec.startup_probe.is_none() || health.started.contains(seen.id());
            let wanted = [
                (Kind::Startup, container.spec.startup_probe.as_ref().filter(|_| !started && !stopping)),
                (Kind::Liveness, container.spec.liveness_probe.as_ref().filter(|_| started && !stopping)),
                (Kind::Readiness, container.spec.readiness_probe.as_ref().filter(|_| started)),
            ];
            for (kind, probe) in wanted {
                let key = (seen.id().to_owned(), kind);
                let Some(probe) = probe else {
                    self.tasks.remove(&key);
                    continue;
                };
                if self.tasks.contains_key(&key) {
                    continue;
                }
                let addresses =
                    if pod.is_host_network() { &self.shared.config.node_ips } else { &observed.addresses() };
                let task = Task {
                    shared: Arc::clone(&self.shared),
                    wake: Arc::clone(&self.wake),
                    health: Arc::clone(&self.health),
                    pod: pod.clone(),
                    container: container.spec.name.clone(),
                    id: seen.id().to_owned(),
                    started_at: seen.status.started_at,
                    address: addresses.first().cloned().unwrap_or_default(),
                    kind,
                    probe: probe.clone(),
                };
                self.tasks.insert(key, AbortOnDropHandle::new(tokio::spawn(task.run())));
            }
        }
    }

    /// Ends the probes of a container that is being stopped, and forgets what they found.
    pub fn forget(&mut self, id: &str) {
        self.tasks.retain(|(of, _), _| of != id);
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failed.remove(id);
        health.started.remove(id);
        health.ready.remove(id);
    }

    pub fn stop_all(&mut self) {
        self.tasks.clear();
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::default();
    }
}

/// One probe of one container.
struct Task {
    shared: Arc<Shared>,
    wake: Arc<Notify>,
    health: Arc<Mutex<Health>>,
    pod: PodRef,
    container: String,
    id: String,
    started_at: i64,
    address: String,
    kind: Kind,
    probe: core::Probe,
}

impl Task {
    async fn run(self) {
        let secs = |value: Option<i32>, default: u64| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default);
        let delay = Duration::from_secs(secs(self.probe.initial_delay_seconds, 0));
        let period = Duration::from_secs(secs(self.probe.period_seconds, 10).max(1));
        let timeout = Duration::from_secs(secs(self.probe.timeout_seconds, 1).max(1));
        tokio::time::sleep(self.left_of(delay)).await;
        let mut counter = Counter::new(&self.probe);
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let outcome = self.ask(timeout).await;
            if let Outcome::Failure(why) = &outcome {
                self.tell(why);
            }
            let Some(verdict) = counter.count(matches!(outcome, Outcome::Success)) else { continue };
            if self.settle(verdict) {
                self.wake.notify_one();
            }
            if self.kind != Kind::Readiness && (!verdict || self.kind == Kind::Startup) {
                return;
            }
        }
    }

    /// What is left of a delay that began when the container started.
    fn left_of(&self, delay: Duration) -> Duration {
        let started =
            jiff::Timestamp::from_nanosecond(i128::from(self.started_at)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        crate::shared::until(started + signed(delay), self.shared.now()).min(delay)
    }

    async fn ask(&self, timeout: Duration) -> Outcome {
        let Some(container) = self.pod.container(&self.container) else { return Outcome::Success };
        let runtime = &*self.shared.deps.runtime;
        ask::ask(runtime, &self.probe, container.spec, &self.id, &self.address, timeout).await
    }

    fn tell(&self, why: &str) {
        let container = self.pod.container(&self.container);
        let message = format!("{} probe failed: {why}", self.kind.word());
        self.shared.tell(&self.pod, container.as_ref(), NoteKind::Warning, "Unhealthy", message);
    }

    /// Writes the verdict down; true when it is news.
    fn settle(&self, verdict: bool) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.id.clone();
        match (self.kind, verdict) {
            (Kind::Startup, true) => health.started.insert(id),
            (Kind::Startup, false) => health.failed.insert(id, FailedProbe::Startup).is_none(),
            (Kind::Liveness, false) => health.failed.insert(id, FailedProbe::Liveness).is_none(),
            (Kind::Liveness, true) => false,
            (Kind::Readiness, true) => health.ready.insert(id),
            (Kind::Readiness, false) => health.ready.remove(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_as_many_like_results_in_a_row_as_its_threshold() {
        let probe = |success, failure| core::Probe {
            success_threshold: Some(success),
            failure_threshold: Some(failure),
            ..core::Probe::default()
        };
        for (success, failure, results, expected) in
            [(1, 3, "+--+---", "+..+..-"), (2, 1, "+-++-", ".-.+-"), (1, 1, "-+-", "-+-")]
        {
            let mut counter = Counter::new(&probe(success, failure));
            let verdict = |result: char| match counter.count(result == '+') {
                Some(true) => '+',
                Some(false) => '-',
                None => '.',
            };
            assert_eq!(results.chars().map(verdict).collect::<String>(), expected);
        }
    }
}
