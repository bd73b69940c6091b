//! One change of one object, with its encodings: each is made once and shared by all watchers.

use std::sync::OnceLock;

use api::{Object, Revision};
use bytes::Bytes;

use super::{Trigger, frame};
use crate::storage;

/// How a watcher sees a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Added,
    Modified,
    Deleted,
}

impl Seen {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

pub struct Event {
    pub revision: Revision,
    pub before: Option<Object>,
    pub after: Option<Object>,
    lines: [OnceLock<Bytes>; 3],
    protobufs: [OnceLock<Bytes>; 3],
}

impl Event {
    pub fn new(revision: Revision, before: Option<Object>, after: Option<Object>) -> Self {
        Self { revision, before, after, lines: Default::default(), protobufs: Default::default() }
    }

    /// What a watcher with this filter sees of the change; an object that stops matching is seen as deleted.
    pub fn seen(&self, matches: impl Fn(&Object) -> bool) -> Option<Seen> {
        let was = self.before.as_ref().is_some_and(&matches);
        let is = self.after.as_ref().is_some_and(&matches);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(Seen::Added),
            (true, true) => Some(Seen::Modified),
            (true, false) => Some(Seen::Deleted),
        }
    }

    /// The object's JSON as the watcher gets it: a deleted one is its last state at the revision of the deletion.
    pub fn json(&self, seen: Seen) -> Bytes {
        match (seen, &self.before, &self.after) {
            (Seen::Deleted, Some(before), _) => storage::with_revision(before.json(), self.revision),
            (_, _, Some(after)) => after.json().clone(),
            (_, before, None) => before.as_ref().map(|object| object.json().clone()).unwrap_or_default(),
        }
    }

    /// The line that watchers of plain JSON are sent.
    pub fn line(&self, seen: Seen) -> Bytes {
        self.lines[seen as usize].get_or_init(|| frame(seen.as_str(), &self.json(seen))).clone()
    }

    /// The frame that watchers of plain protobuf are sent; all give the same `encode`.
    pub fn protobuf(&self, seen: Seen, encode: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.protobufs[seen as usize].get_or_init(|| encode(&self.json(seen))).clone()
    }

    /// Whether the field has the value before or after the change.
    pub fn touches(&self, (position, value): &Trigger) -> bool {
        [&self.before, &self.after].into_iter().flatten().any(|object| object.field(*position) == &**value)
    }

    /// Roughly what the event keeps in memory.
    pub fn bytes(&self) -> usize {
        let size = |object: &Option<Object>| object.as_ref().map_or(0, |object| object.json().len());
        size(&self.before) + size(&self.after)
    }
}
