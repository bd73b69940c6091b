//! The durable engine: a checksummed log with group commit, everything live also in memory.
//!
//! ```text
//! commit -> queue (bounded) -> writer thread: check, encode -> one write, one sync -> apply, publish -> answers
//! get, range, watch -> ledger in memory (only what is durable, or was acknowledged as Buffered)
//! ```
//! Files: `log-N` holds the commits after the state in `snapshot-N`. When a log has grown as large as the live data, the
//! next one is begun and a snapshot is written beside; older ones are kept as long as the history reaches back. A start
//! reads the newest snapshot and what follows it; older history is read behind the running store.
//! Why a log and not a storage crate: docs/adr/0002-embedded-storage-engine.md.
//!
//! When the disk is full commits answer `NoSpace` and reads go on; the next commit tries again. When the disk fails
//! otherwise no commit is taken any more: what it holds is only known after a restart.

pub(crate) mod check;
pub(crate) mod codec;
pub(crate) mod frames;
mod job;
pub(crate) mod log;
mod past;
pub(crate) mod recovery;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use async_trait::async_trait;
use stdx::{Clock, Rng, SystemClock};
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{Directory, Disk, Lock};
use crate::hub::Hub;
use crate::ledger::{History, Ledger, WINDOW, hold};
use crate::{Commit, Entry, Hold, Page, Range, Revision, Stamp, Stats, Store, StoreError, StoreKey, WatchStream};
use past::PastJob;
use recovery::Recovered;
use writer::{Message, Writer};

/// How many commits may wait for the writer.
const QUEUE_LEN_MAX: usize = 1024;

#[derive(Clone)]
pub struct EmbeddedOptions {
    pub history: History,
    /// A log is followed by the next one when it is larger than this and than the live data.
    pub log_bytes: u64,
    /// A log's file grows by at least so much at once.
    pub fill_bytes: u64,
    pub stamp: Option<Stamp>,
    pub clock: Arc<dyn Clock>,
    pub rng: Rng,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        let history = History::of(WINDOW);
        let (clock, rng) = (Arc::new(SystemClock), Rng::from_os());
        Self { history, log_bytes: 16 << 20, fill_bytes: log::FILL_MIN, stamp: None, clock, rng }
    }
}

/// What readers and the writer share.
struct Shared {
    ledger: Arc<RwLock<Ledger>>,
    hub: Hub,
    /// Older revisions are still being read from disk.
    indexing: watch::Sender<bool>,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What works behind a store: threads do, or a test, one step after the other.
struct Hand {
    writer: Writer,
    queue: mpsc::Receiver<Message>,
    past: Option<PastJob>,
}

/// A store in a directory. Closed in order when dropped (which blocks for one sync), and safe to kill at any time.
pub struct EmbeddedStore {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Message>>,
    threads: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    has_window: bool,
    /// Kept until the writer has ended.
    _lock: Lock,
}

impl EmbeddedStore {
    /// Opens or makes the store in `directory`. Blocks while history is replayed.
    pub fn open(directory: impl Into<PathBuf>, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let directory = directory.into();
        let disk = Directory::create(&directory)
            .map_err(|error| StoreError::Io(format!("cannot make {}: {error}", directory.display())))?;
        Self::open_on(Arc::new(disk), options)
    }

    pub fn open_on(disk: Arc<dyn Disk>, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let (mut store, hand) = Self::assemble(disk, options, false)?;
        let Hand { writer, queue, past } = hand;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|error| StoreError::Io(format!("cannot start the thread {name}: {error}")))
        };
        store.threads.push(spawn("store-writer", Box::new(move || writer.run(queue)))?);
        if let Some(past) = past {
            let stopping = store.stopping.clone();
            store.threads.push(spawn("store-history", Box::new(move || past.run(&stopping)))?);
        }
        Ok(store)
    }

    fn assemble(disk: Arc<dyn Disk>, options: EmbeddedOptions, by_hand: bool) -> Result<(Self, Hand), StoreError> {
        let lock = disk.lock().map_err(|error| recovery::io_error(&error))?;
        let now_secs = options.clock.now().as_second();
        let Recovered { ledger, log, past } =
            recovery::recover(&*disk, options.history, now_secs, options.rng.next_u64(), options.fill_bytes)?;
        let indexing = watch::Sender::new(past.is_some());
        let shared = Arc::new(Shared { ledger: Arc::new(RwLock::new(ledger)), hub: Hub::default(), indexing });
        let past = past.map(|past| PastJob::new(disk.clone(), shared.clone(), options.history, past));
        let has_window = options.history.window.is_some();
        let (sender, queue) = mpsc::channel(QUEUE_LEN_MAX);
        let writer = Writer::new(disk.clone(), shared.clone(), log, options, sender.downgrade(), by_hand);
        let (threads, stopping) = (Vec::new(), Arc::default());
        let store = Self { disk, shared, queue: Some(sender), threads, stopping, has_window, _lock: lock };
        Ok((store, Hand { writer, queue, past }))
    }

    /// What `read` finds, once older revisions are there if it asks for them.
    async fn look<T>(&self, read: impl Fn(&Ledger) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let found = read(&self.shared.read());
        if !matches!(found, Err(StoreError::Compacted { .. })) || !*self.shared.indexing.borrow() {
            return found;
        }
        // The sender lives as long as this.
        drop(self.shared.indexing.subscribe().wait_for(|indexing| !indexing).await);
        read(&self.shared.read())
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Message,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(message(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue = None;
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("the thread {name} panicked");
            }
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn forgets_by_itself(&self) -> bool {
        self.has_window
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        self.ask(|answer| Message::Commit(commit, answer)).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        Ok(self.shared.read().get(key))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        self.look(|ledger| ledger.range(&range)).await
    }

    async fn watch(&self, start: StoreKey, end: StoreKey, after: Revision) -> Result<Box<dyn WatchStream>, StoreError> {
        self.look(|ledger| {
            let replay = ledger.events_after(after, &start, &end)?;
            Ok(self.shared.hub.register(start.clone(), end.clone(), replay, ledger.current()))
        })
        .await
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        let ledger = self.shared.read();
        self.shared.hub.progress(None, ledger.current());
        Ok(ledger.current())
    }

    async fn current_in(&self, start: &[u8], end: &[u8]) -> Result<Revision, StoreError> {
        let ledger = self.shared.read();
        self.shared.hub.progress(Some((start, end)), ledger.current());
        Ok(ledger.current())
    }

    async fn compact(&self, before: Revision) -> Result<(), StoreError> {
        self.ask(|answer| Message::Compact(before, answer)).await
    }

    async fn hold(&self) -> Result<Hold, StoreError> {
        Ok(hold(&self.shared.ledger))
    }

    async fn revision_at(&self, unix_secs: i64) -> Result<Option<Revision>, StoreError> {
        Ok(self.shared.read().revision_at(unix_secs))
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        self.ask(Message::Reclaim).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let names = self.disk.names().map_err(|error| recovery::io_error(&error))?;
        // A file may go away meanwhile.
        let disk_bytes = Some(names.iter().filter_map(|name| self.disk.len(name).ok()).sum());
        Ok(Stats { disk_bytes, ..self.shared.read().stats() })
    }
}
