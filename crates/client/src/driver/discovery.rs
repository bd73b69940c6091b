//! Keeps the hub following what the objects of a resource name: custom resources, while their definitions stand.

use std::collections::{BTreeMap, BTreeSet};

use api::{Gvr, Key, Object};
use cache::Discovery;

use crate::hub::{Hub, News, Selection};

/// Runs until it is dropped.
pub(super) async fn run(hub: Hub, discoveries: Vec<Discovery>) {
    let mut changes = hub.changes();
    let mut found = Found { hub: hub.clone(), discoveries, by_object: BTreeMap::new() };
    loop {
        match changes.next().await {
            News::Changed(change) => {
                if let Some(object) = change.1.object() {
                    found.look(&change.0, &object.key(), change.1.after.as_ref());
                }
            }
            News::Resync => found.look_at_all(),
        }
    }
}

struct Found {
    hub: Hub,
    discoveries: Vec<Discovery>,
    /// What each object names.
    by_object: BTreeMap<(Gvr, Key), BTreeSet<Gvr>>,
}

impl Found {
    fn look_at_all(&mut self) {
        let snapshot = self.hub.snapshot();
        for (resource, key) in self.by_object.keys().cloned().collect::<Vec<_>>() {
            self.look(&resource, &key, snapshot.get(&resource, &key));
        }
        for resource in self.discoveries.iter().map(|one| one.resource.clone()).collect::<BTreeSet<_>>() {
            for object in snapshot.list(&resource, None) {
                self.look(&resource, &object.key(), Some(object));
            }
        }
    }

    fn look(&mut self, resource: &Gvr, key: &Key, object: Option<&Object>) {
        let ours = self.discoveries.iter().filter(|one| one.resource == *resource);
        let mut named = BTreeMap::<Gvr, Selection>::new();
        for interest in object.into_iter().flat_map(|object| ours.clone().flat_map(|one| (one.names)(object))) {
            let selection = named
                .entry(interest.resource)
                .or_insert_with(|| Selection { metadata_only: true, ..Selection::default() });
            selection.join(interest.metadata_only, interest.indexes);
        }
        let now: BTreeSet<Gvr> = named.keys().cloned().collect();
        let place = (resource.clone(), key.clone());
        let before =
            if now.is_empty() { self.by_object.remove(&place) } else { self.by_object.insert(place, now.clone()) };
        for gone in before.unwrap_or_default().difference(&now) {
            self.hub.forget(gone);
        }
        for (resource, selection) in named {
            self.hub.follow(resource, selection);
        }
    }
}
