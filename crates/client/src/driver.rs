//! The one driver of every controller: it wakes keys on news from the hub, plans them over the hub's snapshot, executes
//! the plans and waits until the hub shows what was written.
//!
//! ```text
//! hub news --wakes--> Queue --pop--> worker: plan, execute --> Outcome --> Queue (backoff, timer, barrier)
//! ```
//! Each controller has a lane of its own: its queue, its identity, its Events, at most [`WORKERS_MAX`] workers, and one
//! worker at a time for a key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::{Gvr, Key};
use cache::{Controller, Discovery, Snapshot};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::env::Env;
use crate::execute::Executor;
use crate::hub::{Hub, News};
use crate::queue::{Barrier, Outcome, Queue};
use crate::recorder::Recorder;
use crate::transport::Transport;

mod discovery;

/// How many keys of one controller are worked on at once.
const WORKERS_MAX: usize = 5;

/// Runs the controllers until the returned future is dropped. The hub must follow what they watch
/// ([`crate::hub::HubBuilder::controllers`]).
///
/// `transport_for` is asked once a controller, with its user name, such as
/// `system:serviceaccount:kube-system:replicaset-controller`.
pub async fn run(
    hub: Hub,
    controllers: Vec<Arc<dyn Controller>>,
    transport_for: impl Fn(&str) -> Arc<dyn Transport>,
    env: Env,
) {
    let mut lanes = JoinSet::new();
    let discoveries: Vec<Discovery> = controllers.iter().filter_map(|controller| controller.discovers()).collect();
    if !discoveries.is_empty() {
        lanes.spawn(discovery::run(hub.clone(), discoveries));
    }
    for controller in controllers {
        let user = format!("system:serviceaccount:kube-system:{}", controller.account());
        let client = Client::new(transport_for(&user), controller.name());
        lanes.spawn(Lane::new(hub.clone(), controller, client, env.clone()).run());
    }
    while let Some(ended) = lanes.join_next().await {
        if let Err(error) = ended {
            tracing::error!("a controller stopped: {error}");
        }
    }
}

struct Lane {
    hub: Hub,
    controller: Arc<dyn Controller>,
    executor: Arc<Executor>,
    interests: BTreeSet<Gvr>,
    /// Whatever is followed concerns it.
    discovers: bool,
    queue: Queue,
    workers: JoinSet<(Key, Outcome)>,
    env: Env,
}

impl Lane {
    fn new(hub: Hub, controller: Arc<dyn Controller>, client: Client, env: Env) -> Self {
        let recorder = Recorder::start(client.clone(), controller.name(), "", env.clone());
        Self {
            interests: controller.watches().into_iter().map(|interest| interest.resource).collect(),
            discovers: controller.discovers().is_some(),
            executor: Arc::new(Executor { client, recorder, rng: env.rng.clone(), manager: controller.name() }),
            hub,
            controller,
            queue: Queue::default(),
            workers: JoinSet::new(),
            env,
        }
    }

    async fn run(mut self) {
        let mut changes = self.hub.changes();
        let mut published = self.hub.published();
        let hub = self.hub.clone();
        loop {
            self.queue.fire(Instant::now());
            while self.workers.len() < WORKERS_MAX
                && let Some(key) = self.queue.pop()
            {
                self.spawn(key);
            }
            let timer = self.queue.next_timer();
            tokio::select! {
                biased;
                Some(done) = self.workers.join_next() => self.finish(done),
                news = changes.next() => {
                    let snapshot = hub.snapshot();
                    self.wake(&snapshot, &news);
                    while let Some(news) = changes.next_ready() {
                        self.wake(&snapshot, &news);
                    }
                }
                () = hub.publishes_after(published), if self.queue.has_blocked() => {
                    published = hub.published();
                    self.unblock();
                }
                () = sleep_until(timer), if timer.is_some() => {}
            }
        }
    }

    fn wake(&mut self, snapshot: &Snapshot, news: &News) {
        match news {
            News::Changed(change) => self.wake_by(snapshot, &change.0, &change.1),
            News::Resync => {
                let snapshot = self.hub.snapshot();
                for resource in snapshot.resources() {
                    for object in snapshot.list(resource, None) {
                        let after = Some(object.clone());
                        let change = cache::Change { revision: object.revision(), before: None, after };
                        self.wake_by(&snapshot, resource, &change);
                    }
                }
            }
        }
    }

    fn wake_by(&mut self, snapshot: &Snapshot, resource: &Gvr, change: &cache::Change) {
        if self.discovers || self.interests.contains(resource) {
            for key in self.controller.wakes(snapshot, resource, change) {
                self.queue.wake(key);
            }
        }
    }

    fn spawn(&mut self, key: Key) {
        let controller = Arc::clone(&self.controller);
        let executor = Arc::clone(&self.executor);
        let hub = self.hub.clone();
        let env = self.env.clone();
        self.workers.spawn(async move {
            let outcome = work(&*controller, &executor, &hub, &env, &key).await;
            (key, outcome)
        });
    }

    fn finish(&mut self, done: Result<(Key, Outcome), tokio::task::JoinError>) {
        match done {
            Ok((key, outcome)) => {
                let jitter = self.env.rng.next_u64();
                self.queue.finish(&key, outcome, Instant::now(), jitter);
                self.unblock();
            }
            // The key stays taken: planning it again would fail again. The others go on.
            Err(error) => tracing::error!("{}: a plan broke: {error}", self.controller.name()),
        }
    }

    fn unblock(&mut self) {
        let snapshot = self.hub.snapshot();
        self.queue.unblock(|barrier| is_seen(&snapshot, barrier));
    }
}

async fn work(controller: &dyn Controller, executor: &Executor, hub: &Hub, env: &Env, key: &Key) -> Outcome {
    let now = env.clock.now();
    let plan = controller.plan(&hub.snapshot(), key, now);
    match plan {
        Ok(plan) => {
            let wake_at = plan.wake_at.map(|at| instant_of(at, now));
            let mut outcome = executor.execute(key, plan).await;
            outcome.wake_at = wake_at;
            outcome
        }
        Err(error) => {
            tracing::warn!("{}: cannot plan {key}: {error}", controller.name());
            Outcome { failed: true, ..Outcome::default() }
        }
    }
}

/// Whether the snapshot shows a write. A resource that is not followed cannot be waited for.
fn is_seen(snapshot: &Snapshot, barrier: &Barrier) -> bool {
    match barrier {
        Barrier::AtLeast(resource, revision) => {
            snapshot.table(resource).is_none_or(|table| table.revision() >= *revision)
        }
        Barrier::Gone(resource, key, uid) => {
            snapshot.get(resource, key).is_none_or(|object| object.uid() != &**uid || object.is_deleting())
        }
    }
}

fn instant_of(at: Timestamp, now: Timestamp) -> Instant {
    let millis = u64::try_from(at.duration_since(now).as_millis()).unwrap_or(0);
    // One more, because the clock of objects is coarser than the timer's.
    Instant::now() + Duration::from_millis(millis + 1)
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests;
