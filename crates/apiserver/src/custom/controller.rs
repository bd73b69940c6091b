//! Keeps the status of definitions, and empties those that are being deleted.
//!
//! ```text
//! created -> names accepted, established -> (served) -> deletion asked for -> instances deleted -> finalizer removed -> gone
//! ```
//! It reads the watch cache and writes through the same verbs as everybody, as the API server itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{Key, Status};
use serde_json::Value;
use stdx::Backoff;
use tokio::task::JoinSet;

use super::status::{self, Condition, Names};
use crate::engine::Engine;
use crate::request::{ResourceRequest, Verb};
use crate::served::DEFINITIONS;
use crate::tree;
use crate::verbs::RequestContext;
use crate::watchcache::{Look, Registration};

pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const RETRY: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));

/// Runs until the engine is gone.
pub async fn run(engine: Weak<Engine>) {
    let mut names = Names::default();
    let mut emptying = Emptying::default();
    loop {
        let Some((first, place)) = begin(&engine, &mut names) else { return };
        let mut queue: VecDeque<String> = first.into();
        loop {
            let Some(strong) = engine.upgrade() else { return };
            while let Some(name) = queue.pop_front() {
                let also = sync(&strong, &name, &mut names, &mut emptying).await;
                queue.extend(also);
            }
            drop(strong);
            place.woken().await;
            match place.look() {
                Look::Events(events) => {
                    let objects = events.iter().filter_map(|event| event.after.as_ref().or(event.before.as_ref()));
                    let changed: BTreeSet<String> = objects.map(|object| object.name().to_owned()).collect();
                    queue.extend(changed);
                }
                Look::Nothing => {}
                Look::Gone | Look::Closed => break,
            }
        }
    }
}

/// All definitions of this moment, and a place behind them.
fn begin(engine: &Weak<Engine>, names: &mut Names) -> Option<(Vec<String>, Registration)> {
    let engine = engine.upgrade()?;
    let (table, place) = engine.caches().get(&DEFINITIONS)?.list_and_watch(None);
    let trees = table.iter().filter_map(|object| object.tree().ok());
    trees.for_each(|tree| names.note(&tree));
    Some((table.iter().map(|object| object.name().to_owned()).collect(), place))
}

/// The definitions whose instances are being deleted, each by a task of its own.
#[derive(Default)]
struct Emptying {
    tasks: JoinSet<String>,
    names: BTreeSet<String>,
}

/// Brings one definition on; gives the names of others that have to be looked at because of it.
async fn sync(engine: &Arc<Engine>, name: &str, names: &mut Names, emptying: &mut Emptying) -> Vec<String> {
    while let Some(done) = emptying.tasks.try_join_next() {
        if let Ok(name) = done {
            emptying.names.remove(&name);
        }
    }
    let Some(tree) = read(engine, name) else { return names.forget(name) };
    names.note(&tree);
    if tree::is_set(&tree, "metadata.deletionTimestamp") {
        if tree::texts(&tree, "metadata.finalizers").contains(&FINALIZER) && emptying.names.insert(name.to_owned()) {
            emptying.tasks.spawn(empty(engine.clone(), name.to_owned()));
        }
        return Vec::new();
    }
    let Some(next) = status::next(&tree, names, engine.clock().now()) else { return Vec::new() };
    match write(engine, &next).await {
        Ok(()) => names.note(&next),
        // Whoever was faster made an event, with which this begins anew.
        Err(status) if status.is_conflict() || status.is_not_found() => {}
        Err(status) => tracing::warn!(%status, name, "cannot write the status of a definition"),
    }
    Vec::new()
}

fn read(engine: &Engine, name: &str) -> Option<Value> {
    engine.table(&DEFINITIONS)?.get(&Key::cluster(name))?.tree().ok()
}

/// Deletes all instances, waits until they are gone, and lets the definition go.
async fn empty(engine: Arc<Engine>, name: String) -> String {
    let mut failures = 0;
    while let Err(status) = try_empty(&engine, &name).await {
        failures += 1;
        if !status.is_conflict() {
            tracing::warn!(%status, name, "cannot empty a custom resource yet");
        }
        tokio::time::sleep(RETRY.delay(failures)).await;
    }
    name
}

async fn try_empty(engine: &Arc<Engine>, name: &str) -> Result<(), Status> {
    engine.caches().catch_up(&**engine.store()).await?;
    let Some(mut tree) = read(engine, name) else { return Ok(()) };
    if !tree::texts(&tree, "metadata.finalizers").contains(&FINALIZER) {
        return Ok(());
    }
    let terminating = |status, reason, message: &str| Condition::new("Terminating", status, reason, message);
    let done = if status::is_true(&tree, "Established") {
        let running = terminating(true, "InstanceDeletionInProgress", "CustomResource deletion is in progress");
        running.set(&mut tree, engine.clock().now());
        write(engine, &tree).await?;
        delete_instances(engine, &tree).await?;
        terminating(false, "InstanceDeletionCompleted", "removed all instances")
    } else {
        terminating(false, "NeverEstablished", "resource was never established")
    };
    engine.caches().catch_up(&**engine.store()).await?;
    let Some(mut tree) = read(engine, name) else { return Ok(()) };
    done.set(&mut tree, engine.clock().now());
    tree::list_mut(&mut tree, "metadata.finalizers").retain(|finalizer| finalizer != FINALIZER);
    match write(engine, &tree).await {
        Err(status) if status.is_not_found() => Ok(()),
        written => written,
    }
}

async fn delete_instances(engine: &Arc<Engine>, definition: &Value) -> Result<(), Status> {
    let (group, plural) = (tree::text(definition, "spec.group"), tree::text(definition, "spec.names.plural"));
    let registry = engine.registry();
    // Without a served version there is no way to its objects, for us as for anybody.
    let found = registry.all().find(|resource| resource.gvr.group == group && resource.gvr.resource == plural);
    let Some(resource) = found else { return Ok(()) };
    let Some(cache) = engine.caches().get(&resource.gvr) else { return Ok(()) };
    loop {
        engine.caches().catch_up(&**engine.store()).await?;
        let (table, place) = cache.list_and_watch(None);
        if table.is_empty() {
            return Ok(());
        }
        let namespaces: BTreeSet<String> = table.iter().map(|object| object.namespace().to_owned()).collect();
        for namespace in namespaces {
            let all = Key::new(&namespace, "");
            let info = ResourceRequest::of(Verb::DeleteCollection, &resource.gvr, &all, "");
            Box::pin(engine.dispatch(RequestContext::own(info, String::new()))).await?;
        }
        // Finalizers may hold some; each that goes wakes this.
        if !cache.table().is_empty() && matches!(place.look(), Look::Nothing) {
            place.woken().await;
        }
    }
}

async fn write(engine: &Arc<Engine>, definition: &Value) -> Result<(), Status> {
    let key = Key::cluster(tree::text(definition, "metadata.name"));
    let info = ResourceRequest::of(Verb::Update, &DEFINITIONS, &key, "status");
    Box::pin(engine.dispatch(RequestContext::own(info, definition.to_string()))).await.map(drop)
}
