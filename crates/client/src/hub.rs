//! One cache for a whole process: the resources that its components follow, as one [`Snapshot`] and news of changes.
//!
//! ```text
//! reflector per resource --> tables (one lock, held for moments) --> published Snapshot --> snapshot()
//!                                                              \--> news, bounded      --> changes()
//! ```
//! A change is told after the snapshot that shows it was published. Who falls behind is told to look at everything
//! again ([`News::Resync`]); that is also everybody's first news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Gvr, Object, Revision};
use arc_swap::ArcSwap;
use cache::{Change, Controller, Index, Interest, Snapshot, Table};
use stdx::Signal;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::client::Client;
use crate::env::Env;
use crate::reflector::{Reflector, Sink};
use crate::watch::WatchEvent;

/// How many changes a consumer may be behind before it must look at everything again.
const CHANGES_MAX: usize = 4096;

/// Which objects of a resource to follow.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// All namespaces when empty.
    pub namespace: String,
    pub labels: String,
    /// Such as `spec.nodeName=n1`.
    pub fields: String,
    /// Hold metadata alone, without managedFields and annotations.
    pub metadata_only: bool,
    pub indexes: Vec<Index>,
}

impl Selection {
    /// Adds what somebody else wants of the same objects.
    pub(crate) fn join(&mut self, metadata_only: bool, indexes: Vec<Index>) {
        self.metadata_only &= metadata_only;
        for index in indexes {
            if !self.indexes.iter().any(|have| have.name == index.name) {
                self.indexes.push(index);
            }
        }
    }
}

/// What to follow, before it starts.
pub struct HubBuilder {
    client: Client,
    selections: BTreeMap<Gvr, Selection>,
}

/// A handle on the shared cache. The reflectors stop when the last handle is dropped.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    reflectors: Arc<Reflectors>,
}

struct Reflectors {
    client: Client,
    env: Env,
    tasks: Mutex<BTreeMap<Gvr, AbortOnDropHandle<()>>>,
}

/// What a consumer is told.
#[derive(Clone, Debug)]
pub enum News {
    Changed(Arc<(Gvr, Change)>),
    /// Anything may have changed: look at all of the snapshot.
    Resync,
}

/// A consumer's news, in order.
pub struct Changes {
    hub: Hub,
    receiver: broadcast::Receiver<Arc<(Gvr, Change)>>,
    resync: bool,
}

pub(crate) struct Shared {
    writer: Mutex<Writer>,
    snapshot: ArcSwap<Snapshot>,
    changes: broadcast::Sender<Arc<(Gvr, Change)>>,
    /// How many times a snapshot was published.
    published: Signal<u64>,
    synced: Signal<bool>,
}

struct Writer {
    snapshot: Snapshot,
    unsynced: BTreeSet<Gvr>,
}

impl HubBuilder {
    /// Follows all objects of the resource. Asking twice for a resource joins the indexes.
    pub fn resource(self, resource: Gvr, indexes: &[Index]) -> Self {
        self.select(resource, Selection { indexes: indexes.to_vec(), ..Selection::default() })
    }

    /// Follows some objects of the resource. The first selection of a resource stands; later ones add indexes, and make
    /// whole objects of metadata.
    pub fn select(mut self, resource: Gvr, selection: Selection) -> Self {
        match self.selections.entry(resource) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(selection);
            }
            std::collections::btree_map::Entry::Occupied(mut known) => {
                known.get_mut().join(selection.metadata_only, selection.indexes);
            }
        }
        self
    }

    pub fn interest(self, interest: Interest) -> Self {
        let Interest { resource, indexes, metadata_only } = interest;
        self.select(resource, Selection { metadata_only, indexes, ..Selection::default() })
    }

    /// Follows all that the controllers read.
    pub fn controllers(self, controllers: &[Arc<dyn Controller>]) -> Self {
        controllers.iter().flat_map(|controller| controller.watches()).fold(self, Self::interest)
    }

    /// Starts one reflector a resource. Must be called inside a tokio runtime.
    pub fn start(self, env: &Env) -> Hub {
        let mut snapshot = Snapshot::default();
        for (resource, selection) in &self.selections {
            snapshot.insert(resource.clone(), Table::new(selection.indexes.clone().into()));
        }
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot.clone()),
            synced: Signal::new(self.selections.is_empty()),
            writer: Mutex::new(Writer { snapshot, unsynced: self.selections.keys().cloned().collect() }),
            changes: broadcast::Sender::new(CHANGES_MAX),
            published: Signal::new(0),
        });
        let reflectors = Reflectors { client: self.client, env: env.clone(), tasks: Mutex::default() };
        for (resource, selection) in self.selections {
            reflectors.start(&shared, resource, selection);
        }
        Hub { shared, reflectors: Arc::new(reflectors) }
    }
}

impl Hub {
    pub fn builder(client: Client) -> HubBuilder {
        HubBuilder { client, selections: BTreeMap::new() }
    }

