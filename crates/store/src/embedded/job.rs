//! What happens beside the running store: a snapshot is written page by page, then the files before it are removed.
//!
//! A failed snapshot gives its space back; older logs stay until the next one succeeds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Shared;
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
        remove_old(&*self.disk, self.generation).map_err(io)?;
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
            let result = result.as_ref().map(|()| ()).map_err(super::writer::again);
            // Nobody may wait for the answer any more.
            drop(answer.send(result));
        }
    }
}

/// Keeps the snapshot before `generation` and what follows it; removes the rest, oldest first.
fn remove_old(disk: &dyn Disk, generation: u64) -> io::Result<()> {
    let files = Files::list(disk)?;
    let Some(keep) = files.snapshots.iter().copied().rfind(|number| *number < generation) else {
        return Ok(());
    };
    let mut old: Vec<u64> = files.snapshots.iter().chain(&files.logs).copied().filter(|n| *n < keep).collect();
    old.sort_unstable();
    old.dedup();
    for number in old {
        for (name, exists) in [
            (snapshot_name(number), files.snapshots.contains(&number)),
            (log_name(number), files.logs.contains(&number)),
        ] {
            if exists {
                disk.remove(&name)?;
            }
        }
        disk.sync_names()?;
    }
    Ok(())
}
