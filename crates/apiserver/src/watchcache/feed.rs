//! Fills all caches from the store and follows it with one watch: the only reader of the store's history.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Gvr, Object, Revision};
use futures::FutureExt;
use stdx::Backoff;
use store::{Range, Store, StoreError, WatchItem, WatchStream};

use super::WatchCache;
use super::caches::Caches;
use crate::served::Served;
use crate::storage;

const PAGE_MAX: usize = 1000;
/// Items of the store that are applied before anybody is told.
const BATCH_MAX: usize = 256;
const DEFINITIONS_PREFIX: &[u8] = b"/registry/apiextensions.k8s.io/customresourcedefinitions/";
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// Reads everything; the caches stand at the revision that is returned.
pub async fn fill(store: &dyn Store, caches: &Caches) -> Result<Revision, StoreError> {
    let mut objects: HashMap<Gvr, Vec<Object>> = HashMap::new();
    let mut start: store::StoreKey = storage::START.into();
    let mut at = None;
    loop {
        let page = store.range(Range { start, end: storage::END.into(), at, limit: Some(PAGE_MAX) }).await?;
        for entry in &page.entries {
            if let Some((cache, _)) = caches.route(&entry.key)
                && let Some(object) = cache.decode(&entry.value, entry.modified)
            {
                objects.entry(cache.resource.gvr.clone()).or_default().push(object);
            }
        }
        at = Some(page.revision);
        match page.entries.last().filter(|_| page.more) {
            Some(last) => start = [&*last.key, &[0]].concat().into(),
            None => break,
        }
    }
    let revision = at.unwrap_or_default();
    for cache in caches.all() {
        cache.reset(objects.remove(&cache.resource.gvr).unwrap_or_default(), revision);
    }
    caches.advance(revision);
    Ok(revision)
}

/// Reads all objects of one resource, which begins to be served. The feed goes on behind what was read.
pub async fn fill_one(store: &dyn Store, cache: &WatchCache) -> Result<(), StoreError> {
    let start = storage::prefix(&cache.resource.gvr);
    let mut end = start.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let page = store.range(Range { start: start.into(), end: end.into(), at: None, limit: None }).await?;
    let objects = page.entries.iter().filter_map(|entry| cache.restore(&entry.value, entry.modified));
    cache.reset(objects.collect(), page.revision);
    Ok(())
}

/// Follows the store from `after` until the task is dropped. When the watch breaks, everything is read again.
pub async fn follow(store: Arc<dyn Store>, served: Arc<Served>, mut after: Revision) {
    let mut failures = 0;
    loop {
        match store.watch(storage::START.into(), storage::END.into(), after).await {
            Ok(stream) => {
                failures = 0;
                after = drain(stream, &*store, &served, after).await;
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, %after, "cannot watch the store; reading everything again");
                failures += 1;
                tokio::time::sleep(RETRY.delay(failures)).await;
                match refill(&*store, &served).await {
                    Ok(revision) => after = revision,
                    Err(error) => tracing::warn!(%error, "cannot read the store"),
                }
            }
        }
    }
}

async fn refill(store: &dyn Store, served: &Served) -> Result<Revision, StoreError> {
    let revision = fill(store, served.caches()).await?;
    served.follow_all(store).await?;
    Ok(revision)
}

/// Applies items until the stream ends; returns how far it came, which is where the next watch begins.
async fn drain(mut stream: Box<dyn WatchStream>, store: &dyn Store, served: &Served, mut after: Revision) -> Revision {
    while let Some(first) = stream.next().await {
        // What is there at once is applied at once, so that those who wait for a revision are woken once a batch.
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Some(item) = stream.next().now_or_never().flatten()
        {
            batch.push(item);
        }
        for item in batch {
            match item {
                Ok(item) => after = after.max(apply(item, store, served).await),
                Err(error) => {
                    tracing::warn!(%error, "the store's watch broke");
                    return after;
                }
            }
        }
        served.caches().advance(after);
    }
    after
}

/// Returns the revision up to which everything is known now.
async fn apply(item: WatchItem, store: &dyn Store, served: &Served) -> Revision {
    let events = match item {
        WatchItem::Progress(revision) => return revision,
        WatchItem::Events(events) => events,
    };
    events.iter().for_each(|event| served.caches().apply(event));
    for event in &events {
        let Some((prefix, key)) = storage::split_key(&event.key) else { continue };
        if prefix == DEFINITIONS_PREFIX
            && let Err(error) = served.follow(store, &key).await
        {
            tracing::error!(%error, definition = &*key.name, "cannot serve a custom resource");
        }
    }
    events.iter().map(|event| event.revision).max().unwrap_or_default()
}
