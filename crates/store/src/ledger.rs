//! The keys with their versions, and the window of recent events: one engine's whole state in memory, without I/O.
//!
//! Both engines decide and read here; the embedded one only adds that a commit is on disk before it is applied.
//! Invariants: `oldest <= current`; every event of a revision `>= told_from` is in `events`; a key's versions ascend, and a
//! version is kept exactly as long as some readable revision (`oldest..=current`) sees it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::{Commit, Entry, Hold, Page, Precondition, Range, Revision, Stats, StoreError, StoreEvent, StoreKey, Write};

/// How many events a history holds at most; older ones are compacted away.
pub const HISTORY_EVENTS_MAX: usize = 65_536;
/// How many bytes of values the events of a history hold at most.
pub const HISTORY_BYTES_MAX: usize = 64 << 20;
/// How many revisions may be appended between two marks of the wall clock, in seconds.
pub(crate) const MARK_EVERY_SECS: i64 = 5;

/// So many times the bounds of the history may be kept for who holds a revision.
const HELD_FACTOR_MAX: usize = 4;

/// How far back a store on disk goes where nothing else is said.
pub const WINDOW: Duration = Duration::from_secs(300);

/// What is kept of the past.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Events older than this are forgotten with the next commit. No bound when absent.
    pub window: Option<Duration>,
    pub events_max: usize,
    pub bytes_max: usize,
}

impl History {
    /// The usual bounds are for five minutes; a longer window may take as many times the memory.
    pub fn of(window: Duration) -> Self {
        let times = usize::try_from(window.as_secs().div_ceil(WINDOW.as_secs())).unwrap_or(usize::MAX).max(1);
        Self {
            window: Some(window),
            events_max: HISTORY_EVENTS_MAX.saturating_mul(times),
            bytes_max: HISTORY_BYTES_MAX.saturating_mul(times),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { window: None, events_max: HISTORY_EVENTS_MAX, bytes_max: HISTORY_BYTES_MAX }
    }
}

/// A key's value between two revisions; a deletion has no value.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) value: Option<Bytes>,
}

/// A commit of before the oldest one that a ledger knows: its events, and what each replaced.
pub(crate) struct PastRevision {
    pub(crate) revision: Revision,
    pub(crate) secs: i64,
    pub(crate) events: Vec<(StoreEvent, Option<Version>)>,
}

#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Ascending; empty for most keys.
    older: Vec<Version>,
}

impl Versions {
    fn at(&self, revision: Revision) -> Option<&Version> {
        if self.newest.modified <= revision {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|version| version.modified <= revision)
    }

    /// Drops what no revision from `oldest` on sees.
    fn prune(&mut self, oldest: Revision) {
        let superseded_at =
            |i: usize, older: &[Version]| older.get(i + 1).map_or(self.newest.modified, |next| next.modified);
        let dead = (0..self.older.len()).take_while(|i| superseded_at(*i, &self.older) <= oldest).count();
        self.older.drain(..dead);
        if self.older.is_empty() {
            self.older.shrink_to_fit();
        }
    }
}

/// What the writes of commits that are accepted but not applied yet will have done: key to its last modification.
#[derive(Debug, Default)]
pub(crate) struct Overlay(HashMap<StoreKey, Option<Revision>>);

impl Overlay {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn note(&mut self, revision: Revision, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put(key, _) => self.0.insert(key.clone(), Some(revision)),
                Write::Delete(key) => self.0.insert(key.clone(), None),
            };
        }
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    keys: BTreeMap<StoreKey, Versions>,
    /// One item per revision that changed something.
    events: VecDeque<(Revision, Box<[StoreEvent]>)>,
    events_len: usize,
    events_bytes: usize,
    /// The first revision after each tick of the clock, oldest first.
    marks: VecDeque<(i64, Revision)>,
    history: History,
    current: Revision,
    /// The first revision that can be read at.
    oldest: Revision,
    /// The first revision whose events are there: `oldest`, or the one behind it when a snapshot was taken at `oldest`.
    told_from: Revision,
    /// What was asked to be forgotten is not taken in again.
    floor: Revision,
    /// Where a snapshot is being read.
    pinned: Option<Revision>,
    /// What others are reading, and how often each is held.
    holds: BTreeMap<Revision, usize>,
    live_bytes: usize,
}

impl Ledger {
    pub(crate) fn new(history: History) -> Self {
        Self {
            keys: BTreeMap::new(),
            events: VecDeque::new(),
            events_len: 0,
            events_bytes: 0,
            marks: VecDeque::new(),
            history,
            current: Revision(1),
            oldest: Revision(1),
            told_from: Revision(1),
            floor: Revision(1),
            pinned: None,
            holds: BTreeMap::new(),
            live_bytes: 0,
        }
    }

