//! A store's whole state into another engine that gives out its revisions itself, as etcd does: by writing it anew in the
//! order of revisions.
//!
//! Each key is put at the revision at which it was created and again at the one at which it was modified; revisions at
//! which nothing that still lives was written are used up by putting [`GUARD`]. So the copy has every key with its bytes,
//! its two revisions, and a revision of its own that is one later than the source's: at that one the guard goes away.
//! History is forgotten up to there, for what lies before are not the writes that happened then: who watches from an older
//! revision is told to list anew.
//!
//! A target where the guard is left is half a copy. Each put of a key is conditional on the guard's revision, so that
//! another writer makes the copy fail and not differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use crate::{Commit, Entry, KEYS_END, Page, Precondition, Range, Revision, Store, StoreError, StoreKey, Write};

/// The key that is there while a copy is made. No object has such a key.
pub const GUARD: &[u8] = b"/ironclad/copying";
/// So many revisions are used up at once.
const IN_FLIGHT_MAX: usize = 256;
/// So often the target forgets what was written for its revision only.
const COMPACT_EVERY: u64 = 50_000;
const PAGE_LEN: usize = 1000;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub keys: u64,
    /// The source's revision.
    pub revision: Revision,
    /// The target's revision, at which the same can be read.
    pub reached: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("cannot read the source: {0}")]
    Source(StoreError),
    #[error("cannot write the target: {0}")]
    Target(#[from] StoreError),
    #[error("the target is not empty: it has the key {}", String::from_utf8_lossy(.0))]
    NotEmpty(StoreKey),
    #[error("the target is at revision {newest} already, and the copy begins with revision {first}")]
    TooFar { newest: Revision, first: Revision },
    #[error("somebody else writes to the target")]
    Disturbed,
    #[error("the copy differs at the key {}", String::from_utf8_lossy(.0))]
    Differs(StoreKey),
}

/// Copies into an empty `target` and compares. `told` hears of the revision that was reached and of the one to reach.
pub async fn copy(
    source: &dyn Store,
    target: &Arc<dyn Store>,
    mut told: impl FnMut(Revision, Revision),
) -> Result<Copied, CopyError> {
    let hold = source.hold().await.map_err(CopyError::Source)?;
    let plan = Plan::read(source, hold.revision).await.map_err(CopyError::Source)?;
    let newest = target.current().await?;
    if let Some(found) = page(&**target, &[], Some(newest), 1).await?.entries.pop() {
        return Err(CopyError::NotEmpty(found.key));
    }
    let first = plan.revisions.first_key_value().map_or(hold.revision.next(), |(first, _)| *first);
    if newest >= first {
        return Err(CopyError::TooFar { newest, first });
    }
    let mut writer = Writer { target: target.clone(), at: newest, guarded: false, compacted: newest };
    let keys = plan.keys;
    for (revision, writes) in plan.revisions {
        writer.fill(Revision(revision.0 - 1)).await?;
        writer.put(revision, writes).await?;
        told(revision, hold.revision);
    }
    writer.fill(hold.revision).await?;
    let reached = writer.finish().await?;
    compare(source, hold.revision, &**target, reached).await?;
    Ok(Copied { keys, revision: hold.revision, reached })
}

/// Whether a copy into the store was begun and not finished.
pub async fn is_half_copied(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.get(GUARD).await?.is_some())
}

/// What is written at each revision.
struct Plan {
    revisions: BTreeMap<Revision, Vec<Write>>,
    keys: u64,
}

impl Plan {
    async fn read(source: &dyn Store, at: Revision) -> Result<Self, StoreError> {
        let mut plan = Self { revisions: BTreeMap::new(), keys: 0 };
        let mut start = Vec::new();
        loop {
            let page = page(source, &start, Some(at), PAGE_LEN).await?;
            start = after(&page);
            for Entry { key, value, created, modified } in page.entries {
                plan.keys += 1;
                if created < modified {
                    // Only that it was there counts: this version is forgotten in the end.
                    plan.revisions.entry(created).or_default().push(Write::Put(key.clone(), Bytes::new()));
                }
                plan.revisions.entry(modified).or_default().push(Write::Put(key, value));
            }
            if !page.more {
                return Ok(plan);
            }
        }
    }
}

