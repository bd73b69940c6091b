//! A disk in memory that loses, tears and refuses writes on demand: the fake of [`Disk`].
//!
//! What was synced survives a [`FaultDisk::crash`]; of everything else each sector survives by chance, as do the names
//! in the directory. After a crash the handles of before fail, as if their process were gone.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stdx::Rng;

use crate::disk::{Disk, DiskFile, Lock};

const SECTOR_LEN: usize = 512;

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync lies in here.
    dirty: Range<usize>,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Grows with each crash.
    boots: u64,
    locked: bool,
    bytes_max: Option<usize>,
    syncs_fail: bool,
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

struct Handle {
    disk: FaultDisk,
    content: usize,
    boot: u64,
}

struct Unlock(FaultDisk, u64);

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.boots == self.1 {
            state.locked = false;
        }
    }
}

impl FaultDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power and starts again.
    pub fn crash(&self, rng: &Rng) {
        let mut state = self.state();
        state.boots += 1;
        state.locked = false;
        if rng.below(2) == 0 {
            state.names = state.durable_names.clone();
        }
        state.durable_names = state.names.clone();
        for content in &mut state.contents {
            let len = if rng.below(2) == 0 { content.now.len() } else { content.durable.len() };
            content.durable.resize(len, 0);
            for start in (0..len.min(content.now.len())).step_by(SECTOR_LEN) {
                let end = (start + SECTOR_LEN).min(len).min(content.now.len());
                if rng.below(2) == 0 {
                    content.durable[start..end].copy_from_slice(&content.now[start..end]);
                }
            }
            content.now = content.durable.clone();
            content.dirty = 0..0;
        }
    }

    /// Writes that would make the files larger than this in sum fail with `StorageFull`.
    pub fn set_bytes_max(&self, bytes_max: Option<usize>) {
        self.state().bytes_max = bytes_max;
    }

    /// Whether syncs answer an I/O error.
    pub fn fail_syncs(&self, fail: bool) {
        self.state().syncs_fail = fail;
    }

    /// Replaces a file's bytes, durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let content = Content { now: bytes.clone(), durable: bytes, dirty: 0..0 };
        state.contents.push(content);
        let index = state.contents.len() - 1;
        state.names.insert(name.to_owned(), index);
        state.durable_names.insert(name.to_owned(), index);
    }

    /// The sum of all files' bytes.
    pub fn bytes_used(&self) -> usize {
        let state = self.state();
        state.names.values().map(|content| state.contents[*content].now.len()).sum()
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for FaultDisk {
    fn lock(&self) -> io::Result<Lock> {
        let mut state = self.state();
        if state.locked {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "this process has the disk open"));
        }
        state.locked = true;
        Ok(Box::new(Unlock(self.clone(), state.boots)))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        let content = state.names.get(name).ok_or_else(not_found)?;
        Ok(state.contents[*content].now.clone())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let boot = state.boots;
        let content = match state.names.get(name) {
            Some(content) => *content,
            None => {
                state.contents.push(Content::default());
                let content = state.contents.len() - 1;
                state.names.insert(name.to_owned(), content);
                content
            }
        };
        Ok(Arc::new(Handle { disk: self.clone(), content, boot }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let content = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().names.remove(name).map(|_| ()).ok_or_else(not_found)
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn boot(&self) -> String {
        self.state().boots.to_string()
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }
}

impl DiskFile for Handle {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let used = self.disk.bytes_used();
        let mut state = self.disk.state();
        if state.boots != self.boot {
            return Err(io::Error::other("the machine went down"));
        }
        let bytes_max = state.bytes_max;
        let Content { now, dirty, .. } = &mut state.contents[self.content];
        let growth = (at + bytes.len()).saturating_sub(now.len());
        if growth > 0 && bytes_max.is_some_and(|max| used + growth > max) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        now.resize(now.len() + growth, 0);
        let end = at + bytes.len();
        now[at..end].copy_from_slice(bytes);
        *dirty = if dirty.start == dirty.end { at..end } else { dirty.start.min(at)..dirty.end.max(end) };
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.boots != self.boot || state.syncs_fail {
            return Err(io::Error::other("the disk does not answer"));
        }
        let content = &mut state.contents[self.content];
        content.durable.resize(content.now.len(), 0);
        let dirty = std::mem::take(&mut content.dirty);
        content.durable[dirty.clone()].copy_from_slice(&content.now[dirty]);
        Ok(())
    }
}
