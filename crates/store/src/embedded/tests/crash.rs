//! Ten thousand simulated crashes: a seeded workload over a disk that tears, loses, refuses and fails, in one thread, with
//! everything that clients were told held against [`Model`]. A failure prints its seed; `CRASH_SEED=n` runs it alone.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::task::noop_waker;
use stdx::{Clock, ManualClock, Rng, SystemClock};

use super::model::{Content, Model, Seen, Span};
use crate::embedded::{EmbeddedOptions, EmbeddedStore, Hand};
use crate::fault::{Fault, FaultDisk};
use crate::ledger::History;
use crate::{
    Commit, Durability, Entry, KEYS_END, Page, Precondition, Range, Revision, Store, StoreError, StoreKey, WatchItem,
    WatchStream, Write,
};

const SEEDS: u64 = 1_250;
/// Seeds that once failed, and what they found.
const KEPT: &[(u64, &str)] = &[
    (6, "no jump after a crash in a log that was begun after the start: revisions were given out twice"),
    (365, "the name of the first log was not durable after a kill and a crash"),
    (524, "the seal of a log that had been followed by the next one was torn: the store did not open"),
    (10_022, "an I/O error tore a seal, which was taken for written: the store did not open"),
    (30_062, "the same after an orderly end"),
];
const LIVES: u64 = 8;
const CLIENTS: usize = 4;
const KEYS: u64 = 5;
/// See `JUMP_AFTER_CRASH` in recovery.rs.
const JUMP: u64 = 100_000;

enum Done {
    Commit(Result<Revision, StoreError>),
    Get(Result<Option<Entry>, StoreError>),
    Range(Result<Page, StoreError>),
    Watch(Result<Box<dyn WatchStream>, StoreError>),
    Compact,
}

#[derive(Clone)]
enum Asked {
    Commit { id: u64, commit: Commit },
    Get(StoreKey),
    Range(Option<u64>),
    Watch { start: StoreKey, end: StoreKey, after: u64 },
    Compact,
}

struct Pending {
    client: Option<usize>,
    asked: Asked,
    /// The newest revision that anybody knew when it began.
    from: u64,
    answer: Pin<Box<dyn Future<Output = Done>>>,
}

struct Watcher {
    stream: Box<dyn WatchStream>,
    start: StoreKey,
    end: StoreKey,
    after: u64,
    to: u64,
    told: Vec<crate::StoreEvent>,
}

/// How a life of the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    PowerLost,
}

struct Universe {
    rng: Rng,
    disk: FaultDisk,
    clock: Arc<ManualClock>,
    model: Model,
    next_id: u64,
    /// The newest revision that anybody was told of.
    known: u64,
    /// The newest that was acknowledged as durable.
    durable: u64,
    /// Commits whose fate nobody knows.
    in_doubt: BTreeMap<u64, Commit>,
    acknowledged: BTreeMap<u64, Commit>,
    seen: Vec<Seen>,
    crashes: u64,
    last: End,
}