    pub(crate) fn current(&self) -> Revision {
        self.current
    }

    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Keys and values that are not deleted, in bytes.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    fn live(&self, key: &[u8]) -> Option<&Version> {
        self.keys.get(key).map(|versions| &versions.newest).filter(|version| version.value.is_some())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Entry> {
        let (key, versions) = self.keys.get_key_value(key)?;
        entry(key, &versions.newest)
    }

    /// Whether the commit may happen after those in `overlay`.
    pub(crate) fn check(&self, commit: &Commit, overlay: &Overlay) -> Result<(), StoreError> {
        for precondition in &commit.preconditions {
            let (key, wanted) = match precondition {
                Precondition::Absent(key) => (key, None),
                Precondition::ModifiedAt(key, revision) => (key, Some(*revision)),
            };
            let found = match overlay.0.get(key) {
                Some(pending) => *pending,
                None => self.live(key).map(|version| version.modified),
            };
            if found != wanted {
                return Err(StoreError::Conflict { key: key.clone(), current: self.get(key) });
            }
        }
        Ok(())
    }

    /// The writes that change something: the last one of each key, and no deletion of what is absent.
    pub(crate) fn effective(&self, mut writes: Vec<Write>, overlay: &Overlay) -> Vec<Write> {
        let exists = |key: &StoreKey| match overlay.0.get(key) {
            Some(pending) => pending.is_some(),
            None => self.live(key).is_some(),
        };
        if writes.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            writes.reverse();
            writes.retain(|write| seen.insert(key_of(write).clone()));
            writes.reverse();
        }
        writes.retain(|write| matches!(write, Write::Put(..)) || exists(key_of(write)));
        writes
    }

    /// Applies writes (checked and effective) at `revision`, and gives their events.
    pub(crate) fn apply(&mut self, revision: Revision, writes: Vec<Write>, now_secs: i64) -> &[StoreEvent] {
        assert!(revision > self.current, "invariant: revisions grow");
        self.current = revision;
        let events: Box<[StoreEvent]> = writes.into_iter().map(|write| self.apply_write(revision, write)).collect();
        self.events_len += events.len();
        self.events_bytes += events.iter().map(event_bytes).sum::<usize>();
        if self.marks.back().is_none_or(|(secs, _)| now_secs - secs >= MARK_EVERY_SECS) {
            self.marks.push_back((now_secs, revision));
        }
        self.events.push_back((revision, events));
        self.forget(now_secs);
        self.events.back().map_or(&[], |(_, events)| events)
    }

    fn apply_write(&mut self, revision: Revision, write: Write) -> StoreEvent {
        let (key, value) = match write {
            Write::Put(key, value) => (key, Some(value)),
            Write::Delete(key) => (key, None),
        };
        self.live_bytes += value.as_ref().map_or(0, |value| key.len() + value.len());
        let Some(versions) = self.keys.get_mut(&key) else {
            let newest = Version { created: revision, modified: revision, value: value.clone() };
            self.keys.insert(key.clone(), Versions { newest, older: Vec::new() });
            return StoreEvent { revision, key, value, created: revision, before: None };
        };
        let before = versions.newest.value.clone();
        self.live_bytes -= before.as_ref().map_or(0, |value| key.len() + value.len());
        let created = if before.is_some() { versions.newest.created } else { revision };
        let newest = Version { created, modified: revision, value: value.clone() };
        let replaced = std::mem::replace(&mut versions.newest, newest);
        versions.older.push(replaced);
        StoreEvent { revision, key, value, created, before }
    }

    /// Takes the entries of a snapshot, in the order of their keys. Only for recovery, before anything else.
    pub(crate) fn restore(&mut self, entries: impl Iterator<Item = Entry>) {
        let mut live_bytes = 0;
        let versions = entries.map(|Entry { key, value, created, modified }| {
            live_bytes += key.len() + value.len();
            let newest = Version { created, modified, value: Some(value) };
            (key, Versions { newest, older: Vec::new() })
        });
        // Built at once its nodes are full, which takes a third less memory than inserting one by one.
        self.keys = versions.collect();
        self.live_bytes = live_bytes;
    }

    /// Starts anew at `revision` with no history behind it. Only for recovery.
    pub(crate) fn jump(&mut self, revision: Revision) {
        assert!(revision >= self.current, "invariant: revisions grow");
        self.current = revision;
        self.compact_to(revision);
        self.told_from = revision.next();
    }

