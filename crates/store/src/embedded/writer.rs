//! The one thread that writes: drains the queue into batches, each one frame and one sync.
//!
//! A batch of Buffered commits only is answered when it is written, and synced when nothing else is waiting. Conflicts
//! are answered after the batch, so that the entry they show is not older than the one they were decided on.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::codec::{Record, encode, encode_commit};
use super::log::{Log, log_name};
use super::recovery::{Files, io_error};
use super::snapshot::{self, PAGE_LEN, SnapshotError, snapshot_name};
use super::{EmbeddedOptions, QUEUE_LEN_MAX, Shared};
use crate::disk::Disk;
use crate::ledger::Overlay;
use crate::{Commit, Durability, Revision, StoreError, Write};

/// A batch ends when it has so many bytes.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// So often the processor is given away to let the writers of the last batch come back.
const LINGER_YIELDS_MAX: usize = 32;
/// So many batches of Buffered commits may go without a sync while others are waiting.
const UNSYNCED_BATCHES_MAX: usize = 16;

/// A larger buffer is not kept for the next batch.
const IDLE_BYTES_MAX: usize = 1 << 20;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Message {
    Commit(Commit, Answer<Revision>),
    Compact(Revision, Answer<()>),
}

struct Accepted {
    revision: Revision,
    writes: Vec<Write>,
    answer: Answer<Revision>,
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    log: Log,
    options: EmbeddedOptions,
    /// The disk failed: no commit is taken any more.
    failed: Option<String>,
    snapshot: Option<JoinHandle<bool>>,
    stopping: Arc<AtomicBool>,
    overlay: Overlay,
    payload: Vec<u8>,
    unsynced_batches: usize,
}

impl Writer {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, log: Log, options: EmbeddedOptions) -> Self {
        Self {
            disk,
            shared,
            log,
            options,
            failed: None,
            snapshot: None,
            stopping: Arc::default(),
            overlay: Overlay::default(),
            payload: Vec::new(),
            unsynced_batches: 0,
        }
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut inbox = Vec::with_capacity(QUEUE_LEN_MAX);
        let mut last_len = 0;
        loop {
            if !self.log.is_synced() && (queue.is_empty() || self.unsynced_batches >= UNSYNCED_BATCHES_MAX) {
                self.sync_buffered();
            }
            if queue.blocking_recv_many(&mut inbox, QUEUE_LEN_MAX) == 0 {
                break;
            }
            linger(&mut queue, &mut inbox, last_len);
            last_len = inbox.len();
            let mut waiting: VecDeque<Message> = inbox.drain(..).collect();
            while !waiting.is_empty() {
                self.batch(&mut waiting);
            }
            self.rotate_if_due();
            if self.payload.capacity() > IDLE_BYTES_MAX {
                self.payload = Vec::new();
            }
        }
        self.stop();
    }

    fn sync_buffered(&mut self) {
        self.unsynced_batches = 0;
        if let Err(error) = self.log.sync() {
            // Lack of space is made good by the next sync, since the frames are written again.
            if !matches!(io_error(&error), StoreError::NoSpace(_)) {
                self.fail(&error);
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::error!(%error, log = self.disk.path(&log_name(self.log.generation)), "the store's disk failed; writes stop");
        self.failed = Some(format!("{error}; writes stop until the process is started again"));
    }

    /// Takes commits off `waiting` and answers them.
    fn batch(&mut self, waiting: &mut VecDeque<Message>) {
        let (mut accepted, mut refused, mut compacted) = (Vec::new(), Vec::new(), Vec::new());
        let mut synced = false;
        self.payload.clear();
        self.overlay.clear();
        {
            let ledger = self.shared.read();
            let mut revision = ledger.current();
            while self.payload.len() < BATCH_BYTES_MAX {
                let (commit, answer) = match waiting.pop_front() {
                    None => break,
                    Some(Message::Commit(commit, answer)) => (commit, answer),
                    Some(Message::Compact(before, answer)) => {
                        compacted.push((before, answer));
                        break;
                    }
                };
                if let Err(error) = ledger.check(&commit, &self.overlay) {
                    refused.push((error, answer));
                    continue;
                }
                synced |= commit.durability == Durability::Synced;
                let mut writes = ledger.effective(commit.writes, &self.overlay);
                if !writes.is_empty() {
                    revision = revision.next();
                    crate::stamp_all(self.options.stamp, &mut writes, revision);
                    encode_commit(&mut self.payload, revision, &writes);
                    self.overlay.note(revision, &writes);
                }
                accepted.push(Accepted { revision, writes, answer });
            }
        }
        let result = self.write(synced);
        self.finish(accepted, refused, &result);
        for (before, answer) in compacted {
            // Nobody may wait for the answer any more.
            drop(answer.send(self.compact(before)));
        }
    }

    /// Writes the payload as one frame.
    fn write(&mut self, synced: bool) -> Result<(), StoreError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        if let Some(failed) = &self.failed {
            return Err(StoreError::Io(failed.clone()));
        }
        let mut result = self.log.append(&self.payload);
        if result.is_ok() && synced {
            result = self.log.sync();
            self.unsynced_batches = 0;
            if result.is_err() {
                self.log.rollback();
            }
        } else {
            self.unsynced_batches += 1;
        }
        result.map_err(|error| {
            let kind = io_error(&error);
            if !matches!(kind, StoreError::NoSpace(_)) {
                self.fail(&error);
            }
            kind
        })
    }

    /// Applies and answers.
    fn finish(
        &self,
        accepted: Vec<Accepted>,
        refused: Vec<(StoreError, Answer<Revision>)>,
        result: &Result<(), StoreError>,
    ) {
        let mut answers = Vec::with_capacity(accepted.len());
        if result.is_ok() {
            let now_secs = self.options.clock.now().as_second();
            let mut ledger = self.shared.write();
            for Accepted { revision, writes, answer } in accepted {
                if !writes.is_empty() {
                    self.shared.hub.publish(revision, ledger.apply(revision, writes, now_secs));
                }
                answers.push((Ok(revision), answer));
            }
        } else {
            answers.extend(accepted.into_iter().map(|accepted| (Err(again(result)), accepted.answer)));
        }
        for (error, answer) in refused {
            let error = match error {
                StoreError::Conflict { key, .. } if result.is_ok() => {
                    let current = self.shared.read().get(&key);
                    StoreError::Conflict { key, current }
                }
                other if result.is_ok() => other,
                _ => again(result),
            };
            answers.push((Err(error), answer));
        }
        for (answer, to) in answers {
            // Nobody may wait for the answer any more.
            drop(to.send(answer));
        }
    }

    fn compact(&mut self, before: Revision) -> Result<(), StoreError> {
        let is_news = {
            let ledger = self.shared.read();
            ledger.oldest() < before && before <= ledger.current()
        };
        if !is_news {
            return self.shared.write().compact(before);
        }
        self.payload.clear();
        encode(&mut self.payload, &Record::Compacted { before });
        self.write(false)?;
        self.shared.write().compact(before)
    }

    /// Begins the next log when this one is large, and has a snapshot of the state between them written.
    fn rotate_if_due(&mut self) {
        if self.snapshot.as_ref().is_some_and(|thread| !thread.is_finished()) || self.failed.is_some() {
            return;
        }
        let (base, live_bytes) = {
            let ledger = self.shared.read();
            (ledger.current(), ledger.live_bytes() as u64)
        };
        if self.log.len() < self.options.log_bytes.max(live_bytes) {
            return;
        }
        let generation = self.log.generation + 1;
        let salt = self.options.rng.next_u64();
        self.sync_buffered();
        if !self.log.is_synced() || self.failed.is_some() {
            return;
        }
        match Log::create(&*self.disk, generation, base, salt) {
            Ok(log) => self.log = log,
            Err(error) => {
                // The old log goes on; the next batch tries again.
                tracing::warn!(%error, "cannot begin the store's next log");
                return;
            }
        }
        self.shared.write().pin(Some(base));
        let (disk, shared, stopping) = (self.disk.clone(), self.shared.clone(), self.stopping.clone());
        let work = move || write_snapshot(&*disk, &shared, &stopping, generation, base, salt);
        self.snapshot = std::thread::Builder::new().name("store-snapshot".into()).spawn(work).ok();
        if self.snapshot.is_none() {
            self.shared.write().pin(None);
        }
    }

    fn stop(mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.snapshot.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's snapshot thread panicked");
        }
        if self.failed.is_none() {
            self.payload.clear();
            encode(&mut self.payload, &Record::Stopped);
            if let Err(error) = self.log.append(&self.payload).and_then(|()| self.log.sync()) {
                tracing::warn!(%error, "the store could not note that it was closed");
            }
        }
        self.shared.hub.close();
    }
}

