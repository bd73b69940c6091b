//! The live entries of one revision in a file, so that older logs can go.
//!
//! Written beside the running store, page by page, and given its name only when it is whole and durable.

use std::io;

use super::codec::{FileKind, HEADER_LEN, Header, Record, Records, encode, encode_frame, frame_at};
use crate::disk::Disk;
use crate::{Entry, Page, Revision, StoreError};

/// How many entries are read from the ledger at once.
pub(crate) const PAGE_LEN: usize = 256;

pub(crate) fn snapshot_name(generation: u64) -> String {
    format!("snapshot-{generation:016x}")
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the entries that `next_page` gives (asked with the last key of the page before) as snapshot `generation`.
pub(crate) fn write(
    disk: &dyn Disk,
    generation: u64,
    base: Revision,
    salt: u64,
    mut next_page: impl FnMut(Option<&[u8]>) -> Result<Page, StoreError>,
) -> Result<(), SnapshotError> {
    let (name, draft) = (snapshot_name(generation), format!("{}.tmp", snapshot_name(generation)));
    let file = disk.open(&draft)?;
    file.write_at(&Header { kind: FileKind::Snapshot, generation, base, salt }.encode(), 0)?;
    let (mut at, mut entries, mut last_key) = (HEADER_LEN as u64, 0, None);
    let (mut payload, mut frame) = (Vec::new(), Vec::new());
    loop {
        let page = next_page(last_key.as_deref())?;
        entries += page.entries.len() as u64;
        last_key = page.entries.last().map(|entry| entry.key.clone());
        payload.clear();
        for entry in page.entries {
            encode(&mut payload, &Record::Entry(entry));
        }
        if !page.more {
            encode(&mut payload, &Record::End { entries });
        }
        frame.clear();
        encode_frame(&mut frame, &payload, at, 0, salt);
        file.write_at(&frame, at)?;
        at += frame.len() as u64;
        if !page.more {
            break;
        }
    }
    file.sync()?;
    disk.rename(&draft, &name)?;
    disk.sync_names()?;
    Ok(())
}

/// Reads a snapshot's frames, handing each entry to `each`. The error is the offset and what is wrong there.
pub(crate) fn read(file: &[u8], salt: u64, mut each: impl FnMut(Entry)) -> Result<(), (usize, String)> {
    let (mut at, mut read) = (HEADER_LEN, 0);
    loop {
        let frame = frame_at(file, at, salt).map_err(|error| (at, error.to_owned()))?;
        for record in Records(frame.payload) {
            match record.map_err(|error| (at, error.to_owned()))? {
                Record::Entry(entry) => {
                    read += 1;
                    each(entry);
                }
                Record::End { entries } if entries == read => return Ok(()),
                other => return Err((at, format!("an unexpected record ({other:?})"))),
            }
        }
        at = frame.end;
    }
}