impl Universe {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::seeded(seed),
            disk: FaultDisk::default(),
            clock: Arc::new(ManualClock::new(SystemClock.now())),
            model: Model::new(),
            next_id: 0,
            known: 1,
            durable: 1,
            in_doubt: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            seen: Vec::new(),
            crashes: 0,
            last: End::Closed,
        }
    }

    fn options(&self) -> EmbeddedOptions {
        let history = History { events_max: 48, bytes_max: 1 << 20, ..EmbeddedOptions::default().history };
        let (clock, rng) = (self.clock.clone(), self.rng.clone());
        EmbeddedOptions { history, log_bytes: 1_500, fill_bytes: 2_048, clock, rng, ..EmbeddedOptions::default() }
    }

    /// Opens what is on the disk, perhaps with crashes on the way.
    fn open(&mut self, end: &mut End) -> (Arc<EmbeddedStore>, Hand) {
        loop {
            let armed = self.rng.below(4) == 0;
            if armed {
                self.disk.after(self.rng.below(12), Fault::Down, &self.rng);
            }
            match EmbeddedStore::assemble(Arc::new(self.disk.clone()), self.options(), true) {
                Ok((store, hand)) => return (Arc::new(store), hand),
                Err(StoreError::Io(_)) if armed => {
                    let next = if self.rng.below(2) == 0 { End::Killed } else { End::PowerLost };
                    self.end(next);
                    *end = if *end == End::PowerLost { *end } else { next };
                }
                Err(error) => panic!("the store does not open after {end:?}: {error}"),
            }
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Closed => return,
            End::Killed => self.disk.kill(),
            End::PowerLost => self.disk.crash(&self.rng),
        }
        self.crashes += 1;
    }

    fn key(&self) -> StoreKey {
        format!("k{}", self.rng.below(KEYS)).as_bytes().into()
    }

    fn commit(&mut self, client: usize) -> (u64, Commit) {
        self.next_id += 1;
        let id = self.next_id;
        let value = |len: u64| Bytes::from(format!("{id}:{}", "x".repeat(len as usize)));
        // By this one the commit is known again in whatever state it led to.
        let mut writes = vec![Write::Put(client_key(client), value(0))];
        for _ in 0..self.rng.below(3) {
            let key = self.key();
            let len = if self.rng.below(8) == 0 { 700 } else { self.rng.below(60) };
            writes.push(if self.rng.below(3) == 0 { Write::Delete(key) } else { Write::Put(key, value(len)) });
        }
        let mut preconditions = Vec::new();
        if self.rng.below(2) == 0 {
            let key = self.key();
            let newest = self.acknowledged.keys().last().copied().unwrap_or(self.model.newest());
            preconditions.push(match (self.rng.below(3), self.model.content().get(&key)) {
                (0, _) => Precondition::Absent(key),
                (1, Some(entry)) => Precondition::ModifiedAt(key, entry.modified),
                _ => Precondition::ModifiedAt(key, Revision(newest.saturating_sub(self.rng.below(4)))),
            });
        }
        let durability = if self.rng.below(3) == 0 { Durability::Buffered } else { Durability::Synced };
        (id, Commit { preconditions, writes, durability })
    }

    /// One life of a process.
    fn live(&mut self, end: End) {
        let mut how = std::mem::replace(&mut self.last, end);
        let (store, hand) = self.open(&mut how);
        self.disk.clear_fault();
        self.recovered(&store, how);
        let steps = 10 + self.rng.below(50);
        match self.rng.below(8) {
            0..=2 if end != End::Closed => self.disk.after(self.rng.below(60), Fault::Down, &self.rng),
            3 => self.disk.after(self.rng.below(60), Fault::Error, &self.rng),
            _ => {}
        }
        let mut life = Life { store: Some(store), hand, pending: Vec::new(), watchers: Vec::new() };
        for _ in 0..steps {
            self.step(&mut life);
            self.poll(&mut life);
        }
        self.disk.set_bytes_max(None);
        if end == End::Closed {
            self.disk.clear_fault();
        }
        for watcher in life.watchers.drain(..) {
            let Watcher { start, end, after, to, mut told, .. } = watcher;
            // Within one revision keys have no order.
            told.sort_by(|one, other| (one.revision, &one.key).cmp(&(other.revision, &other.key)));
            self.seen.push(Seen::Watched { start, end, after, to, told });
        }
        if end == End::Closed {
            // What waits in the queue is answered before a store closes.
            turn(&mut life.hand, usize::MAX);
            self.poll(&mut life);
        }
        for pending in life.pending.drain(..) {
            if let Asked::Commit { id, commit } = pending.asked {
                self.in_doubt.insert(id, commit);
            }
        }
        let Hand { writer, past, .. } = life.hand;
        drop(past);
        if end == End::Closed {
            writer.stop();
            drop(life.store);
            return;
        }
        self.end(end);
        drop(writer);
        drop(life.store);
    }

    fn step(&mut self, life: &mut Life) {
        let store = life.store.clone().expect("a life has a store");
        match self.rng.below(100) {
            0..35 => {
                let client = self.rng.below(CLIENTS as u64) as usize;
                if life.pending.iter().any(|pending| pending.client == Some(client)) {
                    return;
                }
                let (id, commit) = self.commit(client);
                let asked = Asked::Commit { id, commit: commit.clone() };
                self.ask(life, Some(client), asked, async move { Done::Commit(store.commit(commit).await) });
            }
            35..45 => {
                let key = self.key();
                self.ask(life, None, Asked::Get(key.clone()), async move { Done::Get(store.get(&key).await) });
            }
            45..53 => {
                let past = self.known.saturating_sub(self.rng.below(20)).max(1);
                let at = (self.rng.below(2) == 0).then_some(past);
                let (start, end) = ([].as_slice().into(), KEYS_END.into());
                let range = Range { start, end, at: at.map(Revision), limit: None };
                self.ask(life, None, Asked::Range(at), async move { Done::Range(store.range(range).await) });
            }
            53..57 if life.watchers.len() < 3 => {
                let after = self.known.saturating_sub(self.rng.below(20)).max(1);
                let (start, end): (StoreKey, StoreKey) = match self.rng.below(2) {
                    0 => ([].as_slice().into(), KEYS_END.into()),
                    _ => (b"k1".as_slice().into(), b"k3".as_slice().into()),
                };
                let asked = Asked::Watch { start: start.clone(), end: end.clone(), after };
                let answer = async move { Done::Watch(store.watch(start, end, Revision(after)).await) };
                self.ask(life, None, asked, answer);
            }
            57..59 => {
                let before = Revision(self.known.saturating_sub(self.rng.below(30)));
                self.ask(life, None, Asked::Compact, async move {
                    drop(store.compact(before).await);
                    Done::Compact
                });
            }
            59..61 => self.disk.set_bytes_max(Some(self.disk.bytes_used() + self.rng.below(600) as usize)),
            61..64 => self.disk.set_bytes_max(None),
            64..67 => {
                let span = std::time::Duration::from_secs(self.rng.below(10));
                self.clock.advance(span.try_into().expect("ten seconds"));
            }
            67..80 => match life.hand.past.take() {
                Some(mut past) => life.hand.past = (!past.step()).then_some(past),
                None => life.hand.writer.work(),
            },
            _ => turn(&mut life.hand, 1 + self.rng.below(4) as usize),
        }
    }

    fn ask(&self, life: &mut Life, client: Option<usize>, asked: Asked, answer: impl Future<Output = Done> + 'static) {
        life.pending.push(Pending { client, asked, from: self.known, answer: Box::pin(answer) });
    }

    /// Hears whatever has been answered.
    fn poll(&mut self, life: &mut Life) {
        let store = life.store.clone().expect("a life has a store");
        let waker = noop_waker();
        let mut waiting = Vec::new();
        for mut pending in std::mem::take(&mut life.pending) {
            match pending.answer.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => waiting.push(pending),
                Poll::Ready(done) => {
                    let span = Span { from: pending.from, to: store.shared.read().current().0 };
                    self.hear(life, pending.asked, done, span);
                }
            }
        }
        life.pending = waiting;
        for watcher in &mut life.watchers {
            while let Some(item) = watcher.stream.next().now_or_never() {
                match item.expect("a watch that keeps up goes on").expect("no error") {
                    WatchItem::Events(events) => {
                        let last = watcher.told.last().map_or(watcher.after, |event| event.revision.0);
                        assert!(events.iter().all(|event| event.revision.0 > last), "a watch went back");
                        watcher.to = watcher.to.max(events[0].revision.0);
                        watcher.told.extend(events);
                    }
                    WatchItem::Progress(revision) => watcher.to = watcher.to.max(revision.0),
                }
            }
            // Everything that is visible has been told.
            watcher.to = watcher.to.max(store.shared.read().current().0);
            self.known = self.known.max(watcher.to);
        }
    }

    fn hear(&mut self, life: &mut Life, asked: Asked, done: Done, span: Span) {
        match (asked, done) {
            (Asked::Commit { commit, .. }, Done::Commit(Ok(revision))) => {
                assert!(revision.0 > span.from, "{revision} was given although {} was known before", span.from);
                self.known = self.known.max(revision.0);
                if commit.durability == Durability::Synced {
                    self.durable = self.durable.max(revision.0);
                }
                let twice = self.acknowledged.insert(revision.0, commit);
                assert!(twice.is_none(), "revision {revision} was given twice");
            }
            (Asked::Commit { commit, .. }, Done::Commit(Err(StoreError::Conflict { key, current }))) => {
                self.seen.push(Seen::Conflict { commit, key, current, span });
            }
            (Asked::Commit { id, commit }, Done::Commit(Err(_))) => {
                self.in_doubt.insert(id, commit);
            }
            (Asked::Get(key), Done::Get(found)) => {
                let found = found.expect("gets work whatever the disk does");
                self.known = self.known.max(found.as_ref().map_or(0, |entry| entry.modified.0));
                self.seen.push(Seen::Got { key, found, span });
            }
            (Asked::Range(asked), Done::Range(Ok(page))) => {
                self.known = self.known.max(page.revision.0);
                self.seen.push(Seen::Ranged { at: page.revision.0, asked, found: page.entries, span });
            }
            (Asked::Range(Some(asked)), Done::Range(Err(StoreError::Compacted { oldest, .. })))
            | (Asked::Watch { after: asked, .. }, Done::Watch(Err(StoreError::Compacted { oldest, .. }))) => {
                assert!(oldest.0 > asked && oldest.0 <= span.to + 1, "{asked} is compacted to {oldest}");
            }
            (Asked::Watch { start, end, after }, Done::Watch(Ok(stream))) => {
                life.watchers.push(Watcher { stream, start, end, after, to: after, told: Vec::new() });
            }
            (Asked::Compact, Done::Compact) => {}
            (_, Done::Range(Err(error)) | Done::Watch(Err(error))) => panic!("a read failed: {error}"),
            _ => panic!("an answer to another question"),
        }
    }

    /// The store is open again: what it shows must be the end of an order that explains all that was seen.
    fn recovered(&mut self, store: &EmbeddedStore, how: End) {
        let (current, content) = {
            let ledger = store.shared.read();
            let range = Range { start: [].as_slice().into(), end: KEYS_END.into(), at: None, limit: None };
            let page = ledger.range(&range).expect("range");
            let content: Content = page.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
            (ledger.current().0, content)
        };
        // The order as far as it was acknowledged, then what is only known by what it left behind.
        for (revision, commit) in std::mem::take(&mut self.acknowledged) {
            self.model.apply(revision, &commit);
        }
        let newest = self.model.newest();
        let end = newest / JUMP * JUMP + current % JUMP;
        let left: BTreeMap<u64, u64> = (0..CLIENTS)
            .filter_map(|client| content.get(&client_key(client)))
            .map(|entry| (entry.modified.0, id_of(entry)))
            .collect();
        for revision in newest + 1..=end {
            let id = left.get(&revision).unwrap_or_else(|| panic!("revision {revision} came from nowhere"));
            let commit = self.in_doubt.remove(id).expect("only a commit in doubt can come back");
            self.model.apply(revision, &commit);
        }
        self.in_doubt.clear();
        for seen in std::mem::take(&mut self.seen) {
            self.model.check(&seen);
        }
        assert!(end >= self.durable, "revision {} was acknowledged, after {how:?} there is {end}", self.durable);
        assert!(how == End::PowerLost || end >= self.known, "{} was seen, after {how:?} there is {end}", self.known);
        assert!(end >= self.known || current > self.known, "{} may be given out twice", self.known);
        self.model.lose_after(end, current);
        assert!(*self.model.content() == content, "the state at {end} is another one after {how:?}\n{content:?}");
        self.known = self.known.max(current);
    }
}

