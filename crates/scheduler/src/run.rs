//! The scheduler's one contact with the world: changes from the API in, bindings and conditions out.
//!
//! One task owns the state machine. Writes run beside it, at most [`WRITES_MAX`] at once; deciding pauses at that bound.

use std::collections::BTreeSet;
use std::time::Duration;

use api::typed::k8s_openapi::api::core::v1::PodCondition;
use api::typed::{Namespace, Node, Pod, Typed};
use api::{Gvr, Object};
use cache::{Change, Note};
use client::hub::HubBuilder;
use client::{Client, DeleteOptions, Env, Hub, News, Patch, Recorder};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::preemption::Preemption;
use crate::scheduler::{Decision, Scheduler};

/// Bindings and status writes on their way.
const WRITES_MAX: usize = 64;

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

/// Adds what the scheduler follows to the cache of its process.
pub fn follow(builder: HubBuilder) -> HubBuilder {
    builder.resource(BUDGETS, &[]).resource(Namespace::GVR, &[]).resource(Pod::GVR, &[]).resource(Node::GVR, &[])
}

/// Runs until it is dropped. `hub` must follow what [`follow`] names.
pub async fn run(client: Client, hub: Hub, recorder: Recorder, env: Env) {
    let scheduler = Scheduler::new(crate::DEFAULT_SCHEDULER, env.rng.clone());
    let mut running = Running { scheduler, client, recorder, env, writes: JoinSet::new() };
    let mut changes = hub.changes();
    loop {
        running.decide_all();
        let alarm = running.time_to_alarm();
        tokio::select! {
            biased;
            Some(done) = running.writes.join_next(), if !running.writes.is_empty() => running.written(done.ok()),
            news = changes.next() => {
                running.take(&hub, news);
                while let Some(news) = changes.next_ready() {
                    running.take(&hub, news);
                }
            }
            () = sleep(alarm), if alarm.is_some() => {}
        }
    }
}

struct Running {
    scheduler: Scheduler,
    client: Client,
    recorder: Recorder,
    env: Env,
    writes: JoinSet<Written>,
}

/// How a write ended, as far as the state machine must know.
struct Written {
    /// The pod whose binding was refused.
    unbound: Option<Box<str>>,
}

