//! All watch caches, and how far they have followed the store: one feed fills them all, so one revision holds for all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::{Gvr, Key, Revision, Status};
use arc_swap::ArcSwap;
use rpds::HashTrieMapSync;
use stdx::Signal;
use store::{Store, StoreEvent};

use super::WatchCache;
use crate::registry::Registry;
use crate::storage;

/// How long a consistent read waits for the caches.
const WAIT_MAX: Duration = Duration::from_secs(3);

pub struct Caches {
    by_gvr: BTreeMap<Gvr, Arc<WatchCache>>,
    by_prefix: HashMap<Vec<u8>, Arc<WatchCache>>,
    /// Those of custom resources, by prefix; one for all versions.
    custom: ArcSwap<HashTrieMapSync<Vec<u8>, Arc<WatchCache>>>,
    progress: Signal<Revision>,
}

impl Caches {
    /// One cache for each resource that is stored as itself.
    pub fn new(registry: &Registry) -> Self {
        let stored = registry.all().filter(|resource| resource.stored_as.is_none() && resource.review.is_none());
        let caches: Vec<_> = stored.map(|resource| Arc::new(WatchCache::new(resource.clone()))).collect();
        Self {
            by_prefix: caches.iter().map(|cache| (storage::prefix(&cache.resource.gvr), cache.clone())).collect(),
            by_gvr: caches.into_iter().map(|cache| (cache.resource.gvr.clone(), cache)).collect(),
            custom: ArcSwap::default(),
            progress: Signal::new(Revision::ZERO),
        }
    }

    pub fn get(&self, resource: &Gvr) -> Option<Arc<WatchCache>> {
        let built_in = self.by_gvr.get(resource).cloned();
        built_in.or_else(|| self.custom.load().get(&storage::prefix(resource)).cloned())
    }

    /// Begins to feed the cache of a custom resource. It stands in the place of any former one, whose watchers end.
    pub(crate) fn insert_custom(&self, cache: Arc<WatchCache>) {
        let prefix = storage::prefix(&cache.resource.gvr);
        let before = self.custom.rcu(|caches| caches.insert(prefix.clone(), cache.clone()));
        before.get(&prefix).into_iter().for_each(|former| former.close());
    }

    /// Ends the cache of a custom resource, and its watchers.
    pub(crate) fn remove_custom(&self, resource: &Gvr) {
        let prefix = storage::prefix(resource);
        let before = self.custom.rcu(|caches| caches.remove(&prefix));
        before.get(&prefix).into_iter().for_each(|former| former.close());
    }

    pub fn all(&self) -> Vec<Arc<WatchCache>> {
        self.by_gvr.values().chain(self.custom.load().values()).cloned().collect()
    }

    pub(super) fn route<'a>(&self, key: &'a [u8]) -> Option<(Arc<WatchCache>, Key)> {
        let (prefix, key): (&'a [u8], Key) = storage::split_key(key)?;
        let built_in = self.by_prefix.get(prefix).cloned();
        Some((built_in.or_else(|| self.custom.load().get(prefix).cloned())?, key))
    }

    pub(super) fn apply(&self, event: &StoreEvent) {
        let Some((cache, key)) = self.route(&event.key) else { return };
        let object = event.value.as_ref().and_then(|stored| cache.decode(stored, event.revision));
        cache.apply(&key, object, event.revision);
    }

    /// Everything up to `revision` is in the caches. Gives the time to say so again, where watchers wait to be woken.
    pub(super) fn advance(&self, revision: Revision) {
        self.all().iter().for_each(|cache| cache.advance(revision));
        self.progress.update(|now| *now = revision);
    }

    pub fn revision(&self) -> Revision {
        self.progress.read(|now| *now)
    }

    /// Waits until the caches hold everything up to `revision`.
    pub async fn reach(&self, revision: Revision) -> Result<(), Status> {
        if self.revision() >= revision {
            return Ok(());
        }
        let reached = self.progress.wait_for(|now| *now >= revision);
        tokio::time::timeout(WAIT_MAX, reached).await.map_err(|_| too_large(revision, self.revision()))
    }

    /// Waits until the caches hold everything that was acknowledged before this call.
    pub async fn catch_up(&self, store: &dyn Store) -> Result<(), Status> {
        let newest = store.current().await.map_err(storage::failed)?;
        self.reach(newest).await
    }
}

fn too_large(asked: Revision, newest: Revision) -> Status {
    let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
    let cause = api::status::Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    let details = api::status::Details { causes: vec![cause], retry_after_seconds: 1, ..Default::default() };
    Status::failure(504, "Timeout", message).with_details(details)
}
