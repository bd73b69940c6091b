//! Reads every frame of a store's directory and says what is broken, what that means, and what to do. Changes nothing.

use std::io;
use std::path::PathBuf;

use super::codec::{FileKind, Record, Records, was_durable};
use super::frames::{Frames, ReadError};
use super::log::log_name;
use super::recovery::{Files, io_error, last_used};
use super::snapshot::{self, snapshot_name};
use crate::disk::{Directory, Disk};
use crate::{Revision, StoreError};

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    pub file: String,
    /// The version of its format.
    pub version: u32,
    pub generation: u64,
    /// The revision in front of its first commit, or of which it is a snapshot.
    pub base: Revision,
    /// The revision of its last commit, or of which it is a snapshot.
    pub newest: Revision,
    pub frames: u64,
    /// Commits of a log, entries of a snapshot.
    pub records: u64,
    /// Its length on disk.
    pub bytes: u64,
}

/// What a finding means for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing was lost.
    Harmless,
    /// The newest state is whole; older revisions cannot be read.
    HistoryLost,
    /// The store does not open; what to do is said, and loses nothing.
    Repairable,
    /// The newest state cannot be read from this directory.
    StateLost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub file: String,
    pub offset: u64,
    pub what: String,
    pub severity: Severity,
    /// What to do.
    pub advice: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// In the order of their generations.
    pub files: Vec<FileReport>,
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether the store opens with its newest state.
    pub fn opens(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Repairable)
    }

    /// The newest revision that was found.
    pub fn revision(&self) -> Revision {
        self.files.iter().map(|file| file.newest).max().unwrap_or_default()
    }
}

impl PartialOrd for Severity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

/// Checks a directory. A running store may be checked too: what it writes meanwhile looks like a torn tail.
pub fn check(directory: impl Into<PathBuf>) -> Result<CheckReport, StoreError> {
    let directory = directory.into();
    if !directory.is_dir() {
        return Err(StoreError::Io(format!("{} is no directory", directory.display())));
    }
    check_on(&Directory::existing(directory))
}

pub fn check_on(disk: &dyn Disk) -> Result<CheckReport, StoreError> {
    let files = Files::list(disk).map_err(|error| io_error(&error))?;
    let mut found = Found { disk, report: CheckReport::default(), good: Files::default(), damage: Vec::new() };
    for generation in &files.snapshots {
        found.snapshot(*generation);
    }
    let newest = files.logs.last().copied();
    for generation in &files.logs {
        found.log(*generation, newest == Some(*generation));
    }
    found.judge(&files);
    found.report.files.sort_by_key(|file| (file.generation, file.file.clone()));
    Ok(found.report)
}

struct Damage {
    kind: FileKind,
    generation: u64,
    offset: u64,
    what: String,
}

struct Found<'a> {
    disk: &'a dyn Disk,
    report: CheckReport,
    good: Files,
    damage: Vec<Damage>,
}

