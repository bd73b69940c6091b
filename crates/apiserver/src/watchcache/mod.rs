//! The watch cache of one resource: its objects now, its recent events, and those who follow them.
//!
//! There is no queue per watcher: the window of recent events is the one bounded buffer, and a watcher is a cursor into
//! it. Who falls out of the window is told 410 and lists again. A watcher is woken only by events that its trigger
//! (a field's value, such as a kubelet's `spec.nodeName`) touches; the cursor of one that is not woken moves on by itself.
//!
//! ```text
//! store.watch -> feed -> WatchCache::apply -> table, window -> wake watchers -> verbs::watch
//! ```

pub mod caches;
pub mod event;
pub mod feed;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Key, Object, Revision};
use bytes::Bytes;
use cache::{Change, Table};
use tokio::sync::Notify;

use crate::resource::Resource;
use crate::storage;
pub use event::Event;

/// Events kept for watchers that start in the past or lag behind.
pub const WINDOW_EVENTS_MAX: usize = 4096;
/// Bytes of objects that the window may keep alive; at least `WINDOW_EVENTS_MIN` events are kept nevertheless.
pub const WINDOW_BYTES_MAX: usize = 8 << 20;
const WINDOW_EVENTS_MIN: usize = 128;
/// Snapshots kept for continue tokens.
pub const SNAPSHOTS_MAX: usize = 16;

/// A field (by its position in the resource's selectable fields) and the value that a watcher asks for.
pub type Trigger = (usize, Box<str>);

