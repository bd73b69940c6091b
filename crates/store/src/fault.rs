//! A disk in memory that loses, tears and refuses writes on demand: the fake of [`Disk`].
//!
//! What was synced survives a [`FaultDisk::crash`]; of everything else each sector survives by chance, as do the names
//! in the directory. A [`FaultDisk::kill`] loses nothing that was written. After either the handles of before fail, as if
//! their process were gone. A sync that fails leaves what it should have written in memory only, as Linux does.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use stdx::Rng;

use crate::disk::{Disk, DiskFile, Lock};

const SECTOR_LEN: usize = 512;

/// What happens to the operation that a [`FaultDisk::after`] counts down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers an I/O error; a write may be done in part, a sync loses what it should have made durable.
    Error,
    /// As `Error`, and nothing works from there on: the process or the machine is going down.
    Down,
}

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
    /// Grows with each crash and kill.
    processes: u64,
    locked: bool,
    bytes_max: Option<usize>,
    syncs_fail: bool,
    syncs_held: bool,
    fault: Option<(u64, Fault, Rng)>,
    down: bool,
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk(Arc<(Mutex<State>, Condvar)>);

struct Handle {
    disk: FaultDisk,
    content: usize,
    process: u64,
}

struct Unlock(FaultDisk, u64);

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.processes == self.1 {
            state.locked = false;
        }
    }
}

impl State {
    fn content(&self, name: &str) -> io::Result<&Content> {
        let index = self.names.get(name).ok_or_else(not_found)?;
        Ok(&self.contents[*index])
    }

    fn bytes_used(&self) -> usize {
        self.names.values().map(|content| self.contents[*content].now.len()).sum()
    }

    /// Counts an operation. An error says how much of it is done all the same, of 256 parts.
    fn count(&mut self) -> Result<(), u64> {
        if self.down {
            return Err(0);
        }
        let Some((left, fault, rng)) = &mut self.fault else { return Ok(()) };
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        self.down = *fault == Fault::Down;
        let part = rng.below(256);
        self.fault = None;
        Err(part)
    }

    /// Drops files that have no name any more.
    fn restart(&mut self) {
        self.processes += 1;
        self.locked = false;
        self.fault = None;
        self.down = false;
        let kept: Vec<(String, usize)> = self.names.iter().map(|(name, index)| (name.clone(), *index)).collect();
        let mut contents = Vec::new();
        for (name, index) in kept {
            self.names.insert(name, contents.len());
            contents.push(std::mem::take(&mut self.contents[index]));
        }
        self.contents = contents;
    }
}

impl FaultDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power and starts again.
    pub fn crash(&self, rng: &Rng) {
        let mut state = self.state();
        state.boots += 1;
        if rng.below(2) == 0 {
            state.names = state.durable_names.clone();
        }
        for content in &mut state.contents {
            let len = if rng.below(2) == 0 { content.now.len() } else { content.durable.len() };
            content.durable.resize(len, 0);
            for start in (0..len.min(content.now.len())).step_by(SECTOR_LEN) {
                let end = (start + SECTOR_LEN).min(len).min(content.now.len());
                if content.durable[start..end] != content.now[start..end] && rng.below(2) == 0 {
                    content.durable[start..end].copy_from_slice(&content.now[start..end]);
                }
            }
            content.now = content.durable.clone();
            content.dirty = 0..0;
        }
        state.restart();
        state.durable_names = state.names.clone();
    }

    /// The process is killed; the machine lives.
    pub fn kill(&self) {
        let mut state = self.state();
        // A file that lost its name may come back with a crash of the machine.
        let (names, durable) = (state.names.clone(), state.durable_names.clone());
        let same = names == durable;
        if same {
            state.restart();
            state.durable_names = state.names.clone();
        } else {
            state.processes += 1;
            state.locked = false;
            state.fault = None;
            state.down = false;
        }
    }

    /// After `operations` more writes, syncs and renames one has this fault.
    pub fn after(&self, operations: u64, fault: Fault, rng: &Rng) {
        self.state().fault = Some((operations, fault, rng.clone()));
    }

    /// Takes back a fault that has not come.
    pub fn clear_fault(&self) {
        self.state().fault = None;
    }

    /// Writes that would make the files larger than this in sum fail with `StorageFull`.
    pub fn set_bytes_max(&self, bytes_max: Option<usize>) {
        self.state().bytes_max = bytes_max;
    }

    /// Whether syncs answer an I/O error.
    pub fn fail_syncs(&self, fail: bool) {
        self.state().syncs_fail = fail;
    }

    /// Whether syncs take as long as this is so.
    pub fn hold_syncs(&self, hold: bool) {
        self.state().syncs_held = hold;
        self.0.1.notify_all();
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
        self.state().bytes_used()
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn failed(_part: u64) -> io::Error {
    io::Error::other("the disk does not answer")
}

impl Disk for FaultDisk {
    fn lock(&self) -> io::Result<Lock> {
        let mut state = self.state();
        if state.locked {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "this process has the disk open"));
        }
        state.locked = true;
        Ok(Box::new(Unlock(self.clone(), state.processes)))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn reader(&self, name: &str) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.state().content(name)?.now.clone())))
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.state().content(name)?.now.len() as u64)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.count().map_err(failed)?;
        let process = state.processes;
        let content = match state.names.get(name) {
            Some(content) => *content,
            None => {
                state.contents.push(Content::default());
                let content = state.contents.len() - 1;
                state.names.insert(name.to_owned(), content);
                content
            }
        };
        Ok(Arc::new(Handle { disk: self.clone(), content, process }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count().map_err(failed)?;
        let content = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count().map_err(failed)?;
        state.names.remove(name).map(|_| ()).ok_or_else(not_found)
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count().map_err(failed)?;
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
        let mut state = self.disk.state();
        if state.processes != self.process {
            return Err(io::Error::other("the process is gone"));
        }
        let used = state.bytes_used();
        let outcome = state.count();
        let bytes = match outcome {
            Ok(()) => bytes,
            Err(part) => &bytes[..bytes.len() * usize::try_from(part).unwrap_or_default() / 256],
        };
        let bytes_max = state.bytes_max;
        let Content { now, dirty, .. } = &mut state.contents[self.content];
        let growth = (at + bytes.len()).saturating_sub(now.len());
        if growth > 0 && bytes_max.is_some_and(|max| used + growth > max) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if !bytes.is_empty() {
            now.resize(now.len() + growth, 0);
            let end = at + bytes.len();
            now[at..end].copy_from_slice(bytes);
            *dirty = if dirty.start == dirty.end { at..end } else { dirty.start.min(at)..dirty.end.max(end) };
        }
        outcome.map_err(failed)
    }

    fn sync(&self) -> io::Result<()> {
        let state = self.disk.state();
        let held = self.disk.0.1.wait_while(state, |state| state.syncs_held);
        let mut state = held.unwrap_or_else(PoisonError::into_inner);
        if state.processes != self.process {
            return Err(io::Error::other("the process is gone"));
        }
        let outcome = if state.syncs_fail { Err(0) } else { state.count() };
        let content = &mut state.contents[self.content];
        let dirty = std::mem::take(&mut content.dirty);
        outcome.map_err(failed)?;
        content.durable.resize(content.now.len(), 0);
        content.durable[dirty.clone()].copy_from_slice(&content.now[dirty]);
        Ok(())
    }
}
