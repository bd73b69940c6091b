//! One log file while it is written: frames appended into zero-filled space, synced on demand.
//!
//! Space is filled with zeros and synced before it is used, so that a commit's sync has no file metadata to write.
//! Everything since the last sync is kept in memory and written again with the next frame, so that a sync that failed
//! for lack of space is made good by a later one.

use std::io;
use std::sync::Arc;

use super::codec::{FileKind, HEADER_LEN, Header, encode_frame};
use crate::Revision;
use crate::disk::{Disk, DiskFile};

/// A larger buffer is not kept for the next frames.
const IDLE_BYTES_MAX: usize = 1 << 20;
const FILL_MIN: u64 = 1 << 20;
const FILL_MAX: u64 = 8 << 20;

pub(crate) struct Log {
    file: Arc<dyn DiskFile>,
    pub(crate) generation: u64,
    salt: u64,
    /// Everything before is durable.
    synced: u64,
    /// The frames from `synced` on.
    unsynced: Vec<u8>,
    /// Where in `unsynced` the last frame starts.
    last: usize,
    /// Up to where the file is filled with zeros.
    filled: u64,
}

pub(crate) fn log_name(generation: u64) -> String {
    format!("log-{generation:016x}")
}

impl Log {
    /// Makes the file whole under another name first: a log with its name has a good header.
    pub(crate) fn create(disk: &dyn Disk, generation: u64, base: Revision, salt: u64) -> io::Result<Self> {
        let (name, draft) = (log_name(generation), format!("{}.tmp", log_name(generation)));
        let file = disk.open(&draft)?;
        let mut block = Header { kind: FileKind::Log, generation, base, salt }.encode();
        block.resize(FILL_MIN as usize, 0);
        file.write_at(&block, 0)?;
        file.sync()?;
        disk.rename(&draft, &name)?;
        disk.sync_names()?;
        let start = HEADER_LEN as u64;
        Ok(Self { file, generation, salt, synced: start, unsynced: Vec::new(), last: 0, filled: FILL_MIN })
    }

    /// Goes on behind what recovery found: good frames up to `end`, and `len` bytes in all. What lies between is wiped,
    /// so that a frame of a torn tail cannot come back to life behind new ones.
    pub(crate) fn resume(disk: &dyn Disk, header: &Header, end: u64, dirty_end: u64, len: u64) -> io::Result<Self> {
        let file = disk.open(&log_name(header.generation))?;
        if dirty_end > end {
            let dirty = usize::try_from(dirty_end - end).map_err(io::Error::other)?;
            file.write_at(&vec![0; dirty], end)?;
        }
        // Frames that were written but not synced by a killed process count as durable from here on.
        file.sync()?;
        let (generation, salt) = (header.generation, header.salt);
        Ok(Self { file, generation, salt, synced: end, unsynced: Vec::new(), last: 0, filled: len.max(end) })
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
            Ok(()) => self.last = start,
            Err(_) => self.unsynced.truncate(start),
        }
        result
    }

    /// Takes back the frame that was appended last.
    pub(crate) fn rollback(&mut self) {
        self.unsynced.truncate(self.last);
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.synced += self.unsynced.len() as u64;
        self.unsynced.clear();
        self.unsynced.shrink_to(IDLE_BYTES_MAX);
        self.last = 0;
        Ok(())
    }

    fn fill(&mut self, end: u64) -> io::Result<()> {
        while self.filled < end {
            let step = self.filled.clamp(FILL_MIN, FILL_MAX);
            self.file.write_at(&vec![0; step as usize], self.filled)?;
            self.file.sync()?;
            self.filled += step;
        }
        Ok(())
    }
}
