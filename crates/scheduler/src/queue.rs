//! The pods that wait for a node.
//!
//! ```text
//!            add                 pop
//!   new ----------> Active -----------------> (cycle)
//!                     ^  ^                       | no node, or the binding failed
//!      time is up     |  | event, backoff over   v
//!                  Backoff <--- event --- Unschedulable (until a plugin that rejected it is interested in an event)
//! ```
//! Higher priority first, then who waits longer. A pod waits in Unschedulable for at most
//! [`UNSCHEDULABLE_SECS_MAX`], in case that no plugin recognised the event that mattered.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stdx::Backoff;

use crate::plugin::{ClusterEvent, Plugin};
use crate::pod::PodInfo;

const UNSCHEDULABLE_SECS_MAX: i64 = 5 * 60;
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

type Uid = Box<str>;

/// The place in the active queue: priority, then arrival.
type Rank = (Reverse<i32>, u64, Uid);

#[derive(Default)]
pub struct Queue {
    waiting: HashMap<Uid, Waiting>,
    active: BTreeSet<Rank>,
    /// When to look at pods in Backoff and Unschedulable again.
    alarms: BTreeSet<(Timestamp, Uid)>,
    arrivals: u64,
}

struct Waiting {
    pod: Arc<PodInfo>,
    arrival: u64,
    attempts: u32,
    state: State,
}

enum State {
    Active,
    Backoff {
        until: Timestamp,
    },
    Unschedulable {
        until: Timestamp,
        backoff_until: Timestamp,
        plugins: BTreeSet<&'static str>,
    },
    /// Popped: its cycle or binding goes on.
    InCycle,
}

impl Queue {
    /// The UIDs of all waiting pods.
    pub fn pods(&self) -> impl Iterator<Item = &Box<str>> {
        self.waiting.keys()
    }

    pub fn get(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.waiting.get(uid).map(|waiting| &waiting.pod)
    }

    /// A new pod, or a newer state of one that waits.
    pub fn put(&mut self, pod: Arc<PodInfo>) {
        let uid = pod.uid.clone();
        if let Some(waiting) = self.waiting.get_mut(&uid) {
            let was_active = matches!(waiting.state, State::Active);
            if was_active {
                self.active.remove(&rank(waiting));
            }
            waiting.pod = pod;
            if was_active {
                self.active.insert(rank(waiting));
            }
            return;
        }
        self.arrivals += 1;
        let waiting = Waiting { pod, arrival: self.arrivals, attempts: 0, state: State::Active };
        self.active.insert(rank(&waiting));
        self.waiting.insert(uid, waiting);
    }

    pub fn remove(&mut self, uid: &str) {
        if let Some(waiting) = self.waiting.remove(uid) {
            self.active.remove(&rank(&waiting));
            if let Some(alarm) = alarm(&waiting.state) {
                self.alarms.remove(&(alarm, uid.into()));
            }
        }
    }

    /// The next pod to find a node for.
    pub fn pop(&mut self, now: Timestamp) -> Option<Arc<PodInfo>> {
        self.ring(now);
        let (_, _, uid) = self.active.pop_first()?;
        let waiting = self.waiting.get_mut(&uid)?;
        waiting.state = State::InCycle;
        waiting.attempts += 1;
        Some(waiting.pod.clone())
    }

    /// No node took the pod; it waits for an event that one of the plugins is interested in.
    pub fn unschedulable(&mut self, uid: &str, plugins: BTreeSet<&'static str>, now: Timestamp) {
        let until = now + SignedDuration::from_secs(UNSCHEDULABLE_SECS_MAX);
        self.park(uid, |backoff_until| State::Unschedulable { until, backoff_until, plugins }, now);
    }

    /// The attempt failed for a reason outside the pod (a binding refused): again after a backoff.
    pub fn retry(&mut self, uid: &str, now: Timestamp) {
        self.park(uid, |until| State::Backoff { until }, now);
    }

    /// Wakes the pods that the event may help.
    pub fn on_event(&mut self, event: ClusterEvent<'_>, plugins: &[Box<dyn Plugin>], now: Timestamp) {
        let parked = self.alarms.iter().filter_map(|(_, uid)| Some((uid, self.waiting.get(uid)?)));
        let woken: Vec<Uid> =
            parked.filter(|(_, waiting)| is_woken(waiting, event, plugins)).map(|(uid, _)| uid.clone()).collect();
        // Who waits longer comes first.
        let mut by_arrival: BTreeMap<u64, Uid> = BTreeMap::new();
        for uid in woken {
            by_arrival.insert(self.waiting[&uid].arrival, uid);
        }
        for uid in by_arrival.into_values() {
            self.wake(&uid, now);
        }
    }

    /// The waiting pod itself was changed: its own plugins decide whether that helps.
    pub fn on_pod_update(&mut self, uid: &str, plugins: &[Box<dyn Plugin>], now: Timestamp) {
        let Some(waiting) = self.waiting.get(uid) else { return };
        if is_woken(waiting, ClusterEvent::PodUpdated, plugins) {
            self.wake(uid, now);
        }
    }

    /// When [`Queue::pop`] may next give a pod that it does not give now.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn park(&mut self, uid: &str, state: impl FnOnce(Timestamp) -> State, now: Timestamp) {
        let Some(waiting) = self.waiting.get_mut(uid) else { return };
        let delay = SignedDuration::try_from(BACKOFF.delay(waiting.attempts)).unwrap_or(SignedDuration::ZERO);
        waiting.state = state(now + delay);
        if let Some(at) = alarm(&waiting.state) {
            self.alarms.insert((at, uid.into()));
        }
    }

    fn wake(&mut self, uid: &str, now: Timestamp) {
        let Some(waiting) = self.waiting.get_mut(uid) else { return };
        let State::Unschedulable { until, backoff_until, .. } = waiting.state else { return };
        self.alarms.remove(&(until, uid.into()));
        if backoff_until > now {
            waiting.state = State::Backoff { until: backoff_until };
            self.alarms.insert((backoff_until, uid.into()));
        } else {
            waiting.state = State::Active;
            self.active.insert(rank(waiting));
        }
    }

    fn ring(&mut self, now: Timestamp) {
        while self.alarms.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, uid)) = self.alarms.pop_first() else { return };
            if let Some(waiting) = self.waiting.get_mut(&uid) {
                waiting.state = State::Active;
                self.active.insert(rank(waiting));
            }
        }
    }
}

fn rank(waiting: &Waiting) -> Rank {
    (Reverse(waiting.pod.priority), waiting.arrival, waiting.pod.uid.clone())
}

fn alarm(state: &State) -> Option<Timestamp> {
    match state {
        State::Active | State::InCycle => None,
        State::Backoff { until } | State::Unschedulable { until, .. } => Some(*until),
    }
}

fn is_woken(waiting: &Waiting, event: ClusterEvent<'_>, plugins: &[Box<dyn Plugin>]) -> bool {
    let State::Unschedulable { plugins: rejecting, .. } = &waiting.state else { return false };
    // With no node at all, no plugin was asked: any event may help.
    rejecting.is_empty()
        || plugins.iter().any(|plugin| rejecting.contains(plugin.name()) && plugin.wakes(&waiting.pod, event))
}
