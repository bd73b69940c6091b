//! What a store must have done, given what its clients were told: one order of commits by revision.
//!
//! Checked are that each acknowledged commit's revision respects real time, that preconditions held in that order, that
//! every read shows a state of its own time, and that a watch tells exactly the events of the order.

use std::collections::BTreeMap;

use crate::{Commit, Entry, Precondition, StoreEvent, StoreKey, Write};

pub type Content = BTreeMap<StoreKey, Entry>;

/// The span of revisions that could be the newest while an operation was going on.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

#[derive(Debug)]
pub enum Seen {
    Got {
        key: StoreKey,
        found: Option<Entry>,
        span: Span,
    },
    Ranged {
        at: u64,
        asked: Option<u64>,
        found: Vec<Entry>,
        span: Span,
    },
    Conflict {
        commit: Commit,
        key: StoreKey,
        current: Option<Entry>,
        span: Span,
    },
    /// All events from behind `after` up to `to`, of keys in `start..end`.
    Watched {
        start: StoreKey,
        end: StoreKey,
        after: u64,
        to: u64,
        told: Vec<StoreEvent>,
    },
}

pub struct Model {
    /// The content at each revision that was committed, ascending.
    states: Vec<(u64, Content)>,
    events: BTreeMap<u64, Vec<StoreEvent>>,
}

impl Model {
    pub fn new() -> Self {
        Self { states: vec![(1, Content::new())], events: BTreeMap::new() }
    }

    pub fn newest(&self) -> u64 {
        self.states.last().map_or(0, |(revision, _)| *revision)
    }

    pub fn content(&self) -> &Content {
        &self.states.last().expect("a model begins with a state").1
    }

    fn at(&self, revision: u64) -> &Content {
        let behind = self.states.partition_point(|(other, _)| *other <= revision);
        &self.states[behind.saturating_sub(1)].1
    }

    /// The next commit of the order.
    pub fn apply(&mut self, revision: u64, commit: &Commit) {
        assert_eq!(revision, self.newest() + 1, "a revision is missing in the order");
        let mut content = self.content().clone();
        for precondition in &commit.preconditions {
            assert!(holds(precondition, &content), "revision {revision}: {precondition:?} did not hold");
        }
        let mut events: BTreeMap<StoreKey, StoreEvent> = BTreeMap::new();
        let last: BTreeMap<&StoreKey, &Write> =
            commit.writes.iter().map(|write| (crate::ledger::key_of(write), write)).collect();
        for (key, write) in last {
            let before = content.remove(key);
            let (revision, created) = (crate::Revision(revision), before.as_ref().map(|before| before.created));
            let value = match write {
                Write::Put(_, value) => Some(value.clone()),
                Write::Delete(_) if before.is_none() => continue,
                Write::Delete(_) => None,
            };
            let created = created.unwrap_or(revision);
            if let Some(value) = value.clone() {
                content.insert(key.clone(), Entry { key: key.clone(), value, created, modified: revision });
            }
            let before = before.map(|before| before.value);
            events.insert(key.clone(), StoreEvent { revision, key: key.clone(), value, created, before });
        }
        self.events.insert(revision, events.into_values().collect());
        self.states.push((revision, content));
    }

    /// What came after `revision` was lost, and the order goes on at `next`, which nobody has seen.
    pub fn lose_after(&mut self, revision: u64, next: u64) {
        self.states.retain(|(other, _)| *other <= revision);
        self.events.retain(|other, _| *other <= revision);
        let content = self.content().clone();
        if next > self.newest() {
            self.states.push((next, content));
        }
    }

    pub fn check(&self, seen: &Seen) {
        let ok = match seen {
            Seen::Got { key, found, span } => self.any(*span, |content| content.get(key) == found.as_ref()),
            Seen::Ranged { at, asked, found, span } => {
                let in_time = asked.map_or(span.from <= *at && *at <= span.to, |asked| asked == *at);
                in_time && self.at(*at).values().eq(found)
            }
            Seen::Conflict { commit, key, current, span } => {
                let failed = |content: &Content| commit.preconditions.iter().any(|one| !holds(one, content));
                self.any(*span, failed) && self.any(*span, |content| content.get(key) == current.as_ref())
            }
            Seen::Watched { start, end, after, to, told } => {
                let events = self
                    .events
                    .range(after..=to)
                    .filter(|(revision, _)| *revision > after)
                    .flat_map(|(_, events)| events);
                events.filter(|event| *start <= event.key && event.key < *end).eq(told)
            }
        };
        assert!(ok, "no order of the commits explains {seen:?}\nstates: {:?}", self.near(seen));
    }

    fn any(&self, span: Span, holds: impl Fn(&Content) -> bool) -> bool {
        let first = self.states.partition_point(|(revision, _)| *revision <= span.from).saturating_sub(1);
        self.states[first..].iter().take_while(|(revision, _)| *revision <= span.to).any(|(_, content)| holds(content))
    }

    fn near(&self, seen: &Seen) -> Vec<&(u64, Content)> {
        let (from, to) = match seen {
            Seen::Got { span, .. } | Seen::Conflict { span, .. } => (span.from, span.to),
            Seen::Ranged { at, .. } => (*at, *at),
            Seen::Watched { after, to, .. } => (*after, *to),
        };
        self.states.iter().filter(|(revision, _)| from <= *revision && *revision <= to).collect()
    }
}

fn holds(precondition: &Precondition, content: &Content) -> bool {
    match precondition {
        Precondition::Absent(key) => !content.contains_key(key),
        Precondition::ModifiedAt(key, revision) => content.get(key).is_some_and(|entry| entry.modified == *revision),
    }
}
