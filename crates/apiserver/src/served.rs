//! What is served at this moment: the registry and the watch caches, which follow the CustomResourceDefinitions.
//!
//! ```text
//! store event of a definition -> feed -> Served::follow -> cache filled from the store -> registry swapped
//! ```
//! The feed, which is the one reader of the store's history, is the only one that changes anything here; so a cache is
//! filled and then fed without a gap, and whoever has waited for a definition's revision finds its resources served.
//! Readers load a pointer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Gvr, Key, Object};
use arc_swap::ArcSwap;
use store::{Store, StoreError};

use crate::custom::Definition;
use crate::registry::Registry;
use crate::watchcache::caches::Caches;
use crate::watchcache::{WatchCache, feed};

pub const DEFINITIONS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");

pub struct Served {
    registry: ArcSwap<Registry>,
    caches: Arc<Caches>,
    /// By the name of the definition. Only the feed's task takes the lock.
    following: Mutex<BTreeMap<Box<str>, Followed>>,
}

/// A definition whose resources are served.
struct Followed {
    definition: Definition,
    served: Vec<Gvr>,
}

impl Served {
    pub fn new(registry: Registry) -> Self {
        let caches = Arc::new(Caches::new(&registry));
        Self { registry: ArcSwap::from_pointee(registry), caches, following: Mutex::default() }
    }

    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    pub fn caches(&self) -> &Arc<Caches> {
        &self.caches
    }

    /// Makes what is served agree with all definitions in the cache.
    pub async fn follow_all(&self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(cache) = self.caches.get(&DEFINITIONS) else { return Ok(()) };
        let table = cache.table();
        let known: Vec<Key> = self.followed().keys().map(|name| Key::cluster(name)).collect();
        let gone = known.into_iter().filter(|key| table.get(key).is_none());
        let keys: Vec<Key> = gone.chain(table.iter().map(Object::key)).collect();
        for key in keys {
            self.follow(store, &key).await?;
        }
        Ok(())
    }

    /// Makes what is served agree with one definition as it is in the cache now.
    pub async fn follow(&self, store: &dyn Store, key: &Key) -> Result<(), StoreError> {
        let object = self.caches.get(&DEFINITIONS).and_then(|cache| cache.table().get(key).cloned());
        let Some(definition) = object.as_ref().and_then(Definition::read).filter(|it| it.established) else {
            self.forget(&key.name);
            return Ok(());
        };
        let same = self.followed().get(&key.name).map(|present| present.definition.is_same(&definition));
        let resources: Vec<_> = definition.resources().into_iter().map(Arc::new).collect();
        match (same, resources.first()) {
            // Only conditions changed; the cache stays, and so do its watchers.
            (Some(true), _) => {}
            (_, Some(first)) => {
                let cache = Arc::new(WatchCache::new(first.clone()));
                feed::fill_one(store, &cache).await?;
                self.caches.insert_custom(cache);
            }
            (_, None) => self.caches.remove_custom(&definition.gvr()),
        }
        let served: Vec<Gvr> = resources.iter().map(|resource| resource.gvr.clone()).collect();
        let followed = Followed { definition, served: served.clone() };
        let before = self.followed().insert(key.name.clone(), followed);
        self.registry.rcu(|registry| {
            let mut registry = Registry::clone(registry);
            let former = before.iter().flat_map(|before| &before.served);
            former.filter(|gvr| !served.contains(gvr)).for_each(|gvr| registry.remove_custom(gvr));
            resources.iter().for_each(|resource| registry.insert_custom(resource.clone()));
            registry
        });
        Ok(())
    }

    fn forget(&self, name: &str) {
        let Some(followed) = self.followed().remove(name) else { return };
        self.registry.rcu(|registry| {
            let mut registry = Registry::clone(registry);
            followed.served.iter().for_each(|gvr| registry.remove_custom(gvr));
            registry
        });
        self.caches.remove_custom(&followed.definition.gvr());
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Followed>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
