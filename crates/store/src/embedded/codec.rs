//! The bytes of the embedded engine's files and of backups: a header block, then frames of records. Pure.
//!
//! A frame is one write to disk: it is whole or it is not there. Its header carries its own offset, and up to which
//! offset the file was durable when it was written: a broken frame in front of a later frame that says so was damaged
//! after it was durable (corruption); any other broken frame never was acknowledged as durable (a torn tail).
//! Checksums are CRC-32 seeded with the file's random salt, so that no value can pass for a frame.

use bytes::Bytes;

use crate::{Entry, Revision, StoreKey, Write};

pub(crate) const HEADER_LEN: usize = 4096;
pub(crate) const FRAME_HEADER_LEN: usize = 32;
/// No frame is larger; a length beyond it is damage.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;
const FRAME_ALIGN: usize = 8;
const FILE_MAGIC: &[u8; 16] = b"ironclad store\n\0";
const FRAME_MAGIC: u32 = 0x4652_4331;
/// What is written. Files of [`VERSION_OLDEST`] on are read; a log of another version is followed by a new one at once.
pub(crate) const VERSION: u32 = 2;
/// Version 1 has no times in its logs, no seals behind their frames, and no backups.
const VERSION_OLDEST: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    Snapshot,
    /// A snapshot that has left its directory.
    Backup,
}

impl FileKind {
    const ALL: [Self; 3] = [Self::Log, Self::Snapshot, Self::Backup];
}

/// The first block of each file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u32,
    pub kind: FileKind,
    pub generation: u64,
    /// The state in front of the first record (log), or the one that is written down (snapshot).
    pub base: Revision,
    pub salt: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Commit {
        revision: Revision,
        writes: Vec<Write>,
    },
    Compacted {
        before: Revision,
    },
    Entry(Entry),
    /// The store was opened while the machine had this boot id.
    Started {
        boot: String,
    },
    /// Unsynced revisions may have been lost with the machine: history starts anew here.
    Jumped {
        revision: Revision,
    },
    /// The store was closed with everything synced.
    Stopped,
    /// The snapshot is complete.
    End {
        entries: u64,
    },
    /// The commits that follow were made at this time of day or later.
    Time {
        secs: i64,
    },
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(FILE_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        let kind = FileKind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or_default();
        out.extend_from_slice(&(kind as u32).to_le_bytes());
        for number in [self.generation, self.base.0, self.salt] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(HEADER_LEN, 0);
        out
    }

    pub(crate) fn decode(file: &[u8]) -> Result<Self, String> {
        let Some(block) = file.get(..HEADER_LEN) else { return Err("the file is shorter than its header".into()) };
        if &block[..16] != FILE_MAGIC {
            return Err("this is no file of an Ironclad store".into());
        }
        let version = u32_at(block, 16);
        if !(VERSION_OLDEST..=VERSION).contains(&version) {
            return Err(format!(
                "its format has version {version}, this program reads {VERSION_OLDEST} to {VERSION}; use the program that \
                 wrote it, or a newer one"
            ));
        }
        if u32_at(block, 48) != crc32fast::hash(&block[..48]) || block[52..].iter().any(|byte| *byte != 0) {
            return Err("the checksum of its header differs".into());
        }
        let kind = *FileKind::ALL.get(u32_at(block, 20) as usize).ok_or("its kind of file is not known")?;
        let (generation, base, salt) = (u64_at(block, 24), Revision(u64_at(block, 32)), u64_at(block, 40));
        Ok(Self { version, kind, generation, base, salt })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A checked frame inside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Up to where the file was durable when this was written.
    pub synced: u64,
    pub payload: &'a [u8],
    /// All of it, with header and padding.
    pub bytes: &'a [u8],
}

/// Appends a frame to `out`; `at` is where in the file it will stand.
pub(crate) fn encode_frame(out: &mut Vec<u8>, payload: &[u8], at: u64, synced: u64, salt: u64) {
    let start = out.len();
    let len = u32::try_from(payload.len()).expect("invariant: a frame is smaller than FRAME_BYTES_MAX");
    out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = checksum(&out[start + 8..], salt);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    let padded = (out.len() - start).next_multiple_of(FRAME_ALIGN);
    out.resize(start + padded, 0);
}

