//! A container runtime in memory: what the kubelet's tests and the simulated cluster run pods on.
//!
//! It keeps CRI's promises (idempotent stop and remove, one ready sandbox a name and attempt, states that only move
//! forward, an event for every change) and passes [`crate::suite`]. What a container does is scripted by its image
//! ([`Behaviour`]); time is tokio's, so that paused time works. Invariant: no lock is held across an await, and every
//! timer that it starts is aborted when its container is removed or the runtime is dropped.

mod calls;
mod script;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use stdx::Clock;
use tokio::sync::broadcast;

pub use script::{Behaviour, ExecAnswer, Pull, Run};
use state::State;

use crate::{EventStream, RuntimeError, v1};

/// How many events a slow subscriber may lag behind before its stream breaks, as CRI allows.
pub const EVENTS_MAX: usize = 1024;

/// The fake. Clones share one state, as a kubelet and its successor share one runtime.
#[derive(Clone)]
pub struct FakeRuntime(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    events: broadcast::Sender<v1::ContainerEventResponse>,
    clock: Arc<dyn Clock>,
}

impl FakeRuntime {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        Self(Arc::new(Inner { state: Mutex::new(State::default()), events, clock }))
    }

    /// Puts an image into the store, as if it had been pulled before.
    pub fn add_image(&self, image: &str) {
        self.lock().images.insert(normal(image), 1 << 20);
    }

    /// What a pull of `image` does. Unknown images are not found, as at a real registry.
    pub fn set_pull(&self, image: &str, pull: Pull) {
        self.lock().pulls.insert(normal(image), pull);
    }

    /// Makes every image that is not told otherwise pullable at once.
    pub fn serve_every_image(&self) {
        self.lock().every_image = true;
    }

    /// What the containers of `image` do.
    pub fn script(&self, image: &str, behaviour: Behaviour) {
        self.lock().behaviours.insert(normal(image), behaviour);
    }

    /// Makes the next call named `call` (`run_pod_sandbox`, ...) fail; repeated calls queue up.
    pub fn fail_next(&self, call: &'static str, error: RuntimeError) {
        self.lock().faults.entry(call).or_default().push_back(error);
    }

    /// Whether NetworkReady is true in the runtime's status.
    pub fn set_network_ready(&self, ready: bool) {
        self.lock().network_down = !ready;
    }

    /// Ends the running containers of that name with this code, as if their processes had done so.
    pub fn exit_container(&self, name: &str, exit_code: i32, reason: &str) {
        let ids: Vec<String> = {
            let state = self.lock();
            state.running().filter(|c| c.name() == name).map(|c| c.status.id.clone()).collect()
        };
        for id in ids {
            self.finish(&id, exit_code, reason, "");
        }
    }

    /// Kills the sandboxes of a pod and all that runs in them, as a crash of the pod's shim does.
    pub fn kill_sandboxes(&self, namespace: &str, pod: &str) {
        let ids: Vec<String> = {
            let state = self.lock();
            let of_pod = |s: &&v1::PodSandboxStatus| {
                s.metadata.as_ref().is_some_and(|m| m.namespace == namespace && m.name == pod)
            };
            state.sandboxes.values().filter(of_pod).map(|s| s.id.clone()).collect()
        };
        for id in ids {
            self.end_sandbox(&id);
        }
    }

    /// The calls that were made, oldest first, as `verb name`; for tests that tell what a user would see in a trace.
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace.iter().cloned().collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_nanos(&self) -> i64 {
        i64::try_from(self.0.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    /// Ends one running container and tells so.
    pub(crate) fn finish(&self, id: &str, exit_code: i32, reason: &str, message: &str) {
        let now = self.now_nanos();
        let ended = self.lock().finish(id, exit_code, reason, message, now);
        if ended {
            self.tell(id, v1::ContainerEventType::ContainerStoppedEvent);
        }
    }

    pub(crate) fn end_sandbox(&self, id: &str) {
        let running: Vec<String> = {
            let state = self.lock();
            state.running().filter(|c| c.sandbox == id).map(|c| c.status.id.clone()).collect()
        };
        for container in running {
            self.finish(&container, 137, "Error", "");
        }
        let changed = match self.lock().sandboxes.get_mut(id) {
            Some(sandbox) if sandbox.state == v1::PodSandboxState::SandboxReady as i32 => {
                sandbox.state = v1::PodSandboxState::SandboxNotready as i32;
                true
            }
            _ => false,
        };
        if changed {
            self.tell(id, v1::ContainerEventType::ContainerStoppedEvent);
        }
    }

    /// Sends the event of a container or sandbox, with the state of its whole pod, as CRI's evented PLEG does.
    pub(crate) fn tell(&self, id: &str, kind: v1::ContainerEventType) {
        let event = {
            let state = self.lock();
            let sandbox = state.sandbox_of(id).cloned();
            let of_sandbox = |c: &&state::Container| sandbox.as_ref().is_some_and(|s| s.id == c.sandbox);
            v1::ContainerEventResponse {
                container_id: id.to_owned(),
                container_event_type: kind as i32,
                created_at: self.now_nanos(),
                containers_statuses: state.containers.values().filter(of_sandbox).map(|c| c.status.clone()).collect(),
                pod_sandbox_status: sandbox,
            }
        };
        // Nobody listening is fine: whoever subscribes later lists first.
        drop(self.0.events.send(event));
    }

    pub(crate) fn subscribe(&self) -> Box<dyn EventStream> {
        Box::new(Subscription(self.0.events.subscribe()))
    }
}

struct Subscription(broadcast::Receiver<v1::ContainerEventResponse>);

#[async_trait]
impl EventStream for Subscription {
    async fn next(&mut self) -> Option<v1::ContainerEventResponse> {
        self.0.recv().await.ok()
    }
}

/// `nginx` means `docker.io/library/nginx:latest`: what a reference is called in the store.
pub fn normal(image: &str) -> String {
    let (name, tail) = match image.split_once('@') {
        Some((name, digest)) => (name, format!("@{digest}")),
        None => match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, format!(":{tag}")),
            _ => (image, ":latest".to_owned()),
        },
    };
    let first = name.split('/').next().unwrap_or_default();
    let has_host = name.contains('/') && (first.contains('.') || first.contains(':') || first == "localhost");
    match (has_host, name.contains('/')) {
        (true, _) => format!("{name}{tail}"),
        (false, true) => format!("docker.io/{name}{tail}"),
        (false, false) => format!("docker.io/library/{name}{tail}"),
    }
}

pub(crate) type Labels = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fake_passes_the_suite() {
        let clock = Arc::new(stdx::ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
        let fake = FakeRuntime::new(clock);
        fake.add_image("busybox");
        fake.script("busybox", Behaviour::runs_forever());
        crate::suite::check(&fake, "busybox").await;
    }

    #[test]
    fn image_names_are_completed_as_docker_does() {
        for (given, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("r.io/x@sha256:1", "r.io/x@sha256:1"),
        ] {
            assert_eq!(normal(given), full);
        }
    }
}
