//! From a directory to a ledger and a log that goes on: what happens at every start.
//!
//! The oldest snapshot is read and all logs from its generation on are replayed, so that the history that clients
//! watch from survives a restart. Only the newest log may end in a torn frame; anything else that is broken is refused.

use std::io;

use super::codec::{FileKind, HEADER_LEN, Header, Record, Records, encode, frame_at, was_durable};
use super::log::{Log, log_name};
use super::snapshot::{self, snapshot_name};
use crate::disk::Disk;
use crate::ledger::{History, Ledger};
use crate::{Revision, StoreError};

/// How far revisions jump when unsynced ones may have been lost with the machine, so that none is given out twice.
const JUMP_AFTER_CRASH: u64 = 100_000;

#[derive(Debug)]
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
}

pub(crate) fn corrupt(disk: &dyn Disk, name: &str, offset: usize, what: &str) -> StoreError {
    let path = disk.path(name);
    StoreError::Corrupt(format!(
        "{path} at offset {offset}: {what}; restore the directory from a backup, or move it away to start empty"
    ))
}

pub(crate) fn io_error(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace(error.to_string()),
        io::ErrorKind::WouldBlock => StoreError::InUse(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}

/// The length without the zeros that the file was filled with; by blocks, since there are many.
fn used_len(file: &[u8]) -> usize {
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
    /// The boot id of the last start, unless the store was closed since.
    running_since: Option<String>,
}

/// The state at the end of what is durable, and the log to go on with. A new directory gets its first log.
pub(crate) fn recover(
    disk: &dyn Disk,
    history: History,
    now_secs: i64,
    salt: u64,
) -> Result<(Ledger, Log), StoreError> {
    let io = |error: io::Error| io_error(&error);
    for name in disk.names().map_err(io)?.iter().filter(|name| name.ends_with(".tmp")) {
        disk.remove(name).map_err(io)?;
    }
    let files = Files::list(disk).map_err(io)?;
    let mut replay = Replay { disk, ledger: Ledger::new(history), now_secs, running_since: None };
    let first = match (files.logs.first(), files.snapshots.first()) {
        (None, None) => {
            let log = Log::create(disk, 1, replay.ledger.current(), salt).map_err(io)?;
            return start(replay, log);
        }
        (Some(1), _) => 1,
        (_, Some(generation)) => {
            replay.snapshot(*generation)?;
            *generation
        }
        (Some(generation), None) => {
            let name = log_name(*generation);
            return Err(corrupt(disk, &name, 0, "the snapshot that it follows is missing"));
        }
    };
    let newest = files.logs.last().copied().unwrap_or(first).max(first);
    for generation in first..newest {
        replay.log(generation, false)?;
    }
    let log = replay.log(newest, true)?;
    start(replay, log.ok_or(StoreError::Closed)?)
}

/// Notes the start in the log, and jumps where the machine went down under unsynced revisions.
fn start(mut replay: Replay<'_>, mut log: Log) -> Result<(Ledger, Log), StoreError> {
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
    Ok((replay.ledger, log))
}

impl Replay<'_> {
    fn read(&self, name: &str, kind: FileKind, generation: u64) -> Result<(Vec<u8>, Header), StoreError> {
        let file = self.disk.read(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt(self.disk, name, 0, "the file is missing"),
            _ => io_error(&error),
        })?;
        let header = Header::decode(&file).map_err(|what| corrupt(self.disk, name, 0, &what))?;
        if header.kind != kind || header.generation != generation {
            return Err(corrupt(self.disk, name, 0, "its header belongs to another file"));
        }
        Ok((file, header))
    }

    fn snapshot(&mut self, generation: u64) -> Result<(), StoreError> {
        let name = snapshot_name(generation);
        let (file, header) = self.read(&name, FileKind::Snapshot, generation)?;
        let ledger = &mut self.ledger;
        snapshot::read(&file, header.salt, |entry| ledger.restore(entry))
            .map_err(|(at, what)| corrupt(self.disk, &name, at, &what))?;
        self.ledger.jump(header.base);
        Ok(())
    }

    /// Replays a log. The newest one may end in a torn frame, and is given back to be written on.
    fn log(&mut self, generation: u64, newest: bool) -> Result<Option<Log>, StoreError> {
        let name = log_name(generation);
        let (file, header) = self.read(&name, FileKind::Log, generation)?;
        if header.base != self.ledger.current() {
            let what = format!("it follows revision {}, but there is {}", header.base, self.ledger.current());
            return Err(corrupt(self.disk, &name, 0, &what));
        }
        let dirty_end = used_len(&file);
        let mut at = HEADER_LEN;
        // Padding behind the last frame is zero, so the end of the frames may lie behind the last byte that is not.
        while at < dirty_end {
            match frame_at(&file, at, header.salt) {
                Ok(frame) => {
                    self.records(frame.payload).map_err(|what| corrupt(self.disk, &name, at, &what))?;
                    at = frame.end;
                }
                Err(_) if newest && !was_durable(&file, at, header.salt) => break,
                Err(what) => return Err(corrupt(self.disk, &name, at, what)),
            }
        }
        if !newest {
            return Ok(None);
        }
        let log = Log::resume(self.disk, &header, at as u64, dirty_end as u64, file.len() as u64);
        log.map(Some).map_err(|error| io_error(&error))
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
                Record::Stopped => self.running_since = None,
                other => return Err(format!("an unexpected record ({other:?})")),
            }
        }
        Ok(())
    }
}