struct Writer {
    target: Arc<dyn Store>,
    /// The target's revision.
    at: Revision,
    /// Whether the guard is there, put at `at`.
    guarded: bool,
    compacted: Revision,
}

impl Writer {
    fn guard() -> Write {
        Write::Put(GUARD.into(), Bytes::from_static(b"a copy is being made"))
    }

    /// Commits at `revision`, the one behind `at`.
    async fn put(&mut self, revision: Revision, mut writes: Vec<Write>) -> Result<(), CopyError> {
        writes.push(Self::guard());
        self.commit(writes).await?;
        self.check(revision)
    }

    async fn commit(&mut self, writes: Vec<Write>) -> Result<(), CopyError> {
        let precondition = match self.guarded {
            true => Precondition::ModifiedAt(GUARD.into(), self.at),
            false => Precondition::Absent(GUARD.into()),
        };
        let commit = Commit { preconditions: vec![precondition], writes, ..Commit::default() };
        self.at = self.target.commit(commit).await.map_err(|error| match error {
            StoreError::Conflict { .. } => CopyError::Disturbed,
            other => other.into(),
        })?;
        self.guarded = true;
        Ok(())
    }

    fn check(&self, wanted: Revision) -> Result<(), CopyError> {
        if self.at == wanted { Ok(()) } else { Err(CopyError::Disturbed) }
    }

    /// Uses up the revisions to `last`.
    async fn fill(&mut self, last: Revision) -> Result<(), CopyError> {
        if !self.guarded && self.at < last {
            self.commit(vec![Self::guard()]).await?;
        }
        while self.at < last {
            let until = last.0.min(self.compacted.0.max(self.at.0) + COMPACT_EVERY);
            let puts = futures::stream::iter(self.at.0..until).map(|_| {
                let commit = Commit { writes: vec![Self::guard()], ..Commit::default() };
                self.target.commit(commit)
            });
            let mut done = puts.buffer_unordered(IN_FLIGHT_MAX);
            let mut newest = self.at;
            while let Some(revision) = done.next().await {
                newest = newest.max(revision?);
            }
            drop(done);
            self.at = newest;
            self.check(Revision(until))?;
            if self.at.0 - self.compacted.0 >= COMPACT_EVERY {
                self.target.compact(self.at).await?;
                self.compacted = self.at;
            }
        }
        Ok(())
    }

    /// Takes the guard away: the copy is whole.
    async fn finish(mut self) -> Result<Revision, CopyError> {
        let wanted = self.at.next();
        if !self.guarded {
            // There was nothing to write: both are new.
            return Ok(self.at);
        }
        self.commit(vec![Write::Delete(GUARD.into())]).await?;
        self.check(wanted)?;
        self.target.compact(self.at).await?;
        Ok(self.at)
    }
}

async fn page(store: &dyn Store, start: &[u8], at: Option<Revision>, limit: usize) -> Result<Page, StoreError> {
    store.range(Range { start: start.into(), end: KEYS_END.into(), at, limit: Some(limit) }).await
}

/// Where to go on behind a page.
fn after(page: &Page) -> Vec<u8> {
    page.entries.last().map_or(Vec::new(), |last| [&*last.key, &[0]].concat())
}