impl Found<'_> {
    fn snapshot(&mut self, generation: u64) {
        let name = snapshot_name(generation);
        let read = || -> Result<FileReport, ReadError> {
            let mut frames = Frames::open(self.disk.reader(&name)?)?;
            let header = frames.header();
            if header.kind != FileKind::Snapshot || header.generation != generation {
                return Err(ReadError::broken(0, "its header belongs to another file"));
            }
            let contents = snapshot::read(&mut frames, |_| Ok::<_, ReadError>(()))?;
            Ok(FileReport {
                file: self.disk.path(&name),
                version: header.version,
                generation,
                base: header.base,
                newest: header.base,
                frames: contents.frames,
                records: contents.entries,
                bytes: self.disk.len(&name)?,
            })
        };
        match read() {
            Ok(report) => {
                self.good.snapshots.push(generation);
                self.report.files.push(report);
            }
            Err(error) => self.damaged(FileKind::Snapshot, generation, error),
        }
    }

    fn log(&mut self, generation: u64, newest: bool) {
        let name = log_name(generation);
        match self.read_log(&name, generation, newest) {
            Ok(report) => {
                self.good.logs.push(generation);
                self.report.files.push(report);
            }
            Err(error) => self.damaged(FileKind::Log, generation, error),
        }
    }

    fn read_log(&mut self, name: &str, generation: u64, newest: bool) -> Result<FileReport, ReadError> {
        let mut frames = Frames::open(self.disk.reader(name)?)?;
        let header = frames.header();
        if header.kind != FileKind::Log || header.generation != generation {
            return Err(ReadError::broken(0, "its header belongs to another file"));
        }
        let mut report = FileReport {
            file: self.disk.path(name),
            version: header.version,
            generation,
            base: header.base,
            newest: header.base,
            frames: 0,
            records: 0,
            bytes: self.disk.len(name)?,
        };
        let (at, what) = loop {
            let at = frames.at();
            let payload = match frames.frame() {
                Ok(frame) => frame.payload,
                Err(ReadError::Broken { at, what }) => break (at, what),
                Err(error) => return Err(error),
            };
            report.frames += 1;
            for record in Records(payload) {
                match record.map_err(|what| ReadError::broken(at, what))? {
                    Record::Commit { revision, .. } if revision > report.newest => {
                        report.records += 1;
                        report.newest = revision;
                    }
                    Record::Jumped { revision } if revision >= report.newest => report.newest = revision,
                    Record::Compacted { .. } | Record::Started { .. } | Record::Stopped | Record::Time { .. } => {}
                    other => return Err(ReadError::broken(at, format!("an unexpected record ({other:?})"))),
                }
            }
        };
        let rest = frames.rest()?;
        let used = last_used(&rest);
        if used > 0 && (!newest || was_durable(&rest, at, header.salt)) {
            return Err(ReadError::Broken { at, what });
        }
        if used > 0 {
            self.report.findings.push(Finding {
                file: report.file.clone(),
                offset: at,
                what: format!("a torn tail of {used} bytes"),
                severity: Severity::Harmless,
                advice: "nothing: it never was acknowledged, and is wiped by the next start".into(),
            });
        }
        Ok(report)
    }

    fn damaged(&mut self, kind: FileKind, generation: u64, error: ReadError) {
        let (offset, what) = match error {
            ReadError::Broken { at, what } => (at, what),
            ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => (0, "the file went away".into()),
            ReadError::Io(error) => (0, format!("it cannot be read: {error}")),
        };
        self.damage.push(Damage { kind, generation, offset, what });
    }

    /// Whether the newest state can be had from snapshot `from` (or from nothing, at 1) and the logs behind it.
    fn leads_to_now(&self, from: u64, newest: u64) -> bool {
        let starts = from == 1 || self.good.snapshots.contains(&from);
        starts && (from..=newest).all(|generation| self.good.logs.contains(&generation))
    }

    fn judge(&mut self, files: &Files) {
        let newest_log = files.logs.last().copied().unwrap_or_default();
        let newest_snapshot = files.snapshots.last().copied().unwrap_or(1);
        let newest = newest_log.max(newest_snapshot);
        for generation in newest_snapshot..=newest {
            let nothing_there = files.logs.is_empty() && files.snapshots.is_empty();
            if !nothing_there && !files.logs.contains(&generation) {
                let (kind, what) = (FileKind::Log, "the file is missing".to_owned());
                self.damage.push(Damage { kind, generation, offset: 0, what });
            }
        }
        let candidates: Vec<u64> = self.good.snapshots.iter().copied().chain([1]).collect();
        let whole = candidates.into_iter().any(|from| self.leads_to_now(from, newest));
        let opens = self.leads_to_now(newest_snapshot, newest);
        for Damage { kind, generation, offset, what } in std::mem::take(&mut self.damage) {
            let name = if kind == FileKind::Log { log_name(generation) } else { snapshot_name(generation) };
            let file = self.disk.path(&name);
            let (severity, advice) = if opens {
                (
                    Severity::HistoryLost,
                    "nothing: the newest state is whole; move the file away, or let the next compaction do it".into(),
                )
            } else if whole && kind == FileKind::Snapshot {
                (
                    Severity::Repairable,
                    format!("move {file} away and start again: the files before it hold the same state"),
                )
            } else {
                let advice =
                    "restore a backup into an empty directory (`ironclad store restore`), or have the disk read again";
                (Severity::StateLost, advice.into())
            };
            self.report.findings.push(Finding { file, offset, what, severity, advice });
        }
    }
}
