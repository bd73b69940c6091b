//! Revisioned bytes with watch: the only durable state of a cluster.
//!
//! One global [`Revision`] orders every write. Engines: `memory` for tests and sim, `embedded` on disk, `etcd` for a
//! cluster of etcd. One conformance suite (`tests/suite.rs`) holds for all.
//!
//! A new store is empty at revision 1. Revisions grow, and may skip numbers after a crash of the machine.

mod backup;
pub mod copy;
pub mod disk;
mod embedded;
mod etcd;
pub mod fault;
mod forget;
mod hub;
mod ledger;
mod memory;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use api::Revision;
pub use backup::{Backup, BackupContents, BackupReader, restore, restore_on, verify_backup};
pub use embedded::check::{CheckReport, FileReport, Finding, Severity, check, check_on};
pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls};
pub use forget::forget_older;
pub use ledger::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, History};
pub use memory::MemoryStore;

/// A key: the API server uses `/registry/<group>/<plural>/<namespace>/<name>`; the store only orders them. Shared, since
/// the index, the history and every watcher hold it.
pub type StoreKey = Arc<[u8]>;

/// Behind every key: none begins with this byte.
pub const KEYS_END: &[u8] = &[0xff];

/// How many entries are read at once where everything is.
const PAGE_LEN: usize = 256;

/// A value as it was written at `modified`, of a key that has existed since `created`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: StoreKey,
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
}

/// What must hold for a commit to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    Absent(StoreKey),
    /// The key was last modified at exactly this revision.
    ModifiedAt(StoreKey, Revision),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(StoreKey, Bytes),
    Delete(StoreKey),
}

/// How soon a commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After it is on disk.
    #[default]
    Synced,
    /// At once; it may be lost by a crash of the machine (Leases, Events).
    Buffered,
}

/// A transaction: all writes happen at one new revision, or none does. Of two writes of one key the later counts. A
/// commit that changes nothing (only deletes absent keys) takes no revision and returns the newest one.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub preconditions: Vec<Precondition>,
    pub writes: Vec<Write>,
    pub durability: Durability,
}

/// Puts the revision at which a value was written into it. An engine that was opened with one hands out stamped values
/// only: one that knows the revision before it writes stamps then, so that store and caches share the bytes; etcd, which
/// does not, stamps what it reads. A value that carries another revision already gets the right one.
pub type Stamp = fn(&Bytes, Revision) -> Bytes;

/// The writes with their values stamped.
pub(crate) fn stamp_all(stamp: Option<Stamp>, writes: &mut [Write], revision: Revision) {
    let Some(stamp) = stamp else { return };
    for write in writes {
        if let Write::Put(_, value) = write {
            *value = stamp(value, revision);
        }
    }
}

/// Part of the key space at one revision.
#[derive(Clone, Debug)]
pub struct Range {
    /// Inclusive.
    pub start: StoreKey,
    /// Exclusive.
    pub end: StoreKey,
    /// The newest when absent.
    pub at: Option<Revision>,
    pub limit: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Page {
    /// The revision that the page was read at.
    pub revision: Revision,
    pub entries: Vec<Entry>,
    /// There are entries behind the last one.
    pub more: bool,
}

/// One key's change. A deletion has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEvent {
    pub revision: Revision,
    pub key: StoreKey,
    pub value: Option<Bytes>,
    pub created: Revision,
    /// The value that this event replaced or deleted.
    pub before: Option<Bytes>,
}

/// What a watcher is told, in revision order and complete.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// All matching events of one revision.
    Events(Vec<StoreEvent>),
    /// Everything matching up to this revision has been delivered. Comes once when the history has been replayed, and
    /// after each [`Store::current`] or [`Store::current_in`] that found this watcher behind the newest revision.
    Progress(Revision),
}

/// How much a store holds. What an engine does not know is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub revision: Revision,
    /// The oldest revision that can be read at.
    pub oldest: Revision,
    pub keys: u64,
    /// The live keys and their values.
    pub live_bytes: u64,
    pub history_events: Option<u64>,
    /// The values that were replaced or deleted and are still kept.
    pub history_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// A revision that stays readable while this lives, as far as the engine can hold it: whoever reads so slowly that the