impl Running {
    fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    fn time_to_alarm(&self) -> Option<Duration> {
        let left = self.scheduler.next_alarm()?.duration_since(self.now());
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    fn decide_all(&mut self) {
        while self.writes.len() < WRITES_MAX {
            let Some(decision) = self.scheduler.decide(self.now()) else { return };
            let (client, recorder, now) = (self.client.clone(), self.recorder.clone(), self.now());
            match decision {
                Decision::Bind { pod, node } => self.writes.spawn(bind(client, recorder, pod, node)),
                Decision::Unschedulable { pod, message, preemption } => {
                    self.writes.spawn(tell_unschedulable(client, recorder, pod, message, preemption, now))
                }
            };
        }
    }

    fn written(&mut self, done: Option<Written>) {
        if let Some(uid) = done.and_then(|written| written.unbound) {
            self.scheduler.binding_failed(&uid, self.now());
        }
    }

    fn take(&mut self, hub: &Hub, news: News) {
        match news {
            News::Changed(change) => {
                let (resource, change) = &*change;
                self.apply(resource, change);
            }
            News::Resync => self.resync(hub),
        }
    }

    fn apply(&mut self, resource: &Gvr, change: &Change) {
        let now = self.now();
        let taken = if *resource == Pod::GVR {
            self.scheduler.on_pod(change, now)
        } else if *resource == Node::GVR {
            self.scheduler.on_node(change, now)
        } else {
            if *resource == Namespace::GVR {
                self.scheduler.on_namespace(change);
            } else if *resource == BUDGETS {
                self.scheduler.on_budget(change);
            }
            Ok(())
        };
        if let Err(error) = taken {
            let name = change.object().map(Object::key);
            tracing::warn!(%resource, ?name, "cannot read an object: {error}");
        }
    }

    /// Brings the state machine to what the snapshot shows, whatever was missed.
    fn resync(&mut self, hub: &Hub) {
        let snapshot = hub.snapshot();
        let (mut nodes, mut pods) = (BTreeSet::new(), BTreeSet::new());
        for resource in [Namespace::GVR, BUDGETS] {
            for object in snapshot.list(&resource, None) {
                let change = Change { revision: object.revision(), before: None, after: Some(object.clone()) };
                self.apply(&resource, &change);
            }
        }
        for resource in [Node::GVR, Pod::GVR] {
            for object in snapshot.list(&resource, None) {
                let seen = if resource == Node::GVR { &mut nodes } else { &mut pods };
                seen.insert(Box::from(if resource == Node::GVR { object.name() } else { object.uid() }));
                let change = Change { revision: object.revision(), before: None, after: Some(object.clone()) };
                self.apply(&resource, &change);
            }
        }
        self.scheduler.retain(&nodes, &pods, self.now());
    }
}

async fn sleep(time: Option<Duration>) {
    if let Some(time) = time {
        tokio::time::sleep(time).await;
    }
}

async fn bind(client: Client, recorder: Recorder, pod: Object, node: Box<str>) -> Written {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let path = format!("{}/binding", Pod::GVR.path(pod.namespace(), pod.name()));
    match client.post(&path, &binding).await {
        Ok(_) => {
            let message = format!("Successfully assigned {} to {node}", pod.key());
            recorder.record(Note::normal(&pod, "Scheduled", message));
            Written { unbound: None }
        }
        Err(error) => {
            tracing::warn!(pod = %pod.key(), %node, "binding failed: {error}");
            Written { unbound: Some(pod.uid().into()) }
        }
    }
}

async fn tell_unschedulable(
    client: Client,
    recorder: Recorder,
    pod: Object,
    message: String,
    preemption: Option<Preemption>,
    now: Timestamp,
) -> Written {
    let mut nominated = None;
    if let Some(Preemption { node, victims }) = preemption {
        for victim in &victims {
            evict(&client, &recorder, victim, &pod, &node, now).await;
        }
        nominated = Some(node);
    }
    recorder.record(Note::warning(&pod, "FailedScheduling", message.clone()));
    if let Some(patch) = unschedulable_patch(&pod, &message, nominated.as_deref(), now) {
        let written = client.patch_object(&Pod::GVR, &pod.key(), "status", &Patch::Strategic(patch)).await;
        // The pod is gone or changed: its own event brings it back here.
        if let Err(error) = written {
            tracing::debug!(pod = %pod.key(), "cannot tell that it is unschedulable: {error}");
        }
    }
    Written { unbound: None }
}

/// Tells a pod that it has to go, and deletes it. What fails is tried again with the next attempt of the preemptor.
async fn evict(client: &Client, recorder: &Recorder, victim: &Object, preemptor: &Object, node: &str, now: Timestamp) {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{}: preempting to accommodate a higher priority pod", crate::DEFAULT_SCHEDULER),
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let patch = Patch::Strategic(json!({"metadata": {"uid": victim.uid()}, "status": {"conditions": [condition]}}));
    let options = DeleteOptions { uid: Some(victim.uid().to_owned()), ..DeleteOptions::default() };
    let key = victim.key();
    let done = match client.patch_object(&Pod::GVR, &key, "status", &patch).await {
        Ok(_) => client.delete_object(&Pod::GVR, &key, &options).await.map(drop),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => {
            let message = format!("Preempted by pod {} on node {node}", preemptor.uid());
            recorder.record(Note::normal(victim, "Preempted", message));
        }
        Err(error) => tracing::info!(pod = %key, "cannot preempt: {error}"),
    }
}

/// The PodScheduled condition and the nominated node, unless the pod has them already.
fn unschedulable_patch(pod: &Object, message: &str, nominated: Option<&str>, now: Timestamp) -> Option<Value> {
    let typed: Pod = pod.typed().ok()?;
    let status = typed.status.unwrap_or_default();
    let is_nominated = nominated.is_none_or(|node| status.nominated_node_name.as_deref() == Some(node));
    let conditions = status.conditions.unwrap_or_default();
    let known = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled");
    let is_told = |known: &PodCondition| known.status == "False" && known.message.as_deref() == Some(message);
    if is_nominated && known.as_ref().is_some_and(is_told) {
        return None;
    }
    let since = known.filter(|known| known.status == "False").and_then(|known| known.last_transition_time);
    let since = since.map_or(now, |time| time.0);
    let mut patch = json!({
        "metadata": {"uid": pod.uid()},
        "status": {"conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }]},
    });
    if let Some(node) = nominated {
        patch["status"]["nominatedNodeName"] = json!(node);
    }
    Some(patch)
}