async fn compare(source: &dyn Store, at: Revision, target: &dyn Store, reached: Revision) -> Result<(), CopyError> {
    let mut start = Vec::new();
    loop {
        let wanted = page(source, &start, Some(at), PAGE_LEN).await.map_err(CopyError::Source)?;
        let found = page(target, &start, Some(reached), PAGE_LEN).await?;
        start = after(&wanted);
        let differs = wanted.entries.iter().zip(&found.entries).find(|(wanted, found)| wanted != found);
        if let Some((entry, _)) = differs {
            return Err(CopyError::Differs(entry.key.clone()));
        }
        if wanted.entries.len() != found.entries.len() {
            let longer = if wanted.entries.len() > found.entries.len() { &wanted } else { &found };
            let odd = longer.entries.get(wanted.entries.len().min(found.entries.len()));
            return Err(CopyError::Differs(odd.map_or(KEYS_END.into(), |entry| entry.key.clone())));
        }
        if !wanted.more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{MemoryStore, WatchItem};

    async fn write(store: &Arc<dyn Store>, writes: Vec<Write>) -> Revision {
        store.commit(Commit { writes, ..Commit::default() }).await.expect("commit")
    }

    fn put(key: &str, value: &str) -> Write {
        Write::Put(key.as_bytes().into(), value.to_owned().into())
    }

    /// Keys of several revisions, one of a commit with two, changes, a deletion, and a write last that is gone.
    async fn source() -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        write(&store, vec![put("/registry/a", "1"), put("/registry/b", "1")]).await;
        for i in 0..600 {
            write(&store, vec![put("/registry/lease", &format!("{i}"))]).await;
        }
        write(&store, vec![put("/registry/b", "2")]).await;
        write(&store, vec![put("/registry/gone", "1")]).await;
        write(&store, vec![put("/registry/c", "1")]).await;
        write(&store, vec![Write::Delete(b"/registry/gone".as_slice().into())]).await;
        store
    }

    async fn all(store: &dyn Store) -> Vec<Entry> {
        page(store, &[], None, 10_000).await.expect("range").entries
    }

    #[tokio::test]
    async fn a_copy_has_every_key_with_its_bytes_and_revisions_and_goes_on_behind_the_source() {
        let (source, target): (_, Arc<dyn Store>) = (source().await, Arc::new(MemoryStore::new()));
        let copied = copy(&*source, &target, |_, _| {}).await.expect("copy");
        assert_eq!(copied, Copied { keys: 4, revision: Revision(606), reached: Revision(607) });
        assert_eq!(all(&*target).await, all(&*source).await);
        assert!(!is_half_copied(&*target).await.expect("get"));
        assert_eq!(write(&target, vec![put("/registry/d", "1")]).await, Revision(608));
    }

    #[tokio::test]
    async fn who_watched_the_source_lists_anew_unless_it_saw_everything() {
        let (source, target): (_, Arc<dyn Store>) = (source().await, Arc::new(MemoryStore::new()));
        copy(&*source, &target, |_, _| {}).await.expect("copy");
        let (start, end): (StoreKey, StoreKey) = (b"/registry/".as_slice().into(), b"/registry0".as_slice().into());
        for before in [2, 604, 605] {
            let watched = target.watch(start.clone(), end.clone(), Revision(before)).await;
            assert!(matches!(watched.err(), Some(StoreError::Compacted { .. })), "after {before}");
        }
        let mut watch = target.watch(start, end, Revision(606)).await.expect("watch");
        assert!(matches!(watch.next().await, Some(Ok(WatchItem::Progress(Revision(607))))));
    }

    #[tokio::test]
    async fn only_an_empty_target_with_lower_revisions_is_copied_to() {
        let source = source().await;
        let target: Arc<dyn Store> = Arc::new(MemoryStore::new());
        write(&target, vec![put("/registry/x", "1")]).await;
        let error = copy(&*source, &target, |_, _| {}).await.expect_err("not empty");
        assert_eq!(error.to_string(), "the target is not empty: it has the key /registry/x");
        write(&target, vec![Write::Delete(b"/registry/x".as_slice().into())]).await;
        let error = copy(&*source, &target, |_, _| {}).await.expect_err("too far");
        assert_eq!(error.to_string(), "the target is at revision 3 already, and the copy begins with revision 2");
    }

    #[tokio::test]
    async fn another_writer_makes_the_copy_fail_and_leaves_it_marked() {
        let (source, target): (_, Arc<dyn Store>) = (source().await, Arc::new(MemoryStore::new()));
        let mut disturbed = false;
        let other = target.clone();
        let done = copy(&*source, &target, |_, _| {
            if !std::mem::replace(&mut disturbed, true) {
                write(&other, vec![put("/registry/x", "1")]).now_or_never().expect("it is in memory");
            }
        });
        assert!(matches!(done.await, Err(CopyError::Disturbed)));
        assert!(is_half_copied(&*target).await.expect("get"));
    }

    #[tokio::test]
    async fn an_empty_store_is_copied_as_it_is() {
        let (source, target): (Arc<dyn Store>, Arc<dyn Store>) =
            (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
        let copied = copy(&*source, &target, |_, _| {}).await.expect("copy");
        assert_eq!(copied, Copied { keys: 0, revision: Revision(1), reached: Revision(1) });
    }
}