pub struct WatchCache {
    pub resource: Arc<Resource>,
    state: Mutex<State>,
    /// The paths of the resource's selectable fields.
    fields: Box<[&'static str]>,
}

struct State {
    table: Table,
    window: VecDeque<Arc<Event>>,
    window_bytes: usize,
    /// The number of the window's first event; events are counted from the start of the server.
    first: u64,
    /// Every event after this revision is in the window.
    complete_after: Revision,
    /// No more events of this revision or older will come.
    settled: Revision,
    snapshots: VecDeque<Table>,
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
    /// Some watcher has news that it was not woken for.
    news: bool,
    /// Its resource is gone or served otherwise; nothing more will come.
    closed: bool,
}

struct Watcher {
    trigger: Option<Trigger>,
    /// The number of the event that it looks at next.
    cursor: u64,
    wake: Arc<Notify>,
    news: bool,
}

/// What a watcher finds when it looks.
pub enum Look {
    Events(Vec<Arc<Event>>),
    Nothing,
    /// It lagged too far behind: the window no longer reaches back to where it stands.
    Gone,
    /// The resource is no longer served as it was.
    Closed,
}

impl WatchCache {
    pub fn new(resource: Arc<Resource>) -> Self {
        let state = State {
            table: Table::new(Arc::new([])),
            window: VecDeque::new(),
            window_bytes: 0,
            first: 0,
            complete_after: Revision::ZERO,
            settled: Revision::ZERO,
            snapshots: VecDeque::new(),
            watchers: BTreeMap::new(),
            next_watcher: 0,
            news: false,
            closed: false,
        };
        Self { fields: resource.field_paths(), resource, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All objects at this moment.
    pub fn table(&self) -> Table {
        self.state().table.clone()
    }

    /// Decodes an object as it lies in the store.
    pub fn decode(&self, stored: &Bytes, revision: Revision) -> Option<Object> {
        let json = storage::with_revision(stored, revision);
        let decoded = match self.resource.custom.as_ref().filter(|custom| !custom.selectable.is_empty()) {
            Some(custom) => Object::decode(json, &custom.indexed_fields()),
            None => Object::decode(json, &self.fields),
        };
        decoded
            .inspect_err(|error| tracing::error!(resource = %self.resource.gvr, %error, "cannot read a stored object"))
            .ok()
    }

    /// The same for an object that may have been written under another schema than the present one of a custom resource.
    pub fn restore(&self, stored: &Bytes, revision: Revision) -> Option<Object> {
        let Some(custom) = &self.resource.custom else { return self.decode(stored, revision) };
        let mut tree = serde_json::from_slice(stored)
            .inspect_err(|error| tracing::error!(resource = %self.resource.gvr, %error, "cannot read a stored object"))
            .ok()?;
        custom.restore(&self.resource, &mut tree);
        self.decode(&storage::encode(&tree), revision)
    }

    /// Starts over with all objects as they are at `revision`. Watchers that stand elsewhere find themselves gone.
    pub fn reset(&self, objects: Vec<Object>, revision: Revision) {
        let mut table = Table::new(Arc::new([]));
        for object in objects {
            table.put(object);
        }
        table.advance(revision);
        let mut state = self.state();
        state.table = table;
        state.first += state.window.len() as u64 + 1;
        state.window.clear();
        state.window_bytes = 0;
        state.complete_after = revision;
        state.settled = revision;
        state.snapshots.clear();
        state.watchers.values().for_each(|watcher| watcher.wake.notify_one());
    }

    /// Takes in one change of the store. `object` is `None` for a deletion.
    pub fn apply(&self, key: &Key, object: Option<Object>, revision: Revision) {
        let mut state = self.state();
        if revision <= state.complete_after {
            // It was filled from a newer state of the store.
            return;
        }
        let change = match object {
            Some(object) => Some(state.table.put(object)),
            None => state.table.remove(key, revision),
        };
        if let Some(Change { before, after, .. }) = change {
            state.push(Event::new(revision, before, after));
        }
    }

    /// Ends all watchers; what they have not seen yet they see first.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.watchers.values().for_each(|watcher| watcher.wake.notify_one());
    }

    /// Nothing (more) happened to this resource up to `revision`. Wakes those who have news.
    pub fn advance(&self, revision: Revision) {
        let mut state = self.state();
        state.table.advance(revision);
        state.settled = state.settled.max(revision);
        state.wake();
    }

    /// Keeps the table for the pages that follow a first one.
    pub fn keep_snapshot(&self, table: &Table) {
        let mut state = self.state();
        if state.snapshots.back().is_some_and(|kept| kept.revision() == table.revision()) {
            return;
        }
        if state.snapshots.len() >= SNAPSHOTS_MAX {
            state.snapshots.pop_front();
        }
        state.snapshots.push_back(table.clone());
    }

    /// The table as it was at `revision`, if it is still kept.
    pub fn snapshot(&self, revision: Revision) -> Option<Table> {
        let state = self.state();
        let unchanged = state.table.revision() >= revision
            && state.complete_after <= revision
            && state.window.back().is_none_or(|event| event.revision <= revision);
        if unchanged {
            return Some(state.table.clone());
        }
        state.snapshots.iter().find(|table| table.revision() == revision).cloned()
    }

    /// Registers a watcher that has seen everything up to `after`; the error is the oldest revision to begin at.
    pub fn watch(self: &Arc<Self>, trigger: Option<Trigger>, after: Revision) -> Result<Registration, Revision> {
        let mut state = self.state();
        if after < state.complete_after {
            return Err(state.complete_after);
        }
        let seen = state.window.partition_point(|event| event.revision <= after);
        let cursor = state.first + seen as u64;
        Ok(Self::register(self, &mut state, trigger, cursor))
    }

    /// The objects of this moment, and a watcher that stands right behind them.
    pub fn list_and_watch(self: &Arc<Self>, trigger: Option<Trigger>) -> (Table, Registration) {
        let mut state = self.state();
        let table = state.table.clone();
        let cursor = state.first + state.window.len() as u64;
        (table, Self::register(self, &mut state, trigger, cursor))
    }

    fn register(this: &Arc<Self>, state: &mut State, trigger: Option<Trigger>, cursor: u64) -> Registration {
        let id = state.next_watcher;
        state.next_watcher += 1;
        let wake = Arc::new(Notify::new());
        state.watchers.insert(id, Watcher { trigger, cursor, wake: wake.clone(), news: false });
        Registration { cache: this.clone(), id, wake }
    }

    fn look(&self, id: u64) -> Look {
        let mut guard = self.state();
        let state = &mut *guard;
        let end = state.first + state.window.len() as u64;
        let Some(watcher) = state.watchers.get_mut(&id) else { return Look::Gone };
        let Some(skip) = watcher.cursor.checked_sub(state.first) else { return Look::Gone };
        watcher.cursor = end;
        let events: Vec<_> = state.window.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).cloned().collect();
        match (events.is_empty(), state.closed) {
            (false, _) => Look::Events(events),
            (true, true) => Look::Closed,
            (true, false) => Look::Nothing,
        }
    }
}

impl State {
    fn push(&mut self, event: Event) {
        let event = Arc::new(event);
        let number = self.first + self.window.len() as u64;
        for watcher in self.watchers.values_mut() {
            if watcher.trigger.as_ref().is_none_or(|trigger| event.touches(trigger)) {
                watcher.news = true;
                self.news = true;
            } else if watcher.cursor == number {
                watcher.cursor += 1;
            }
        }
        self.window_bytes += event.bytes();
        self.window.push_back(event);
        while self.window.len() > WINDOW_EVENTS_MAX
            || (self.window_bytes > WINDOW_BYTES_MAX && self.window.len() > WINDOW_EVENTS_MIN)
        {
            if let Some(oldest) = self.window.pop_front() {
                self.first += 1;
                self.window_bytes -= oldest.bytes();
                self.complete_after = oldest.revision;
            }
        }
    }
}

impl State {
    fn wake(&mut self) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        for watcher in self.watchers.values_mut().filter(|watcher| watcher.news) {
            watcher.news = false;
            watcher.wake.notify_one();
        }
    }
}

/// A watcher's place; it is given up when this is dropped.
pub struct Registration {
    cache: Arc<WatchCache>,
    id: u64,
    wake: Arc<Notify>,
}

impl Registration {
    pub fn look(&self) -> Look {
        self.cache.look(self.id)
    }

    /// Completes when there may be something new.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// What a bookmark may say when nothing is left to see: everything up to here is in the window.
    pub fn settled(&self) -> Revision {
        self.cache.state().settled
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cache.state().watchers.remove(&self.id);
    }
}

/// `{"type":"<kind>","object":<json>}\n`.
pub fn frame(kind: &str, json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + kind.len() + 24);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(json);
    out.extend_from_slice(b"}\n");
    out.into()
}
