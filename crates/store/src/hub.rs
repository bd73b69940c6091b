//! The watchers of one engine, and the stream that each of them reads.
//!
//! A watcher replays the history first and then reads a bounded channel that every commit pushes into. Registration and
//! publishing happen under the ledger's lock, so nothing falls between the two. A watcher that does not keep up with
//! [`WATCH_BUFFER_MAX`] items loses its channel: it reads what is buffered, then `None`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{Revision, StoreError, StoreEvent, StoreKey, WatchItem, WatchStream};

/// How many items may wait for one watcher.
pub(crate) const WATCH_BUFFER_MAX: usize = 16_384;

#[derive(Debug)]
struct Watcher {
    start: StoreKey,
    end: StoreKey,
    /// What the watcher has been told of.
    told: Revision,
    items: mpsc::Sender<WatchItem>,
}

impl Watcher {
    fn matching(&self, events: &[StoreEvent]) -> Vec<StoreEvent> {
        let wanted = |event: &&StoreEvent| self.start <= event.key && event.key < self.end;
        events.iter().filter(wanted).cloned().collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Vec<Watcher>>);

impl Hub {
    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of `replay` and then of what is published from now on.
    pub(crate) fn register(
        &self,
        start: StoreKey,
        end: StoreKey,
        replay: VecDeque<Vec<StoreEvent>>,
        current: Revision,
    ) -> Box<dyn WatchStream> {
        let (items, live) = mpsc::channel(WATCH_BUFFER_MAX);
        self.watchers().push(Watcher { start, end, told: current, items });
        Box::new(Subscription { replay, caught_up: Some(current), live })
    }

    /// Pushes the events of one revision. Called in revision order.
    pub(crate) fn publish(&self, revision: Revision, events: &[StoreEvent]) {
        self.watchers().retain_mut(|watcher| {
            let events = watcher.matching(events);
            if events.is_empty() {
                return !watcher.items.is_closed();
            }
            watcher.told = revision;
            watcher.items.try_send(WatchItem::Events(events)).is_ok()
        });
    }

    /// Tells the watchers of keys in `range` (of all keys when absent) that everything up to `current` was delivered.
    pub(crate) fn progress(&self, range: Option<(&[u8], &[u8])>, current: Revision) {
        for watcher in self.watchers().iter_mut() {
            let overlaps = range.is_none_or(|(start, end)| &*watcher.start < end && start < &*watcher.end);
            if overlaps && watcher.told < current && watcher.items.try_send(WatchItem::Progress(current)).is_ok() {
                watcher.told = current;
            }
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        self.watchers().clear();
    }
}

#[derive(Debug)]
struct Subscription {
    replay: VecDeque<Vec<StoreEvent>>,
    caught_up: Option<Revision>,
    live: mpsc::Receiver<WatchItem>,
}

#[async_trait]
impl WatchStream for Subscription {
    async fn next(&mut self) -> Option<Result<WatchItem, StoreError>> {
        if let Some(events) = self.replay.pop_front() {
            return Some(Ok(WatchItem::Events(events)));
        }
        if let Some(revision) = self.caught_up.take() {
            self.replay = VecDeque::new();
            return Some(Ok(WatchItem::Progress(revision)));
        }
        self.live.recv().await.map(Ok)
    }
}