    /// Follows one more resource from now on; what is followed already stays as it is. [`Hub::synced`] does not wait for it.
    pub fn follow(&self, resource: Gvr, selection: Selection) {
        let mut writer = self.shared.lock();
        if writer.snapshot.table(&resource).is_some() {
            return;
        }
        writer.snapshot.insert(resource.clone(), Table::new(selection.indexes.clone().into()));
        self.shared.publish(&writer, &resource, Vec::new());
        self.reflectors.start(&self.shared, resource, selection);
    }

    /// Ends what [`Hub::follow`] began. Nobody is told of the objects: their resource is gone.
    pub fn forget(&self, resource: &Gvr) {
        drop(self.reflectors.lock().remove(resource));
        let mut writer = self.shared.lock();
        writer.snapshot.remove(resource);
        self.shared.publish(&writer, resource, Vec::new());
    }

    /// The newest state of all that is followed.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// News from now on. The first is [`News::Resync`], once every resource has been listed.
    pub fn changes(&self) -> Changes {
        Changes { hub: self.clone(), receiver: self.shared.changes.subscribe(), resync: true }
    }

    /// Waits until every resource has been listed once.
    pub async fn synced(&self) {
        self.shared.synced.wait_for(|synced| *synced).await;
    }

    pub fn is_synced(&self) -> bool {
        self.shared.synced.read(|synced| *synced)
    }

    /// How far the resource is known; `None` where it is not followed.
    pub fn resource_revision(&self, resource: &Gvr) -> Option<Revision> {
        self.shared.revision(resource)
    }

    /// How many times a snapshot was published.
    pub fn published(&self) -> u64 {
        self.shared.published.read(|count| *count)
    }

    /// Waits for another snapshot than the one of which `seen` was [`Hub::published`], also if only a revision moved.
    pub async fn publishes_after(&self, seen: u64) {
        self.shared.published.wait_for(move |count| *count != seen).await;
    }

    /// Waits until the resource is known up to `revision`, as after a write of one's own. Returns at once where the
    /// resource is not followed.
    pub async fn seen(&self, resource: &Gvr, revision: Revision) {
        loop {
            let published = self.published();
            if self.resource_revision(resource).is_none_or(|known| known >= revision) {
                return;
            }
            self.publishes_after(published).await;
        }
    }
}

impl Reflectors {
    fn start(&self, shared: &Arc<Shared>, resource: Gvr, selection: Selection) {
        let (client, env, shared) = (self.client.clone(), self.env.clone(), Arc::clone(shared));
        let reflector = Reflector { client, resource: resource.clone(), selection, env };
        let task = tokio::spawn(async move { reflector.run(&*shared).await });
        self.lock().insert(resource, AbortOnDropHandle::new(task));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Gvr, AbortOnDropHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// The next news. Cancel safe.
    pub async fn next(&mut self) -> News {
        if self.resync {
            self.hub.synced().await;
            return self.resynced();
        }
        match self.receiver.recv().await {
            Ok(change) => News::Changed(change),
            Err(broadcast::error::RecvError::Lagged(_)) => self.resynced(),
            Err(broadcast::error::RecvError::Closed) => unreachable!("the hub outlives its handles"),
        }
    }

    /// News that has already come.
    pub fn next_ready(&mut self) -> Option<News> {
        if self.resync {
            return None;
        }
        match self.receiver.try_recv() {
            Ok(change) => Some(News::Changed(change)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(self.resynced()),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }

    /// Forgets what waits: the snapshot that the consumer reads after this shows it all.
    fn resynced(&mut self) -> News {
        self.resync = false;
        self.receiver = self.hub.shared.changes.subscribe();
        News::Resync
    }
}

impl Sink for Shared {
    fn revision(&self, resource: &Gvr) -> Option<Revision> {
        self.snapshot.load().table(resource).map(Table::revision)
    }

    fn replace(&self, resource: &Gvr, objects: Vec<Object>, revision: Revision) {
        let mut writer = self.lock();
        let changes = writer.snapshot.table_mut(resource).map(|table| table.replace(objects, revision));
        writer.unsynced.remove(resource);
        let synced = writer.unsynced.is_empty();
        self.publish(&writer, resource, changes.unwrap_or_default());
        drop(writer);
        if synced && !self.synced.read(|known| *known) {
            self.synced.update(|known| *known = true);
        }
    }

    fn apply(&self, resource: &Gvr, events: Vec<WatchEvent>) {
        let mut writer = self.lock();
        let Some(table) = writer.snapshot.table_mut(resource) else { return };
        let mut changes = Vec::new();
        for event in events {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => changes.push(table.put(object)),
                WatchEvent::Deleted(object) => {
                    let change = table.remove(&object.key(), object.revision());
                    // The event's object is the last state, newer than the cached one.
                    changes.extend(change.map(|change| Change { before: Some(object), ..change }));
                }
                WatchEvent::Bookmark(revision) => table.advance(revision),
            }
        }
        self.publish(&writer, resource, changes);
    }
}

impl Shared {
    /// Shows the writer's state, then tells what is new. Called under the lock, so that news keep their order.
    fn publish(&self, writer: &Writer, resource: &Gvr, changes: Vec<Change>) {
        self.snapshot.store(Arc::new(writer.snapshot.clone()));
        for change in changes {
            // No receiver is no failure.
            drop(self.changes.send(Arc::new((resource.clone(), change))));
        }
        self.published.update(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
