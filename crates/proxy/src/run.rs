//! Keeps the kernel's rules in step with Services and EndpointSlices.
//!
//! Changes only name services to look at again. All that have come by the time the last transaction is done go into the
//! next one together.

use std::collections::BTreeSet;

use api::typed::{EndpointSlice, Service, Typed};
use api::{Key as ServiceKey, Object};
use cache::index::{BY_SERVICE, service_of};
use cache::{Change, Snapshot};
use client::hub::HubBuilder;
use client::{Hub, News};

use crate::compile::{Facts, compile};
use crate::render::{self, Frame};
use crate::rule::{Backend, Front, Rules};
use crate::table::{Delta, ServiceTable};

/// How long to wait before a refused transaction is tried again, whole.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Adds what the proxy follows to the cache of its process.
pub fn follow(builder: HubBuilder) -> HubBuilder {
    builder.resource(Service::GVR, &[]).resource(EndpointSlice::GVR, &[BY_SERVICE])
}

/// Applies rules in the node's network namespace; the seam between deciding and the kernel.
pub trait Dataplane: Send + Sync + 'static {
    /// One transaction.
    fn apply(&self, text: &str) -> Result<(), String>;
    /// Forgets the datagram flows that go to these backends.
    fn forget_flows(&self, flows: &[(Front, Backend)]);
}

/// Runs until it is dropped. `hub` must follow what [`follow`] names.
pub async fn run(hub: Hub, facts: Facts, frame: Frame, dataplane: std::sync::Arc<dyn Dataplane>) {
    let mut changes = hub.changes();
    let mut state = State::new(facts, frame);
    loop {
        let mut dirty = BTreeSet::new();
        if state.loaded {
            let news = changes.next().await;
            mark(&hub, &state, news, &mut dirty);
        } else {
            hub.synced().await;
            mark_all(&hub.snapshot(), &state, &mut dirty);
        }
        while let Some(news) = changes.next_ready() {
            mark(&hub, &state, news, &mut dirty);
        }
        let (text, stale) = state.transaction(&hub.snapshot(), dirty);
        if text.is_empty() {
            continue;
        }
        let plane = dataplane.clone();
        let applied = tokio::task::spawn_blocking(move || {
            plane.apply(&text)?;
            plane.forget_flows(&stale);
            Ok::<(), String>(())
        });
        // A panic leaves the kernel as unknown as a refusal does.
        match applied.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(()) => state.loaded = true,
            Err(error) => {
                tracing::error!("service rules were not applied, trying again whole: {error}");
                state = State::new(state.facts, state.frame);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

struct State {
    facts: Facts,
    frame: Frame,
    table: ServiceTable,
    endpoint_counts: BTreeSet<usize>,
    /// The kernel holds the frame and all rules of `table`.
    loaded: bool,
}

impl State {
    fn new(facts: Facts, frame: Frame) -> Self {
        Self { facts, frame, table: ServiceTable::default(), endpoint_counts: BTreeSet::new(), loaded: false }
    }

    /// The text that brings the kernel up to date about the dirty services, and the flows that it must forget.
    fn transaction(&mut self, snapshot: &Snapshot, dirty: BTreeSet<ServiceKey>) -> (String, Vec<(Front, Backend)>) {
        let mut text = if self.loaded { String::new() } else { render::frame(&self.frame) };
        let mut whole = Delta::default();
        for key in dirty {
            let rules = rules_of(snapshot, &key, &self.facts);
            let delta = self.table.put(&key, rules);
            text += &render::delta(&delta, &mut self.endpoint_counts);
            whole.removed.extend(delta.removed);
            whole.added.extend(delta.added);
        }
        (text, render::stale_flows(&whole))
    }
}

fn rules_of(snapshot: &Snapshot, key: &ServiceKey, facts: &Facts) -> Rules {
    let Some(object) = snapshot.get(&Service::GVR, key) else { return Rules::new() };
    let value = key.to_string();
    let slices = snapshot.by_index(&EndpointSlice::GVR, BY_SERVICE.name, &value);
    let slices: Result<Vec<EndpointSlice>, _> = slices.map(Object::typed).collect();
    match (object.typed::<Service>(), slices) {
        (Ok(service), Ok(slices)) => compile(&service, &slices, facts),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(service = %key, "cannot read the service or its endpoints: {error}");
            Rules::new()
        }
    }
}

fn mark(hub: &Hub, state: &State, news: News, dirty: &mut BTreeSet<ServiceKey>) {
    match news {
        News::Resync => mark_all(&hub.snapshot(), state, dirty),
        News::Changed(change) => mark_change(&change.1, *change.0.resource == *Service::GVR.resource, dirty),
    }
}

fn mark_change(change: &Change, is_service: bool, dirty: &mut BTreeSet<ServiceKey>) {
    for object in [&change.before, &change.after].into_iter().flatten() {
        if is_service {
            dirty.insert(object.key());
        } else {
            dirty.extend(service_of(object));
        }
    }
}

fn mark_all(snapshot: &Snapshot, state: &State, dirty: &mut BTreeSet<ServiceKey>) {
    dirty.extend(snapshot.list(&Service::GVR, None).map(Object::key));
    dirty.extend(state.table.services().cloned());
}