/// Waits a moment for as many commits as the last batch had: their writers have just been answered, and without this
/// the first of them would take a sync for itself.
fn linger(queue: &mut mpsc::Receiver<Message>, inbox: &mut Vec<Message>, last_len: usize) {
    for _ in 0..LINGER_YIELDS_MAX {
        if inbox.len() >= last_len {
            return;
        }
        std::thread::yield_now();
        while let Ok(message) = queue.try_recv() {
            inbox.push(message);
            if inbox.len() >= QUEUE_LEN_MAX {
                return;
            }
        }
    }
}

/// The same failure for each commit of a batch.
fn again(result: &Result<(), StoreError>) -> StoreError {
    match result {
        Err(StoreError::NoSpace(why)) => StoreError::NoSpace(why.clone()),
        Err(error) => StoreError::Io(error.to_string()),
        Ok(()) => StoreError::Closed,
    }
}

/// Whether the snapshot was written. Removes the generations that nothing needs any more.
fn write_snapshot(
    disk: &dyn Disk,
    shared: &Shared,
    stopping: &AtomicBool,
    generation: u64,
    base: Revision,
    salt: u64,
) -> bool {
    let next_page = |last: Option<&[u8]>| {
        if stopping.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        shared.read().page_behind(last, base, PAGE_LEN)
    };
    let written = snapshot::write(disk, generation, base, salt, next_page);
    shared.write().pin(None);
    let result = written.and_then(|()| remove_before(disk, generation).map_err(SnapshotError::from));
    match result {
        Ok(()) => true,
        Err(SnapshotError::Store(StoreError::Closed)) => false,
        Err(error) => {
            tracing::warn!(%error, generation, "the store's snapshot failed; older logs are kept");
            false
        }
    }
}

/// Keeps the snapshot before `generation` and what follows it; removes the rest, oldest first.
fn remove_before(disk: &dyn Disk, generation: u64) -> io::Result<()> {
    let files = Files::list(disk)?;
    let Some(keep) = files.snapshots.iter().copied().rfind(|number| *number < generation) else {
        return Ok(());
    };
    let mut old: Vec<u64> = files.snapshots.iter().chain(&files.logs).copied().filter(|n| *n < keep).collect();
    old.sort_unstable();
    old.dedup();
    for number in old {
        for (name, exists) in [
            (snapshot_name(number), files.snapshots.contains(&number)),
            (log_name(number), files.logs.contains(&number)),
        ] {
            if exists {
                disk.remove(&name)?;
            }
        }
        disk.sync_names()?;
    }
    Ok(())
}
