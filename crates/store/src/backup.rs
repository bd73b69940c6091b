//! Backups: every live entry of one revision as one checksummed stream, from any engine, and back into a directory.
//!
//! ```text
//! Backup::begin(store) -> chunks (a file, or the body of an answer) -> verify | restore -> EmbeddedStore::open
//! ```
//! A backup holds its revision in the store while it is read, so that it is consistent however long it takes, and blocks
//! no commit. It is the embedded engine's snapshot with a header of its own; without its last record it is refused.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use stdx::Rng;

use crate::disk::{Directory, Disk};
use crate::embedded::codec::{FileKind, Record, encode};
use crate::embedded::frames::{Frames, ReadError};
use crate::embedded::log::{self, Log};
use crate::embedded::recovery::{Files, io_error};
use crate::embedded::snapshot::{self, Draft, Encoder};
use crate::{Entry, Hold, KEYS_END, PAGE_LEN, Range, Revision, Store, StoreError};

/// The generation that a restored directory begins with: the first one needs no snapshot.
const RESTORED_GENERATION: u64 = 2;

/// What a whole backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupContents {
    pub revision: Revision,
    pub entries: u64,
    pub bytes: u64,
}

/// A backup while it is read from a store.
pub struct Backup {
    store: Arc<dyn Store>,
    hold: Hold,
    encoder: Encoder,
    /// The key to go on with; none when everything was read.
    next: Option<Vec<u8>>,
}

impl Backup {
    /// Of the store's newest revision.
    pub async fn begin(store: Arc<dyn Store>, rng: &Rng) -> Result<Self, StoreError> {
        let hold = store.hold().await?;
        let encoder = Encoder::new(FileKind::Backup, 0, hold.revision, rng.next_u64());
        Ok(Self { store, hold, encoder, next: Some(Vec::new()) })
    }

    pub fn revision(&self) -> Revision {
        self.hold.revision
    }

    /// What has been given out so far.
    pub fn contents(&self) -> BackupContents {
        BackupContents { revision: self.hold.revision, entries: self.encoder.entries, bytes: self.encoder.at }
    }

    /// The next bytes of the backup; `None` behind its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.encoder.at == 0 {
            return Ok(Some(self.encoder.header().into()));
        }
        let Some(start) = self.next.take() else { return Ok(None) };
        let (at, limit) = (Some(self.hold.revision), Some(PAGE_LEN));
        let page = self.store.range(Range { start: start.into(), end: KEYS_END.into(), at, limit }).await?;
        self.next = page.entries.last().filter(|_| page.more).map(|last| [&*last.key, &[0]].concat());
        Ok(Some(self.encoder.page(page.entries, !page.more).into()))
    }

    /// Writes all of it. Who writes to a file syncs it afterwards.
    pub async fn write(mut self, out: &mut (dyn Write + Send)) -> Result<BackupContents, StoreError> {
        while let Some(chunk) = self.next().await? {
            out.write_all(&chunk).map_err(|error| io_error(&error))?;
        }
        Ok(self.contents())
    }
}

/// A backup while it is read back.
pub struct BackupReader<R> {
    frames: Frames<R>,
}

impl<R: Read> BackupReader<R> {
    pub fn open(source: R) -> Result<Self, StoreError> {
        let frames = Frames::open(source).map_err(StoreError::from)?;
        if frames.header().kind != FileKind::Backup {
            return Err(StoreError::Corrupt("this is a file of a store's directory, and no backup".into()));
        }
        Ok(Self { frames })
    }

    pub fn revision(&self) -> Revision {
        self.frames.header().base
    }

    /// Hands on all entries in the order of their keys, a page at a time. An error says that the backup is not whole:
    /// what was handed on before is to be thrown away.
    pub fn read(
        mut self,
        mut each: impl FnMut(Vec<Entry>) -> Result<(), StoreError>,
    ) -> Result<BackupContents, StoreError> {
        let contents = snapshot::read(&mut self.frames, &mut each)?;
        Ok(BackupContents { revision: self.revision(), entries: contents.entries, bytes: contents.bytes })
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => io_error(&error),
            ReadError::Broken { at, what } => Self::Corrupt(format!("at offset {at}: {what}")),
        }
    }
}

/// Reads a backup to its end, and says what it holds or where it is broken.
pub fn verify_backup(source: impl Read) -> Result<BackupContents, StoreError> {
    BackupReader::open(source)?.read(|_| Ok(()))
}

/// Makes a store of a backup, at exactly its revision, in a directory that holds none. With `skip` the revisions go on so
/// much later: for clients that have seen revisions of the lost store that are newer than the backup.
pub fn restore(
    source: impl Read,
    directory: impl Into<PathBuf>,
    skip: u64,
    rng: &Rng,
) -> Result<BackupContents, StoreError> {
    let directory = directory.into();
    let disk = Directory::create(&directory)
        .map_err(|error| StoreError::Io(format!("cannot make {}: {error}", directory.display())))?;
    restore_on(&disk, source, skip, rng)
}

pub fn restore_on(disk: &dyn Disk, source: impl Read, skip: u64, rng: &Rng) -> Result<BackupContents, StoreError> {
    let io = |error: io::Error| io_error(&error);
    let _lock = disk.lock().map_err(io)?;
    if Files::list(disk).map_err(io)? != Files::default() {
        let what = format!("{} holds a store already; restore into an empty directory", disk.path(""));
        return Err(StoreError::InUse(what));
    }
    let backup = BackupReader::open(source)?;
    let (generation, revision) = (RESTORED_GENERATION, backup.revision());
    let mut draft = Draft::create(disk, generation, revision, rng.next_u64()).map_err(io)?;
    // The last page is only known behind it, so the end stands in a frame of its own.
    let read = backup.read(|page| draft.push(page, false).map_err(io));
    let made = read.and_then(|contents| {
        draft.push(Vec::new(), true).map_err(io)?;
        // Nobody ran on it, so that the first start goes on at exactly this revision.
        let fill = log::FILL_MIN;
        let made = Log::create(disk, generation, revision, rng.next_u64(), fill, &Record::Stopped);
        let mut log = made.map_err(io)?;
        if skip > 0 {
            let mut payload = Vec::new();
            encode(&mut payload, &Record::Jumped { revision: Revision(revision.0 + skip) });
            log.append(&payload).and_then(|()| log.sync()).map_err(io)?;
        }
        // Only now: a directory with a log and no snapshot is refused, so a restore that was broken off is no empty store.
        draft.finish(disk).map_err(io)?;
        Ok(contents)
    });
    if made.is_err() {
        snapshot::discard(disk, generation);
    }
    made
}