fn checksum(bytes: &[u8], salt: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The frame at the start of `bytes`, which stand at `offset` in their file, or what is wrong with it.
pub(crate) fn frame_at(bytes: &[u8], offset: u64, salt: u64) -> Result<Frame<'_>, &'static str> {
    let Some(header) = bytes.get(..FRAME_HEADER_LEN) else { return Err("the file ends") };
    let padded = frame_len(header).ok_or("no frame starts here")?;
    let end = FRAME_HEADER_LEN + u32_at(header, 8) as usize;
    let Some(padding) = bytes.get(end..padded) else { return Err("the frame is cut") };
    let padding_is_zero = padding.iter().all(|byte| *byte == 0);
    if checksum(&bytes[8..end], salt) != u32_at(header, 4) || u64_at(header, 16) != offset || !padding_is_zero {
        return Err("the checksum differs");
    }
    Ok(Frame { synced: u64_at(header, 24), payload: &bytes[FRAME_HEADER_LEN..end], bytes: &bytes[..padded] })
}

/// How long the frame of this header says to be, with its padding.
pub(crate) fn frame_len(header: &[u8]) -> Option<usize> {
    let len = u32_at(header, 8) as usize;
    let plausible = u32_at(header, 0) == FRAME_MAGIC && len <= FRAME_BYTES_MAX;
    plausible.then(|| (FRAME_HEADER_LEN + len).next_multiple_of(FRAME_ALIGN))
}

/// Whether a later frame tells that the first of `bytes`, which stand at `offset` in their file, was durable once.
pub(crate) fn was_durable(bytes: &[u8], offset: u64, salt: u64) -> bool {
    let magic = FRAME_MAGIC.to_le_bytes();
    let starts = (FRAME_ALIGN..bytes.len()).step_by(FRAME_ALIGN).filter(|i| bytes[*i..].starts_with(&magic));
    starts.filter_map(|i| frame_at(&bytes[i..], offset + i as u64, salt).ok()).any(|frame| frame.synced > offset)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80); // The low seven bits.
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn encode_commit(out: &mut Vec<u8>, revision: Revision, writes: &[Write]) {
    out.push(1);
    put_number(out, revision.0);
    put_number(out, writes.len() as u64);
    for write in writes {
        match write {
            Write::Delete(key) => {
                out.push(0);
                put_bytes(out, key);
            }
            Write::Put(key, value) => {
                out.push(1);
                put_bytes(out, key);
                put_bytes(out, value);
            }
        }
    }
}

pub(crate) fn encode(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Commit { revision, writes } => encode_commit(out, *revision, writes),
        Record::Compacted { before } => {
            out.push(2);
            put_number(out, before.0);
        }
        Record::Entry(entry) => {
            out.push(3);
            put_number(out, entry.created.0);
            put_number(out, entry.modified.0);
            put_bytes(out, &entry.key);
            put_bytes(out, &entry.value);
        }
        Record::Started { boot } => {
            out.push(4);
            put_bytes(out, boot.as_bytes());
        }
        Record::Jumped { revision } => {
            out.push(5);
            put_number(out, revision.0);
        }
        Record::Stopped => out.push(6),
        Record::End { entries } => {
            out.push(7);
            put_number(out, *entries);
        }
        Record::Time { secs } => {
            out.push(8);
            put_number(out, secs.cast_unsigned());
        }
    }
}

/// The records of a payload, in order. An error ends it.
pub(crate) struct Records<'a>(pub &'a [u8]);

impl Records<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&[u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn write(&mut self) -> Option<Write> {
        let tag = self.byte()?;
        let key: StoreKey = self.bytes()?.into();
        match tag {
            0 => Some(Write::Delete(key)),
            1 => Some(Write::Put(key, Bytes::copy_from_slice(self.bytes()?))),
            _ => None,
        }
    }

    fn record(&mut self) -> Option<Record> {
        match self.byte()? {
            1 => {
                let (revision, len) = (Revision(self.number()?), self.number()?);
                let writes = (0..len).map(|_| self.write()).collect::<Option<_>>()?;
                Some(Record::Commit { revision, writes })
            }
            2 => Some(Record::Compacted { before: Revision(self.number()?) }),
            3 => {
                let (created, modified) = (Revision(self.number()?), Revision(self.number()?));
                let key = self.bytes()?.into();
                Some(Record::Entry(Entry { key, value: Bytes::copy_from_slice(self.bytes()?), created, modified }))
            }
            4 => Some(Record::Started { boot: String::from_utf8_lossy(self.bytes()?).into_owned() }),
            5 => Some(Record::Jumped { revision: Revision(self.number()?) }),
            6 => Some(Record::Stopped),
            7 => Some(Record::End { entries: self.number()? }),
            8 => Some(Record::Time { secs: self.number()?.cast_signed() }),
            _ => None,
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record().ok_or("a record cannot be read");
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}
