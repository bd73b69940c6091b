//! Which keys of a controller are to be planned: dedup, backoff, timers, and the wait for one's own writes. A pure value;
//! the driver owns one per controller and tells it the time.
//!
//! ```text
//!          wake                pop                 finish, nothing written
//!  idle ----------> ready ----------> running ---------------------------> idle (ready, if woken meanwhile)
//!    ^                ^                  | finish, with writes
//!    |   all seen     |                  v
//!    +----------------+------------ blocked until the cache shows the writes
//! ```
//! A key is in one state at a time, so there are never more entries than objects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use api::{Gvr, Key, Revision};
use stdx::Backoff;
use tokio::time::Instant;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(300));

/// What the cache must show before a key is planned again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// The resource is known up to a write's revision.
    AtLeast(Gvr, Revision),
    /// The object of this uid is gone, or is being deleted.
    Gone(Gvr, Key, Box<str>),
}

/// How the work on a key ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub barriers: Vec<Barrier>,
    /// Something was written: plan once more when the cache shows it.
    pub acted: bool,
    pub failed: bool,
    pub wake_at: Option<Instant>,
}

#[derive(Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    entries: BTreeMap<Key, Entry>,
    timers: BTreeSet<(Instant, Key)>,
    blocked: BTreeSet<Key>,
}

#[derive(Default)]
struct Entry {
    phase: Phase,
    /// Woken while running or blocked.
    again: bool,
    failures: u32,
    timer: Option<Instant>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Idle,
    Ready,
    Running,
    Blocked(Vec<Barrier>),
}

impl Queue {
    pub fn wake(&mut self, key: Key) {
        let entry = self.entries.entry(key.clone()).or_default();
        match entry.phase {
            Phase::Idle => {
                entry.phase = Phase::Ready;
                self.ready.push_back(key);
            }
            Phase::Ready => {}
            Phase::Running | Phase::Blocked(_) => entry.again = true,
        }
    }

    /// The next key to work on.
    pub fn pop(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.entries.entry(key.clone()).or_default().phase = Phase::Running;
        Some(key)
    }

    /// Ends the work on a key. `jitter` is a random number.
    pub fn finish(&mut self, key: &Key, outcome: Outcome, now: Instant, jitter: u64) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.again |= outcome.acted;
        let mut wake_at = outcome.wake_at;
        if outcome.failed {
            entry.failures += 1;
            let delay = BACKOFF.delay(entry.failures);
            let spread = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX) / 2 + 1;
            let retry = now + delay / 2 + Duration::from_micros(jitter % spread);
            wake_at = Some(wake_at.map_or(retry, |at| at.min(retry)));
        } else {
            entry.failures = 0;
        }
        if let Some(old) = entry.timer.take() {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = wake_at {
            entry.timer = Some(at);
            self.timers.insert((at, key.clone()));
        }
        if outcome.barriers.is_empty() {
            self.settle(key);
        } else {
            entry.phase = Phase::Blocked(outcome.barriers);
            self.blocked.insert(key.clone());
        }
    }

    /// Frees the keys whose writes the cache shows by now.
    pub fn unblock(&mut self, is_seen: impl Fn(&Barrier) -> bool) {
        let mut free = Vec::new();
        for key in &self.blocked {
            let Some(Entry { phase: Phase::Blocked(barriers), .. }) = self.entries.get_mut(key) else { continue };
            barriers.retain(|barrier| !is_seen(barrier));
            if barriers.is_empty() {
                free.push(key.clone());
            }
        }
        for key in free {
            self.blocked.remove(&key);
            self.settle(&key);
        }
    }

    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Wakes the keys whose time has come.
    pub fn fire(&mut self, now: Instant) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.timers.pop_first() else { return };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.timer = None;
            }
            self.wake(key);
        }
    }

    fn settle(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.phase = Phase::Idle;
        if std::mem::take(&mut entry.again) {
            self.wake(key.clone());
        } else if entry.timer.is_none() && entry.failures == 0 {
            self.entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: Gvr = Gvr::new("", "v1", "pods");

    fn key(name: &str) -> Key {
        Key::new("n", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_woken_while_it_is_worked_on_is_planned_once_more_and_by_one_worker() {
        let mut queue = Queue::default();
        queue.wake(key("a"));
        queue.wake(key("a"));
        assert_eq!(queue.pop(), Some(key("a")));
        queue.wake(key("a"));
        assert_eq!(queue.pop(), None);
        queue.finish(&key("a"), Outcome::default(), Instant::now(), 0);
        assert_eq!((queue.pop(), queue.pop()), (Some(key("a")), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_wrote_waits_until_the_cache_shows_its_write() {
        let mut queue = Queue::default();
        queue.wake(key("a"));
        queue.pop();
        let barriers = vec![Barrier::AtLeast(PODS, Revision(7))];
        queue.finish(&key("a"), Outcome { barriers, acted: true, ..Outcome::default() }, Instant::now(), 0);
        queue.wake(key("a"));
        queue.unblock(|_| false);
        assert_eq!(queue.pop(), None);
        queue.unblock(|_| true);
        assert_eq!((queue.pop(), queue.has_blocked()), (Some(key("a")), false));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_success_forgets_them() {
        let mut queue = Queue::default();
        queue.wake(key("a"));
        let start = Instant::now();
        let mut at = start;
        let mut waits = Vec::new();
        for _ in 0..4 {
            assert_eq!(queue.pop(), Some(key("a")));
            queue.finish(&key("a"), Outcome { failed: true, ..Outcome::default() }, at, 0);
            let next = queue.next_timer().unwrap();
            waits.push((next - at).as_micros());
            at = next;
            queue.fire(at);
        }
        assert_eq!(waits, [2500, 5000, 10_000, 20_000]);
        queue.pop();
        queue.finish(&key("a"), Outcome::default(), at, 0);
        assert_eq!((queue.next_timer(), queue.entries.len()), (None, 0));
    }
}
