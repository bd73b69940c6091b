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

use super::codec::{Record, VERSION, encode, encode_commit};
use super::job::SnapshotJob;
use super::log::{Log, log_name};
use super::recovery::io_error;
use super::{EmbeddedOptions, QUEUE_LEN_MAX, Shared};
use crate::disk::Disk;
use crate::ledger::{MARK_EVERY_SECS, Overlay};
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
    Reclaim(Answer<()>),
    /// A snapshot has ended, and somebody waits for the next.
    Look,
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
    snapshot: Option<JoinHandle<()>>,
    /// The snapshot, where nobody spawns threads.
    job: Option<SnapshotJob>,
    by_hand: bool,
    /// The time that the log was last told.
    told_secs: Option<i64>,
    /// Who waits for the next snapshot to begin, so that the space of older files is given back.
    reclaiming: Vec<Answer<()>>,
    stopping: Arc<AtomicBool>,
    wake: mpsc::WeakSender<Message>,
    overlay: Overlay,
    payload: Vec<u8>,
    unsynced_batches: usize,
}

impl Writer {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        log: Log,
        options: EmbeddedOptions,
        wake: mpsc::WeakSender<Message>,
        by_hand: bool,
    ) -> Self {
        Self {
            disk,
            shared,
            log,
            options,
            failed: None,
            snapshot: None,
            job: None,
            by_hand,
            told_secs: None,
            reclaiming: Vec::new(),
            stopping: Arc::default(),
            wake,
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
            self.before_waiting(queue.is_empty());
            if queue.blocking_recv_many(&mut inbox, QUEUE_LEN_MAX) == 0 {
                break;
            }
            linger(&mut queue, &mut inbox, last_len);
            last_len = inbox.len();
            self.turn(&mut inbox);
        }
        self.stop();
    }

    pub(super) fn before_waiting(&mut self, nothing_waits: bool) {
        if !self.log.is_synced() && (nothing_waits || self.unsynced_batches >= UNSYNCED_BATCHES_MAX) {
            self.sync_buffered();
        }
        if nothing_waits
            && self.failed.is_none()
            && let Err(error) = self.log.seal()
        {
            self.failure(&error);
        }
    }

    /// Answers everything in `inbox`.
    pub(super) fn turn(&mut self, inbox: &mut Vec<Message>) {
        let mut waiting: VecDeque<Message> = inbox.drain(..).collect();
        while !waiting.is_empty() {
            self.batch(&mut waiting);
        }
        self.rotate_if_due();
        if self.payload.capacity() > IDLE_BYTES_MAX {
            self.payload = Vec::new();
        }
    }

    /// A little of a snapshot that is written by hand.
    #[cfg(test)]
    pub(super) fn work(&mut self) {
        if self.job.as_mut().is_some_and(SnapshotJob::step) {
            self.job = None;
            self.rotate_if_due();
        }
    }

    fn sync_buffered(&mut self) {
        self.unsynced_batches = 0;
        if let Err(error) = self.log.sync() {
            self.failure(&error);
        }
    }

    /// Lack of space is made good by the next sync, since the frames are written again; after any other failure nothing
    /// is known about what the disk holds.
    fn failure(&mut self, error: &io::Error) -> StoreError {
        let kind = io_error(error);
        if !matches!(kind, StoreError::NoSpace(_)) {
            self.fail(error);
        }
        kind
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
        let now_secs = self.options.clock.now().as_second();
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
                    Some(Message::Look) => continue,
                    Some(Message::Reclaim(answer)) => {
                        self.reclaiming.push(answer);
                        continue;
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
                    let time_told = self.told_secs.is_some_and(|told| (now_secs - told).abs() < MARK_EVERY_SECS);
                    if !time_told && self.log.version == VERSION {
                        encode(&mut self.payload, &Record::Time { secs: now_secs });
                        self.told_secs = Some(now_secs);
                    }
                    crate::stamp_all(self.options.stamp, &mut writes, revision);
                    encode_commit(&mut self.payload, revision, &writes);
                    self.overlay.note(revision, &writes);
                }
                accepted.push(Accepted { revision, writes, answer });
            }
        }
        let result = self.write(synced);
        if result.is_err() {
            self.told_secs = None;
        }
        self.finish(accepted, refused, &result, now_secs);
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
        result.map_err(|error| self.failure(&error))
    }

    /// Applies and answers.
    fn finish(
        &self,
        accepted: Vec<Accepted>,
        refused: Vec<(StoreError, Answer<Revision>)>,
        result: &Result<(), StoreError>,
        now_secs: i64,
    ) {
        let mut answers = Vec::with_capacity(accepted.len());
        if result.is_ok() {
            let mut ledger = self.shared.write();
            for Accepted { revision, writes, answer } in accepted {
                if !writes.is_empty() {
                    self.shared.hub.publish(revision, ledger.apply(revision, writes, now_secs));
                }
                answers.push((Ok(revision), answer));
            }
        } else {
            answers.extend(accepted.into_iter().map(|accepted| (Err(again_of(result)), accepted.answer)));
        }
        for (error, answer) in refused {
            let error = match error {
                StoreError::Conflict { key, .. } if result.is_ok() => {
                    let current = self.shared.read().get(&key);
                    StoreError::Conflict { key, current }
                }
                other if result.is_ok() => other,
                _ => again_of(result),
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
            ledger.floor() < before && before <= ledger.current()
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
        // What a snapshot would remove may still be read for its history.
        if self.shared.read().is_pinned() || *self.shared.indexing.borrow() {
            return;
        }
        let (base, live_bytes) = {
            let ledger = self.shared.read();
            (ledger.current(), ledger.live_bytes() as u64)
        };
        let due = self.log.len() >= self.options.log_bytes.max(live_bytes) || self.log.version < VERSION;
        if !due && self.reclaiming.is_empty() {
            return;
        }
        if let Err(error) = self.rotate(base) {
            // The old log goes on; the next batch tries again.
            tracing::warn!(%error, "cannot begin the store's next log");
            for answer in self.reclaiming.drain(..) {
                // Nobody may wait for the answer any more.
                drop(answer.send(Err(again(&error))));
            }
        }
    }

    fn rotate(&mut self, base: Revision) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(StoreError::Io(failed.clone()));
        }
        if !self.log.is_synced() {
            self.unsynced_batches = 0;
            self.log.sync().map_err(|error| self.failure(&error))?;
        }
        // Only the newest log may be torn, be it in its seal.
        self.log.seal().map_err(|error| self.failure(&error))?;
        self.log.sync().map_err(|error| self.failure(&error))?;
        let (generation, salt) = (self.log.generation + 1, self.options.rng.next_u64());
        // A start reads this log alone, and must know whether Buffered commits may have been lost with the machine.
        let running = Record::Started { boot: self.disk.boot() };
        let log = Log::create(&*self.disk, generation, base, salt, self.options.fill_bytes, &running);
        self.log = log.map_err(|error| self.failure(&error))?;
        self.told_secs = None;
        self.shared.write().pin(Some(base));
        let answers = std::mem::take(&mut self.reclaiming);
        let job = SnapshotJob::new(self.disk.clone(), self.shared.clone(), generation, base, salt, answers);
        if self.by_hand {
            self.job = Some(job);
            return Ok(());
        }
        let stopping = self.stopping.clone();
        let wake = self.wake.clone();
        let work = move || {
            job.run(&stopping);
            // A full queue wakes the writer by itself.
            drop(wake.upgrade().map(|queue| queue.try_send(Message::Look)));
        };
        self.snapshot = std::thread::Builder::new().name("store-snapshot".into()).spawn(work).ok();
        if self.snapshot.is_none() {
            self.shared.write().pin(None);
        }
        Ok(())
    }

    pub(super) fn stop(mut self) {
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
fn again_of(result: &Result<(), StoreError>) -> StoreError {
    result.as_ref().err().map_or(StoreError::Closed, again)
}

pub(super) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::NoSpace(why) => StoreError::NoSpace(why.clone()),
        StoreError::Io(why) => StoreError::Io(why.clone()),
        error => StoreError::Io(error.to_string()),
    }
}