struct Life {
    store: Option<Arc<EmbeddedStore>>,
    hand: Hand,
    pending: Vec<Pending>,
    watchers: Vec<Watcher>,
}

fn turn(hand: &mut Hand, commits_max: usize) {
    let mut inbox = Vec::new();
    while inbox.len() < commits_max
        && let Ok(message) = hand.queue.try_recv()
    {
        inbox.push(message);
    }
    hand.writer.before_waiting(inbox.is_empty());
    hand.writer.turn(&mut inbox);
}

fn client_key(client: usize) -> StoreKey {
    format!("client-{client}").as_bytes().into()
}

fn id_of(entry: &Entry) -> u64 {
    let text = String::from_utf8_lossy(&entry.value);
    text.split(':').next().and_then(|id| id.parse().ok()).expect("a client's key says which commit it was")
}

fn run(seed: u64) -> u64 {
    let mut universe = Universe::new(seed);
    for _ in 0..LIVES {
        let end = match universe.rng.below(9) {
            0 => End::Closed,
            1..4 => End::Killed,
            _ => End::PowerLost,
        };
        universe.live(end);
    }
    // What the last life left.
    universe.live(End::Closed);
    universe.crashes
}

#[test]
fn ten_thousand_crashes_lose_nothing_that_was_acknowledged_and_show_one_order() {
    let alone = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = std::env::var("CRASH_FIRST").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds: Vec<u64> = match alone {
        Some(seed) => vec![seed],
        None => KEPT.iter().map(|(seed, _)| *seed).chain(first..first + SEEDS).collect(),
    };
    let mut crashes = 0;
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        let found = KEPT.iter().find(|(kept, _)| *kept == seed).map_or("", |(_, what)| what);
        crashes += ran.unwrap_or_else(|_| panic!("run it again with CRASH_SEED={seed} {found}"));
    }
    assert!(alone.is_some() || crashes >= 10_000, "only {crashes} crashes");
}
