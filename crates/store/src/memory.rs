//! The engine without a disk: for tests and for the sim.
//!
//! It has no threads, timers or clock: every call runs to its end at once, so that a single-threaded sim is
//! deterministic. Its history is bounded by count and bytes only.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use crate::hub::Hub;
use crate::ledger::{History, Ledger, Overlay, hold};
use crate::{Commit, Entry, Hold, Page, Range, Revision, Stamp, Stats, Store, StoreError, StoreKey, WatchStream};

/// A store that forgets everything with its process.
#[derive(Debug)]
pub struct MemoryStore {
    ledger: Arc<RwLock<Ledger>>,
    hub: Hub,
    stamp: Option<Stamp>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::with_history(History::default())
    }

    /// The `window` of the history is not looked at: there is no clock.
    pub fn with_history(history: History) -> Self {
        let ledger = Ledger::new(History { window: None, ..history });
        Self { ledger: Arc::new(RwLock::new(ledger)), hub: Hub::default(), stamp: None }
    }

    /// The same store with values that say at which revision they were written.
    pub fn stamping(self, stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..self }
    }

    fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let mut ledger = self.write();
        let nothing_pending = Overlay::default();
        ledger.check(&commit, &nothing_pending)?;
        let mut writes = ledger.effective(commit.writes, &nothing_pending);
        if writes.is_empty() {
            return Ok(ledger.current());
        }
        let revision = ledger.current().next();
        crate::stamp_all(self.stamp, &mut writes, revision);
        let events = ledger.apply(revision, writes, 0);
        self.hub.publish(revision, events);
        Ok(revision)
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        Ok(self.read().get(key))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        self.read().range(&range)
    }

    async fn watch(&self, start: StoreKey, end: StoreKey, after: Revision) -> Result<Box<dyn WatchStream>, StoreError> {
        let ledger = self.read();
        let replay = ledger.events_after(after, &start, &end)?;
        Ok(self.hub.register(start, end, replay, ledger.current()))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        let ledger = self.read();
        self.hub.progress(None, ledger.current());
        Ok(ledger.current())
    }

    async fn current_in(&self, start: &[u8], end: &[u8]) -> Result<Revision, StoreError> {
        let ledger = self.read();
        self.hub.progress(Some((start, end)), ledger.current());
        Ok(ledger.current())
    }

    async fn compact(&self, before: Revision) -> Result<(), StoreError> {
        self.write().compact(before)
    }

    async fn hold(&self) -> Result<Hold, StoreError> {
        Ok(hold(&self.ledger))
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        Ok(self.read().stats())
    }
}
