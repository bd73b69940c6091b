//! One log file while it is written: frames appended into zero-filled space, synced on demand.
//!
//! Space is filled with zeros and synced before it is used, so that a commit's sync has no file metadata to write.
//! Everything since the last sync is kept in memory and written again with the next frame, so that a sync that failed
//! for lack of space is made good by a later one.

use std::io;
use std::sync::Arc;

use super::codec::{FRAME_HEADER_LEN, FileKind, HEADER_LEN, Header, Record, VERSION, encode, encode_frame};
use crate::Revision;
use crate::disk::{Disk, DiskFile};

/// A larger buffer is not kept for the next frames.
const IDLE_BYTES_MAX: usize = 1 << 20;
/// So much is filled with zeros at once: as much as there is, between these.
pub(crate) const FILL_MIN: u64 = 1 << 20;
const FILL_MAX: u64 = 8 << 20;

pub(crate) struct Log {
    file: Arc<dyn DiskFile>,
    pub(crate) generation: u64,
    /// The version of its format. A log of an older one is not written on for long.
    pub(crate) version: u32,
    salt: u64,
    /// Everything before is durable.
    synced: u64,
    /// The frames from `synced` on.
    unsynced: Vec<u8>,
    /// Where in `unsynced` the last frame starts.
    last: usize,
    /// Up to where the file is filled with zeros.
    filled: u64,
    fill_min: u64,
    /// A sync failed: what lies behind `synced` may be in the machine's memory only, marked as if it were on disk.
    suspect: bool,
    sealed: bool,
}

/// Where the newest log ends, as recovery found it.
pub(crate) struct Tail {
    pub(crate) header: Header,
    /// Up to here it is known to be on disk.
    pub(crate) synced: u64,
    /// The good frames from `synced` on.
    pub(crate) unsure: Vec<u8>,
    /// Where the good frames end.
    pub(crate) end: u64,
    /// So much behind `end` is not zero.
    pub(crate) dirty_len: usize,
    /// Of the file.
    pub(crate) len: u64,
}

pub(crate) fn log_name(generation: u64) -> String {
    format!("log-{generation:016x}")
}

impl Log {
    /// Makes the file whole under another name first: a log with its name has a good header, and says in its first frame
    /// whether somebody runs on it.
    pub(crate) fn create(
        disk: &dyn Disk,
        generation: u64,
        base: Revision,
        salt: u64,
        fill_min: u64,
        first: &Record,
    ) -> io::Result<Self> {
        let (name, draft) = (log_name(generation), format!("{}.tmp", log_name(generation)));
        let header = Header { version: VERSION, kind: FileKind::Log, generation, base, salt };
        let mut block = header.encode();
        let mut payload = Vec::new();
        encode(&mut payload, first);
        encode_frame(&mut block, &payload, HEADER_LEN as u64, HEADER_LEN as u64, salt);
        let start = block.len() as u64;
        let filled = fill_min.max(start);
        block.resize(usize::try_from(filled).map_err(io::Error::other)?, 0);
        let made = Self::create_draft(disk, &draft, &block);
        let file = made.inspect_err(|_| {
            // On a full disk its space is wanted; the next start removes it otherwise.
            if let Err(error) = disk.remove(&draft) {
                tracing::debug!(%error, "cannot remove {}", disk.path(&draft));
            }
        })?;
        if let Err(error) = disk.rename(&draft, &name).and_then(|()| disk.sync_names()) {
            // The log before is written on, so this one must not be found behind it.
            let gone = disk.remove(&name).or_else(|_| disk.remove(&draft)).and_then(|()| disk.sync_names());
            return Err(gone.map_or_else(io::Error::other, |()| error));
        }
        let unsynced = Vec::new();
        Ok(Self {
            file,
            generation,
            version: VERSION,
            salt,
            synced: start,
            unsynced,
            last: 0,
            filled,
            fill_min,
            suspect: false,
            sealed: false,
        })
    }

    fn create_draft(disk: &dyn Disk, draft: &str, block: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
        let file = disk.open(draft)?;
        file.write_at(block, 0)?;
        file.sync()?;
        Ok(file)
    }

    /// Goes on behind what recovery found.
    pub(crate) fn resume(disk: &dyn Disk, found: &Tail, fill_min: u64) -> io::Result<Self> {
        let Tail { header, synced, end, unsure, dirty_len, len } = found;
        let file = disk.open(&log_name(header.generation))?;
        // A frame of a torn tail must not come back to life behind new ones.
        file.write_at(&vec![0; *dirty_len], *end)?;
        // What was written behind the last known sync counts from here on. It is written again, since a sync that failed
        // may have left it in the machine's memory only, marked as if it were on disk.
        file.write_at(unsure, *synced)?;
        file.sync()?;
        let (generation, version, salt, filled) = (header.generation, header.version, header.salt, *len.max(end));
        Ok(Self {
            file,
            generation,
            version,
            salt,
            synced: *end,
            unsynced: Vec::new(),
            last: 0,
            filled,
            fill_min,
            suspect: false,
            sealed: false,
        })
    }

    /// Bytes of frames.
    pub(crate) fn len(&self) -> u64 {
        self.synced + self.unsynced.len() as u64 - HEADER_LEN as u64
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Writes a frame. When it fails the log is as before.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let start = self.unsynced.len();
        let at = self.synced + start as u64;
        encode_frame(&mut self.unsynced, payload, at, self.synced, self.salt);
        let result = self
            .fill(self.synced + self.unsynced.len() as u64)
            .and_then(|()| self.file.write_at(&self.unsynced, self.synced));
        match result {
            Ok(()) => {
                self.last = start;
                self.sealed = false;
            }
            Err(_) => self.unsynced.truncate(start),
        }
        result
    }

    /// Takes back the frame that was appended last.
    pub(crate) fn rollback(&mut self) {
        self.unsynced.truncate(self.last);
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.suspect {
            self.file.write_at(&self.unsynced, self.synced)?;
        }
        self.suspect = true;
        self.file.sync()?;
        self.suspect = false;
        self.synced += self.unsynced.len() as u64;
        self.unsynced.clear();
        self.unsynced.shrink_to(IDLE_BYTES_MAX);
        self.last = 0;
        Ok(())
    }

    /// Writes behind the last frame that it is durable, where the next frame will stand, so that damage to it is told from
    /// a torn write. Nothing waits for this; it is not synced.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        if self.sealed || !self.unsynced.is_empty() || self.synced + FRAME_HEADER_LEN as u64 > self.filled {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(FRAME_HEADER_LEN);
        encode_frame(&mut frame, &[], self.synced, self.synced, self.salt);
        self.file.write_at(&frame, self.synced)?;
        self.sealed = true;
        Ok(())
    }

    fn fill(&mut self, end: u64) -> io::Result<()> {
        while self.filled < end {
            let step = self.filled.clamp(self.fill_min, self.fill_min.max(FILL_MAX));
            let filled = self.fill_to(self.filled + step);
            // The last space of a disk is used up by what is needed at once.
            filled.or_else(|error| if is_full(&error) { self.fill_to(end) } else { Err(error) })?;
        }
        Ok(())
    }

    fn fill_to(&mut self, end: u64) -> io::Result<()> {
        let step = usize::try_from(end - self.filled).map_err(io::Error::other)?;
        self.file.write_at(&vec![0; step], self.filled)?;
        self.file.sync()?;
        self.filled = end;
        Ok(())
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
