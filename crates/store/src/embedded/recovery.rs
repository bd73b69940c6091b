//! From a directory to a ledger and a log that goes on: what happens at every start.
//!
//! The newest snapshot is read and the logs from its generation on are replayed; what was before is read later (see
//! `past.rs`). Only the newest log may end in a torn frame; anything else that is broken is refused.

use std::io::{self, Read};

use super::codec::{FileKind, HEADER_LEN, Record, Records, encode, was_durable};
use super::frames::{Frames, ReadError};
use super::log::{Log, Tail, is_full, log_name};
use super::past::Past;
use super::snapshot::{self, snapshot_name};
use crate::disk::Disk;
use crate::ledger::{History, Ledger};
use crate::{Entry, Revision, StoreError};

/// How far revisions jump when unsynced ones may have been lost with the machine, so that none is given out twice.
const JUMP_AFTER_CRASH: u64 = 100_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) snapshots: Vec<u64>,
    pub(crate) logs: Vec<u64>,
}

impl Files {
    pub(crate) fn list(disk: &dyn Disk) -> io::Result<Self> {
        let names = disk.names()?;
        let generations = |prefix: &str| {
            let parse = |name: &String| u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok();
            let mut found: Vec<u64> = names.iter().filter_map(parse).collect();
            found.sort_unstable();
            found
        };
        Ok(Self { snapshots: generations("snapshot-"), logs: generations("log-") })
    }

    /// The logs before `generation` without a gap, from the first one whose snapshot is there.
    fn before(&self, generation: u64) -> Vec<u64> {
        let whole = self.logs.iter().rev().copied().filter(|log| *log < generation);
        let mut unbroken: Vec<u64> = whole
            .zip((1..generation).rev())
            .take_while(|(log, expected)| log == expected)
            .map(|(log, _)| log)
            .collect();
        unbroken.reverse();
        let starts = |log: &u64| *log == 1 || self.snapshots.contains(log);
        let first = unbroken.iter().position(starts).unwrap_or(unbroken.len());
        unbroken.split_off(first)
    }
}

pub(crate) fn corrupt(disk: &dyn Disk, name: &str, offset: u64, what: &str) -> StoreError {
    let path = disk.path(name);
    StoreError::Corrupt(format!(
        "{path} at offset {offset}: {what}; `ironclad store check` says what is affected and what to do, `ironclad store \
         restore` makes a store of a backup"
    ))
}

