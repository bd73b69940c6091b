//! The history before the newest snapshot, read behind a store that serves already.
//!
//! Twice over the older logs: once to see where the history that is kept begins and which keys it touches, once to know
//! the value that each of its events replaced. Then the ledger takes it in from its newest revision backwards, a little at
//! a time. Whatever cannot be read ends the history there and is told; the newest state does not depend on it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Shared;
use super::codec::{FileKind, Record, Records};
use super::frames::{Frames, ReadError};
use super::log::log_name;
use super::snapshot::{self, snapshot_name};
use crate::disk::Disk;
use crate::ledger::{History, PastRevision, Version, key_of};
use crate::{Entry, Revision, StoreEvent, StoreKey, Write};

/// So many revisions are taken in under one lock.
const CHUNK_LEN: usize = 256;

/// What recovery did not read.
pub(crate) struct Past {
    /// The older logs, oldest first; the snapshot of the first one's generation is there, unless it is 1.
    pub(super) generations: Vec<u64>,
    /// The revision of the newest snapshot.
    pub(super) base: Revision,
    /// Counts for logs that do not tell the time.
    pub(super) now_secs: i64,
}

pub(super) struct PastJob {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    history: History,
    past: Past,
    /// What is still to be taken in, oldest first.
    read: Option<Vec<PastRevision>>,
    /// The first revision that the ledger knows.
    follower: Revision,
}

impl PastJob {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, history: History, past: Past) -> Self {
        let follower = past.base.next();
        Self { disk, shared, history, past, read: None, follower }
    }

    pub(super) fn run(mut self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Relaxed) && !self.step() {}
    }

    /// A little of the work; whether it was the last.
    pub(super) fn step(&mut self) -> bool {
        let Some(read) = &mut self.read else {
            self.read = Some(self.past.read(&*self.disk, &self.history).unwrap_or_else(|error| {
                tracing::warn!("older revisions are not readable: {error}; `ironclad store check` says more");
                Vec::new()
            }));
            return false;
        };
        let rest = read.split_off(read.len().saturating_sub(CHUNK_LEN));
        let mut ledger = self.shared.write();
        for revision in rest.into_iter().rev() {
            let number = revision.revision;
            if !ledger.prepend(revision, self.follower) {
                read.clear();
                break;
            }
            self.follower = number;
        }
        read.is_empty()
    }
}

impl Drop for PastJob {
    /// Whoever waits for older revisions gets what there is.
    fn drop(&mut self) {
        self.shared.indexing.send_replace(false);
    }
}

/// One commit of an older log.
struct Commit {
    revision: Revision,
    secs: i64,
    writes: Vec<Write>,
}

impl Past {
    fn read(&self, disk: &dyn Disk, history: &History) -> Result<Vec<PastRevision>, String> {
        let (from, touched) = self.window(disk, history)?;
        let mut state: HashMap<StoreKey, Version> = HashMap::new();
        if self.generations.first().is_some_and(|first| *first > 1) {
            self.snapshot(disk, |entry| {
                let Entry { key, value, created, modified } = entry;
                if touched.contains(&key) {
                    state.insert(key, Version { created, modified, value: Some(value) });
                }
            })?;
        }
        let mut revisions = Vec::new();
        self.logs(disk, |record| {
            let PastRecord::Commit(Commit { revision, secs, writes }) = record else { return };
            let mut events = Vec::new();
            for write in writes {
                let key = key_of(&write).clone();
                if !touched.contains(&key) {
                    continue;
                }
                let before = state.remove(&key);
                let created = before.as_ref().map_or(revision, |before| before.created);
                let value = match write {
                    Write::Put(_, value) => Some(value),
                    Write::Delete(_) => None,
                };
                if value.is_some() {
                    state.insert(key.clone(), Version { created, modified: revision, value: value.clone() });
                }
                let replaced = before.as_ref().and_then(|before| before.value.clone());
                events.push((StoreEvent { revision, key, value, created, before: replaced }, before));
            }
            if revision >= from {
                revisions.push(PastRevision { revision, secs, events });
            }
        })?;
        Ok(revisions)
    }

