//! The live entries of one revision in a file: a snapshot, so that older logs can go, or a backup.
//!
//! A snapshot is written beside the running store, page by page, and given its name only when it is whole and durable.

use std::io::{self, Read};
use std::sync::Arc;

use super::codec::{FileKind, HEADER_LEN, Header, Record, Records, VERSION, encode, encode_frame};
use super::frames::{Frames, ReadError};
use crate::disk::{Disk, DiskFile};
use crate::{Entry, Revision};

pub(crate) fn snapshot_name(generation: u64) -> String {
    format!("snapshot-{generation:016x}")
}

/// Turns pages of entries into the bytes of a file.
pub(crate) struct Encoder {
    header: Header,
    /// How many bytes were given out.
    pub(crate) at: u64,
    pub(crate) entries: u64,
    payload: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(kind: FileKind, generation: u64, base: Revision, salt: u64) -> Self {
        let header = Header { version: VERSION, kind, generation, base, salt };
        Self { header, at: 0, entries: 0, payload: Vec::new() }
    }

    pub(crate) fn header(&mut self) -> Vec<u8> {
        self.at = HEADER_LEN as u64;
        self.header.encode()
    }

    /// A frame of these entries, which may be the last ones.
    pub(crate) fn page(&mut self, entries: Vec<Entry>, last: bool) -> Vec<u8> {
        self.entries += entries.len() as u64;
        self.payload.clear();
        for entry in entries {
            encode(&mut self.payload, &Record::Entry(entry));
        }
        if last {
            encode(&mut self.payload, &Record::End { entries: self.entries });
        }
        let mut frame = Vec::with_capacity(self.payload.len() + HEADER_LEN);
        encode_frame(&mut frame, &self.payload, self.at, 0, self.header.salt);
        self.at += frame.len() as u64;
        frame
    }
}

/// A snapshot while it is written.
pub(crate) struct Draft {
    name: String,
    file: Arc<dyn DiskFile>,
    encoder: Encoder,
}

impl Draft {
    pub(crate) fn create(disk: &dyn Disk, generation: u64, base: Revision, salt: u64) -> io::Result<Self> {
        let name = snapshot_name(generation);
        let file = disk.open(&draft_name(&name))?;
        let mut encoder = Encoder::new(FileKind::Snapshot, generation, base, salt);
        file.write_at(&encoder.header(), 0)?;
        Ok(Self { name, file, encoder })
    }

    pub(crate) fn push(&mut self, entries: Vec<Entry>, last: bool) -> io::Result<()> {
        let at = self.encoder.at;
        self.file.write_at(&self.encoder.page(entries, last), at)
    }

    /// Makes it durable under its name.
    pub(crate) fn finish(&self, disk: &dyn Disk) -> io::Result<()> {
        self.file.sync()?;
        disk.rename(&draft_name(&self.name), &self.name)?;
        disk.sync_names()
    }
}

fn draft_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// Gives back the space of a snapshot that was not finished.
pub(crate) fn discard(disk: &dyn Disk, generation: u64) {
    let draft = draft_name(&snapshot_name(generation));
    if let Err(error) = disk.remove(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "cannot remove {}", disk.path(&draft));
    }
}

/// What a whole snapshot or backup was found to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub frames: u64,
    pub entries: u64,
    pub bytes: u64,
}

/// Reads to the end, handing on the entries of each frame.
pub(crate) fn read<R: Read, E: From<ReadError>>(
    frames: &mut Frames<R>,
    mut each: impl FnMut(Vec<Entry>) -> Result<(), E>,
) -> Result<Contents, E> {
    let mut contents = Contents::default();
    loop {
        let at = frames.at();
        let broken = |what: String| E::from(ReadError::Broken { at, what });
        let (mut page, mut ended) = (Vec::new(), false);
        for record in Records(frames.frame()?.payload) {
            match record.map_err(|error| broken(error.into()))? {
                Record::Entry(entry) if !ended => page.push(entry),
                Record::End { entries } if entries == contents.entries + page.len() as u64 => ended = true,
                other => return Err(broken(format!("an unexpected record ({other:?})"))),
            }
        }
        contents.frames += 1;
        contents.entries += page.len() as u64;
        each(page)?;
        if ended {
            contents.bytes = frames.at();
            return Ok(contents);
        }
    }
}