pub(crate) fn io_error(error: &io::Error) -> StoreError {
    match error.kind() {
        _ if is_full(error) => StoreError::NoSpace(error.to_string()),
        io::ErrorKind::WouldBlock => StoreError::InUse(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}

/// The length without the zeros that the file was filled with; by blocks, since there are many.
pub(crate) fn last_used(file: &[u8]) -> usize {
    const BLOCK: [u8; 4096] = [0; 4096];
    let mut used = file;
    while let Some(rest) = used.strip_suffix(&BLOCK) {
        used = rest;
    }
    used.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

struct Replay<'a> {
    disk: &'a dyn Disk,
    ledger: Ledger,
    now_secs: i64,
    /// The boot id of the last start, unless the store was closed since; empty where no log tells it.
    running_since: Option<String>,
}

/// What a start finds.
pub(crate) struct Recovered {
    pub(crate) ledger: Ledger,
    /// To be written on.
    pub(crate) log: Log,
    /// The history that is still to be read.
    pub(crate) past: Option<Past>,
}

/// The state at the end of what is durable: the newest snapshot and the logs from its generation on. A new directory gets
/// its first log.
pub(crate) fn recover(
    disk: &dyn Disk,
    history: History,
    now_secs: i64,
    salt: u64,
    fill_min: u64,
) -> Result<Recovered, StoreError> {
    let io = |error: io::Error| io_error(&error);
    for name in disk.names().map_err(io)?.iter().filter(|name| name.ends_with(".tmp")) {
        disk.remove(name).map_err(io)?;
    }
    let files = Files::list(disk).map_err(io)?;
    // A process that was killed may have given a file its name, and not made that durable.
    disk.sync_names().map_err(io)?;
    let mut replay = Replay { disk, ledger: Ledger::new(history), now_secs, running_since: Some(String::new()) };
    let first = match (files.logs.first(), files.snapshots.last()) {
        (None, None) => {
            replay.running_since = None;
            let log = Log::create(disk, 1, replay.ledger.current(), salt, fill_min, &Record::Stopped).map_err(io)?;
            return start(replay, log, None);
        }
        (_, Some(generation)) => {
            replay.snapshot(*generation)?;
            *generation
        }
        (Some(1), None) => 1,
        (Some(generation), None) => {
            let name = log_name(*generation);
            return Err(corrupt(disk, &name, 0, "the snapshot that it follows is missing"));
        }
    };
    let base = replay.ledger.current();
    let newest = files.logs.last().copied().unwrap_or(first).max(first);
    for generation in first..newest {
        replay.log(generation, false)?;
    }
    let tail = replay.log(newest, true)?;
    let log = Log::resume(disk, &tail, fill_min).map_err(io)?;
    let past = Past { generations: files.before(first), base, now_secs };
    start(replay, log, Some(past).filter(|past| !past.generations.is_empty()))
}

/// Notes the start in the log, and jumps where the machine went down under unsynced revisions.
fn start(mut replay: Replay<'_>, mut log: Log, past: Option<Past>) -> Result<Recovered, StoreError> {
    let boot = replay.disk.boot();
    let mut payload = Vec::new();
    if replay.running_since.as_ref().is_some_and(|before| *before != boot || boot.is_empty()) {
        let revision = Revision(replay.ledger.current().0 + JUMP_AFTER_CRASH);
        replay.ledger.jump(revision);
        encode(&mut payload, &Record::Jumped { revision });
    }
    encode(&mut payload, &Record::Started { boot });
    match log.append(&payload).and_then(|()| log.sync()).map_err(|error| io_error(&error)) {
        Ok(()) => {}
        // Reads go on with a full disk. Without the note the next start may jump once more, which is always safe.
        Err(StoreError::NoSpace(why)) => {
            log.rollback();
            tracing::warn!("the store opens without space to write: {why}");
        }
        Err(error) => return Err(error),
    }
    let ledger = replay.ledger;
    let past = past.filter(|past| ledger.begins_at(past.base));
    Ok(Recovered { ledger, log, past })
}

type FileFrames = Frames<Box<dyn Read + Send>>;

impl Replay<'_> {
    fn open(&self, name: &str, kind: FileKind, generation: u64) -> Result<FileFrames, StoreError> {
        let file = self.disk.reader(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(self.disk, name, 0, "the file is missing"),
            _ => io_error(&error),
        })?;
        let frames = Frames::open(file).map_err(|error| self.unreadable(name, error))?;
        let header = frames.header();
        if header.kind != kind || header.generation != generation {
            return Err(corrupt(self.disk, name, 0, "its header belongs to another file"));
        }
        Ok(frames)
    }

    fn unreadable(&self, name: &str, error: ReadError) -> StoreError {
        match error {
            ReadError::Broken { at, what } => corrupt(self.disk, name, at, &what),
            ReadError::Io(error) => StoreError::Io(format!("cannot read {}: {error}", self.disk.path(name))),
        }
    }

    fn snapshot(&mut self, generation: u64) -> Result<(), StoreError> {
        let name = snapshot_name(generation);
        let mut frames = self.open(&name, FileKind::Snapshot, generation)?;
        let mut entries = Vec::new();
        let each = |mut page: Vec<Entry>| -> Result<(), ReadError> {
            entries.append(&mut page);
            Ok(())
        };
        snapshot::read(&mut frames, each).map_err(|error| self.unreadable(&name, error))?;
        self.ledger.restore(entries.into_iter());
        self.ledger.jump(frames.header().base);
        Ok(())
    }

    /// Replays a log. Only the newest one may end in a torn frame.
    fn log(&mut self, generation: u64, newest: bool) -> Result<Tail, StoreError> {
        let name = log_name(generation);
        let mut frames = self.open(&name, FileKind::Log, generation)?;
        let header = frames.header();
        if header.base != self.ledger.current() {
            let what = format!("it follows revision {}, but there is {}", header.base, self.ledger.current());
            return Err(corrupt(self.disk, &name, 0, &what));
        }
        let (mut synced, mut unsure) = (HEADER_LEN as u64, Vec::new());
        let (end, what) = loop {
            let at = frames.at();
            match frames.frame() {
                Ok(frame) => {
                    if frame.synced > synced {
                        synced = frame.synced;
                        unsure.clear();
                    }
                    unsure.extend_from_slice(frame.bytes);
                    self.records(frame.payload).map_err(|what| corrupt(self.disk, &name, at, &what))?;
                }
                Err(ReadError::Broken { at, what }) => break (at, what),
                Err(error) => return Err(self.unreadable(&name, error)),
            }
        };
        let rest = frames.rest().map_err(|error| self.unreadable(&name, error.into()))?;
        let dirty_len = last_used(&rest);
        if dirty_len > 0 && (!newest || was_durable(&rest, end, header.salt)) {
            return Err(corrupt(self.disk, &name, end, &what));
        }
        Ok(Tail { header, synced, unsure, end, dirty_len, len: end + rest.len() as u64 })
    }

    fn records(&mut self, payload: &[u8]) -> Result<(), String> {
        for record in Records(payload) {
            match record? {
                Record::Commit { revision, writes } if revision > self.ledger.current() => {
                    self.ledger.apply(revision, writes, self.now_secs);
                }
                Record::Compacted { before } => self.ledger.compact(before).map_err(|error| error.to_string())?,
                Record::Jumped { revision } if revision >= self.ledger.current() => self.ledger.jump(revision),
                Record::Started { boot } => self.running_since = Some(boot),
                Record::Time { secs } => self.now_secs = secs,
                Record::Stopped => self.running_since = None,
                other => return Err(format!("an unexpected record ({other:?})")),
            }
        }
        Ok(())
    }
}