    /// The first revision within the bounds of the history, and the keys of all from there on.
    fn window(&self, disk: &dyn Disk, history: &History) -> Result<(Revision, HashSet<StoreKey>), String> {
        let mut window: VecDeque<(Revision, i64, Vec<StoreKey>, usize)> = VecDeque::new();
        let (mut len, mut bytes, mut newest_secs) = (0, 0, self.now_secs);
        self.logs(disk, |record| {
            let mut drop_before = Revision::ZERO;
            match record {
                PastRecord::Commit(Commit { revision, secs, writes }) => {
                    let size =
                        writes.iter().map(|write| if let Write::Put(_, value) = write { value.len() } else { 0 });
                    let size = size.sum();
                    let keys: Vec<StoreKey> = writes.iter().map(|write| key_of(write).clone()).collect();
                    len += keys.len();
                    bytes += size;
                    newest_secs = newest_secs.max(secs);
                    window.push_back((revision, secs, keys, size));
                }
                PastRecord::Before(revision) => drop_before = revision,
            }
            while window.front().is_some_and(|(revision, ..)| {
                *revision < drop_before || len > history.events_max || bytes > history.bytes_max
            }) {
                let Some((_, _, keys, size)) = window.pop_front() else { break };
                len -= keys.len();
                bytes -= size;
            }
        })?;
        if let Some(kept) = history.window {
            let since = newest_secs.saturating_sub(i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
            while window.front().is_some_and(|(_, secs, ..)| *secs < since) {
                window.pop_front();
            }
        }
        let from = window.front().map_or(self.base.next(), |(revision, ..)| *revision);
        Ok((from, window.into_iter().flat_map(|(_, _, keys, _)| keys).collect()))
    }

    fn snapshot(&self, disk: &dyn Disk, mut each: impl FnMut(Entry)) -> Result<(), String> {
        let Some(generation) = self.generations.first() else { return Ok(()) };
        let name = snapshot_name(*generation);
        let said = |error: ReadError| format!("{}: {error}", disk.path(&name));
        let mut frames = Frames::open(disk.reader(&name).map_err(|error| said(error.into()))?).map_err(said)?;
        if frames.header().kind != FileKind::Snapshot || frames.header().generation != *generation {
            return Err(said(ReadError::broken(0, "its header belongs to another file")));
        }
        let taken = snapshot::read(&mut frames, |page| {
            page.into_iter().for_each(&mut each);
            Ok::<_, ReadError>(())
        });
        taken.map(|_| ()).map_err(said)
    }

    fn logs(&self, disk: &dyn Disk, mut each: impl FnMut(PastRecord)) -> Result<(), String> {
        let mut secs = self.now_secs;
        let mut follows = None;
        for generation in &self.generations {
            let name = log_name(*generation);
            let said = |error: ReadError| format!("{}: {error}", disk.path(&name));
            let mut frames = Frames::open(disk.reader(&name).map_err(|error| said(error.into()))?).map_err(said)?;
            let header = frames.header();
            if header.generation != *generation || follows.is_some_and(|follows| follows != header.base) {
                return Err(said(ReadError::broken(0, "it does not follow the file before")));
            }
            let mut newest = header.base;
            let stop = loop {
                let payload = match frames.frame() {
                    Ok(frame) => frame.payload,
                    Err(error) => break error,
                };
                for record in Records(payload) {
                    match record {
                        Ok(Record::Commit { revision, writes }) => {
                            newest = revision;
                            each(PastRecord::Commit(Commit { revision, secs, writes }));
                        }
                        Ok(Record::Time { secs: now }) => secs = now,
                        Ok(Record::Compacted { before }) => each(PastRecord::Before(before)),
                        Ok(Record::Jumped { revision }) => {
                            newest = revision;
                            each(PastRecord::Before(revision.next()));
                        }
                        Ok(_) => {}
                        Err(what) => return Err(said(ReadError::broken(frames.at(), what))),
                    }
                }
            };
            follows = Some(newest);
            let whole = frames.rest().is_ok_and(|rest| rest.iter().all(|byte| *byte == 0));
            if !whole {
                return Err(said(stop));
            }
        }
        match follows {
            Some(newest) if newest != self.base => Err(format!(
                "the older logs end at revision {newest}, and the snapshot behind them is at {}",
                self.base
            )),
            _ => Ok(()),
        }
    }
}

enum PastRecord {
    Commit(Commit),
    /// What is older than this is forgotten.
    Before(Revision),
}