/// history would outgrow its bounds several times is told `Compacted`.
pub struct Hold {
    pub revision: Revision,
    /// What lets go of it when dropped; absent where the engine holds nothing.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("precondition failed on {}", String::from_utf8_lossy(.key))]
    Conflict { key: StoreKey, current: Option<Entry> },
    #[error("revision {asked} has been compacted; the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {asked} is in the future; the newest is {newest}")]
    Future { asked: Revision, newest: Revision },
    #[error("no space left: {0}")]
    NoSpace(String),
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    #[error("store I/O failed: {0}")]
    Io(String),
    /// Another process has the store open.
    #[error("the store is in use: {0}")]
    InUse(String),
    /// It cannot be reached, or has no leader. Nothing happened; it may work again in a moment.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The answer to a write was lost, and it cannot be found out whether the write happened.
    #[error("the store's answer was lost, and the write may or may not have happened: {0}")]
    InDoubt(String),
    #[error("the store has too much to do: {0}")]
    Busy(String),
    #[error("too large for the store: {0}")]
    TooLarge(String),
    #[error("the store refuses this server: {0}")]
    Denied(String),
    #[error("the store is closed")]
    Closed,
}

/// A bounded stream of events. `None` means that the watcher fell too far behind, or the store closed: watch again.
#[async_trait]
pub trait WatchStream: Send {
    async fn next(&mut self) -> Option<Result<WatchItem, StoreError>>;
}

#[async_trait]
pub trait Store: Send + Sync {
    /// What people know it by.
    fn name(&self) -> &'static str {
        "store"
    }
    /// Old history goes by age, without anybody calling [`Store::compact`].
    fn forgets_by_itself(&self) -> bool {
        false
    }
    /// Returns the revision of the commit once it is as durable as asked.
    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError>;
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;
    /// At most `limit` entries in key order. To go on behind a page with `more`, start at its last key with a zero byte
    /// appended, `at` the page's revision.
    async fn range(&self, range: Range) -> Result<Page, StoreError>;
    /// Every event after `after` of keys in `start..end`.
    async fn watch(&self, start: StoreKey, end: StoreKey, after: Revision) -> Result<Box<dyn WatchStream>, StoreError>;
    /// The newest revision. Watchers that were not told of it yet get a [`WatchItem::Progress`], so that who waits for a
    /// cache to reach the returned revision (a consistent read) waits for one wakeup and not for the next write.
    async fn current(&self) -> Result<Revision, StoreError>;
    /// As [`Store::current`], but only watchers of keys in `start..end` are told.
    async fn current_in(&self, _start: &[u8], _end: &[u8]) -> Result<Revision, StoreError> {
        self.current().await
    }
    /// Forgets history before `before`: reads at and watches from older revisions answer `Compacted`. Newest values stay.
    async fn compact(&self, before: Revision) -> Result<(), StoreError>;
    /// The newest revision, held for a reader of many pages.
    async fn hold(&self) -> Result<Hold, StoreError> {
        Ok(Hold { revision: self.current().await?, guard: None })
    }
    /// The newest revision that is known to be no younger than this time of day (in seconds since 1970); `None` where
    /// that is not known. Compacting at it forgets what is older.
    async fn revision_at(&self, _unix_secs: i64) -> Result<Option<Revision>, StoreError> {
        Ok(None)
    }
    /// Gives the disk space of forgotten history back, and returns when it is done. Commits and reads go on meanwhile.
    async fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Engines that do not count read everything.
    async fn stats(&self) -> Result<Stats, StoreError> {
        let hold = self.hold().await?;
        let (mut keys, mut live_bytes, mut start) = (0, 0, Vec::new());
        loop {
            let (at, limit) = (Some(hold.revision), Some(PAGE_LEN));
            let page = self.range(Range { start: start.into(), end: KEYS_END.into(), at, limit }).await?;
            keys += page.entries.len() as u64;
            live_bytes += page.entries.iter().map(|entry| (entry.key.len() + entry.value.len()) as u64).sum::<u64>();
            match page.entries.last().filter(|_| page.more) {
                Some(last) => start = [&*last.key, &[0]].concat(),
                None => break,
            }
        }
        let (revision, oldest) = (hold.revision, hold.revision);
        let (history_events, history_bytes, disk_bytes) = (None, None, None);
        Ok(Stats { revision, oldest, keys, live_bytes, history_events, history_bytes, disk_bytes })
    }
}
