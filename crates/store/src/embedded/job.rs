//! What happens beside the running store: a snapshot is written page by page, then the files before it are removed.
//!
//! A failed snapshot gives its space back; older logs stay until the next one succeeds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Shared;
use super::frames::Frames;
use super::log::log_name;
use super::recovery::{Files, io_error};
use super::snapshot::{self, Draft, snapshot_name};
use super::writer::Answer;
use crate::disk::Disk;
use crate::{PAGE_LEN, Revision, StoreError, StoreKey};

pub(super) struct SnapshotJob {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    generation: u64,
    base: Revision,
    salt: u64,
    draft: Option<Draft>,
    last_key: Option<StoreKey>,
    /// Who waits for the space.
    answers: Vec<Answer<()>>,
}

impl SnapshotJob {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        shared: Arc<Shared>,
        generation: u64,
        base: Revision,
        salt: u64,
        answers: Vec<Answer<()>>,
    ) -> Self {
        Self { disk, shared, generation, base, salt, draft: None, last_key: None, answers }
    }

    pub(super) fn run(mut self, stopping: &AtomicBool) {
        loop {
            if stopping.load(Ordering::Relaxed) {
                return self.end(Err(StoreError::Closed));
            }
            if self.step() {
                return;
            }
        }
    }

    /// A little of the work; whether it was the last.
    pub(super) fn step(&mut self) -> bool {
        match self.page() {
            Ok(more) if more => return false,
            Ok(_) => self.end(Ok(())),
            Err(error) => self.end(Err(error)),
        }
        true
    }

    fn page(&mut self) -> Result<bool, StoreError> {
        let io = |error: io::Error| io_error(&error);
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => none.insert(Draft::create(&*self.disk, self.generation, self.base, self.salt).map_err(io)?),
        };
        let page = self.shared.read().page_behind(self.last_key.as_deref(), self.base, PAGE_LEN)?;
        self.last_key = page.entries.last().map(|entry| entry.key.clone());
        draft.push(page.entries, !page.more).map_err(io)?;
        if page.more {
            return Ok(true);
        }
        draft.finish(&*self.disk).map_err(io)?;
        let oldest = self.shared.read().oldest();
        remove_old(&*self.disk, oldest).map_err(io)?;
        Ok(false)
    }

    pub(super) fn end(&mut self, result: Result<(), StoreError>) {
        self.shared.write().pin(None);
        if let Err(error) = &result {
            if !matches!(error, StoreError::Closed) {
                tracing::warn!(%error, generation = self.generation, "the store's snapshot failed; older logs are kept");
            }
            snapshot::discard(&*self.disk, self.generation);
        }
        for answer in self.answers.drain(..) {
            let result = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(super::writer::again(error)),
            };
            // Nobody may wait for the answer any more.
            drop(answer.send(result));
        }
    }
}

/// Removes what no readable revision needs. Three snapshots stay at most: the newest one, the newest of those that are
/// not younger than the history, with which it begins, and the one behind that, which will follow it in this.
fn remove_old(disk: &dyn Disk, oldest: Revision) -> io::Result<()> {
    let files = Files::list(disk)?;
    let mut bases = Vec::new();
    for generation in &files.snapshots {
        let name = snapshot_name(*generation);
        match Frames::open(disk.reader(&name)?) {
            Ok(frames) => bases.push((*generation, frames.header().base)),
            // `ironclad store check` says what is wrong with it; it may be wanted then.
            Err(error) => return Err(io::Error::other(format!("{}: {error}", disk.path(&name)))),
        }
    }
    let begin = bases.iter().rev().find(|(_, base)| *base <= oldest).map_or(1, |(generation, _)| *generation);
    let second = bases.iter().map(|(generation, _)| *generation).find(|generation| *generation > begin);
    let newest = bases.last().map_or(1, |(generation, _)| *generation);
    let needed = |generation: &u64| [Some(begin), second, Some(newest)].contains(&Some(*generation));
    let logs = files.logs.iter().filter(|generation| **generation < begin).map(|generation| log_name(*generation));
    let snapshots = files.snapshots.iter().filter(|generation| !needed(generation));
    let old: Vec<String> = logs.chain(snapshots.map(|generation| snapshot_name(*generation))).collect();
    for name in &old {
        disk.remove(name)?;
    }
    if old.is_empty() { Ok(()) } else { disk.sync_names() }
}