    pub(crate) fn range(&self, range: &Range) -> Result<Page, StoreError> {
        let revision = range.at.unwrap_or(self.current);
        let limit = range.limit.unwrap_or(usize::MAX);
        if range.start >= range.end {
            self.check_readable(revision)?;
            return Ok(Page { revision, entries: Vec::new(), more: false });
        }
        self.page((Bound::Included(&*range.start), Bound::Excluded(&*range.end)), revision, limit)
    }

    /// The entries behind the key `last`, from the first one when absent.
    pub(crate) fn page_behind(&self, last: Option<&[u8]>, at: Revision, limit: usize) -> Result<Page, StoreError> {
        self.page((last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded), at, limit)
    }

    fn page(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>), at: Revision, limit: usize) -> Result<Page, StoreError> {
        self.check_readable(at)?;
        let mut page = Page { revision: at, entries: Vec::new(), more: false };
        for (key, versions) in self.keys.range::<[u8], _>(bounds) {
            let Some(entry) = versions.at(at).and_then(|version| entry(key, version)) else { continue };
            if page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push(entry);
        }
        Ok(page)
    }

    fn check_readable(&self, revision: Revision) -> Result<(), StoreError> {
        if revision > self.current {
            return Err(StoreError::Future { asked: revision, newest: self.current });
        }
        if revision < self.oldest {
            return Err(StoreError::Compacted { asked: revision, oldest: self.oldest });
        }
        Ok(())
    }

    /// The events after `after` of keys in `start..end`, by revision.
    pub(crate) fn events_after(
        &self,
        after: Revision,
        start: &[u8],
        end: &[u8],
    ) -> Result<VecDeque<Vec<StoreEvent>>, StoreError> {
        if after > self.current {
            return Err(StoreError::Future { asked: after, newest: self.current });
        }
        if after.next() < self.told_from {
            return Err(StoreError::Compacted { asked: after, oldest: self.told_from });
        }
        let first = self.events.partition_point(|(revision, _)| *revision <= after);
        let matching = |events: &[StoreEvent]| -> Vec<StoreEvent> {
            events.iter().filter(|event| start <= &*event.key && &*event.key < end).cloned().collect()
        };
        Ok(self.events.range(first..).map(|(_, events)| matching(events)).filter(|events| !events.is_empty()).collect())
    }

    pub(crate) fn compact(&mut self, before: Revision) -> Result<(), StoreError> {
        if before > self.current {
            return Err(StoreError::Future { asked: before, newest: self.current });
        }
        self.floor = self.floor.max(before);
        self.compact_to(before);
        Ok(())
    }

    /// What was compacted by request.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// Whether nothing is known of what led to the state at `base`, and nothing since was forgotten.
    pub(crate) fn begins_at(&self, base: Revision) -> bool {
        self.oldest == base && self.told_from == base.next()
    }

    /// Takes in the commit in front of `follower`, the first one that is known. Not when that has been forgotten
    /// meanwhile, or the bounds of the history are reached.
    pub(crate) fn prepend(&mut self, past: PastRevision, follower: Revision) -> bool {
        let PastRevision { revision, secs, events } = past;
        let bytes: usize = events.iter().map(|(event, _)| event_bytes(event)).sum();
        let fits = self.events_len + events.len() <= self.history.events_max
            && self.events_bytes + bytes <= self.history.bytes_max;
        if self.told_from != follower || revision < self.floor || !fits {
            return false;
        }
        self.events_len += events.len();
        self.events_bytes += bytes;
        match self.marks.front_mut() {
            Some((first, at)) if *first == secs => *at = revision,
            Some((first, _)) if *first - secs < MARK_EVERY_SECS => {}
            _ => self.marks.push_front((secs, revision)),
        }
        let mut told = Vec::with_capacity(events.len());
        for (event, before) in events {
            self.prepend_version(&event, before);
            told.push(event);
        }
        self.events.push_front((revision, told.into()));
        self.oldest = revision;
        self.told_from = revision;
        true
    }

    fn prepend_version(&mut self, event: &StoreEvent, before: Option<Version>) {
        let gone = || Version { created: event.created, modified: event.revision, value: None };
        let versions =
            self.keys.entry(event.key.clone()).or_insert_with(|| Versions { newest: gone(), older: Vec::new() });
        let first = versions.older.first().unwrap_or(&versions.newest).modified;
        if first > event.revision {
            versions.older.insert(0, gone());
        }
        if let Some(before) = before {
            versions.older.insert(0, before);
        }
    }

    pub(crate) fn pin(&mut self, revision: Option<Revision>) {
        self.pinned = revision;
        // What was asked for meanwhile.
        self.compact_to(self.floor);
    }

    /// Whether a snapshot is being read.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    fn hold(&mut self, revision: Revision) {
        *self.holds.entry(revision).or_default() += 1;
    }

    fn let_go(&mut self, revision: Revision) {
        if let Some(count) = self.holds.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                self.holds.remove(&revision);
            }
        }
        self.compact_to(self.floor);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            revision: self.current,
            oldest: self.oldest,
            keys: self.keys.values().filter(|versions| versions.newest.value.is_some()).count() as u64,
            live_bytes: self.live_bytes as u64,
            history_events: Some(self.events_len as u64),
            history_bytes: Some(self.events_bytes as u64),
            disk_bytes: None,
        }
    }

    /// The newest revision that is known to be no younger than this time of day.
    pub(crate) fn revision_at(&self, unix_secs: i64) -> Option<Revision> {
        let newer = self.marks.partition_point(|(secs, _)| *secs <= unix_secs);
        match newer.checked_sub(1) {
            None => None,
            // Nothing was committed since the last mark's span of time ended.
            Some(last) if newer == self.marks.len() && self.marks[last].0 + MARK_EVERY_SECS <= unix_secs => {
                Some(self.current)
            }
            Some(last) => Some(self.marks[last].1),
        }
    }

    fn compact_to(&mut self, before: Revision) {
        let kept = self.holds.keys().next().into_iter().chain(&self.pinned).min();
        let before = kept.map_or(before, |kept| before.min(*kept));
        if before <= self.oldest {
            return;
        }
        self.oldest = before;
        self.told_from = self.told_from.max(before);
        while self.events.front().is_some_and(|(revision, _)| *revision < before) {
            let Some((_, events)) = self.events.pop_front() else { break };
            self.events_len -= events.len();
            self.events_bytes -= events.iter().map(event_bytes).sum::<usize>();
            for event in &events {
                self.prune(&event.key);
            }
        }
        while self.marks.front().is_some_and(|(_, revision)| *revision < before) {
            self.marks.pop_front();
        }
    }

    fn prune(&mut self, key: &StoreKey) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        versions.prune(self.oldest);
        let forgotten = versions.older.is_empty() && versions.newest.value.is_none();
        if forgotten && versions.newest.modified <= self.oldest {
            self.keys.remove(key);
        }
    }

    /// Keeps the history within its bounds.
    fn forget(&mut self, now_secs: i64) {
        let mut before = self.oldest;
        if let Some(window) = self.history.window {
            let since = now_secs.saturating_sub(i64::try_from(window.as_secs()).unwrap_or(i64::MAX));
            let expired = self.marks.iter().take_while(|(secs, _)| *secs <= since).last();
            before = expired.map_or(before, |(_, revision)| before.max(*revision));
        }
        let far = self.events_len > HELD_FACTOR_MAX * self.history.events_max
            || self.events_bytes > HELD_FACTOR_MAX * self.history.bytes_max;
        if far {
            // Who reads so slowly is told `Compacted`, so that memory stays bounded.
            self.holds.clear();
        }
        if self.events_len > self.history.events_max || self.events_bytes > self.history.bytes_max {
            // An eighth at once, so that the work of compaction is spread over many commits.
            let drop = (self.events.len() / 8).max(1);
            before = before.max(self.events.get(drop).map_or(self.current, |(revision, _)| *revision));
        }
        self.compact_to(before);
    }
}

struct Held(Arc<RwLock<Ledger>>, Revision);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).let_go(self.1);
    }
}

/// Holds the newest revision.
pub(crate) fn hold(shared: &Arc<RwLock<Ledger>>) -> Hold {
    let mut ledger = shared.write().unwrap_or_else(PoisonError::into_inner);
    let revision = ledger.current();
    ledger.hold(revision);
    Hold { revision, guard: Some(Box::new(Held(shared.clone(), revision))) }
}

fn entry(key: &StoreKey, version: &Version) -> Option<Entry> {
    let value = version.value.clone()?;
    Some(Entry { key: key.clone(), value, created: version.created, modified: version.modified })
}

fn event_bytes(event: &StoreEvent) -> usize {
    event.before.as_ref().map_or(0, Bytes::len)
}

pub(crate) fn key_of(write: &Write) -> &StoreKey {
    match write {
        Write::Put(key, _) | Write::Delete(key) => key,
    }
}
