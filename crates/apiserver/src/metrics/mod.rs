//! What is counted of requests, watches and the store, and how it reads on /metrics: Prometheus' text form under
//! upstream's names and labels (<https://kubernetes.io/docs/reference/instrumentation/metrics/>).
//!
//! Labels come from the registry, never from what a client wrote, so the number of series is bounded by what is served.

mod labels;
mod page;
mod process;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Gvr;
use tokio::time::Instant;

use crate::output::monotonic;
use crate::watchcache::caches::Caches;
pub use labels::{Labels, RequestKind};
use page::{Histogram, Page};

/// Upper bounds of the buckets of durations, in seconds; upstream's.
const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// The counts of one server.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<HashMap<Labels, Requests>>,
    inflight: [Mutex<Seats>; 2],
    /// Refused because too many others were being answered.
    dropped: [AtomicU64; 2],
    running: Mutex<BTreeMap<Labels, i64>>,
    watches: Mutex<BTreeMap<Gvr, Arc<Delivered>>>,
    store: Mutex<HashMap<(&'static str, Gvr), Histogram<{ SECONDS.len() }>>>,
}

/// Who is being answered.
#[derive(Default)]
struct Seats {
    taken: usize,
    by_user: HashMap<Box<str>, usize>,
}

impl Seats {
    /// A user may have as many as are free: one alone has half of them, and a newcomer always finds one.
    fn take(&mut self, user: &str, max: usize) -> bool {
        let own = self.by_user.get_mut(user);
        if own.as_deref().copied().unwrap_or_default() >= max.saturating_sub(self.taken) {
            return false;
        }
        self.taken += 1;
        match own {
            Some(count) => *count += 1,
            None => drop(self.by_user.insert(user.into(), 1)),
        }
        true
    }

    fn leave(&mut self, user: &str) {
        self.taken -= 1;
        if let Some(count) = self.by_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(user);
            }
        }
    }
}

/// Requests of equal labels.
#[derive(Default)]
struct Requests {
    by_code: BTreeMap<u16, u64>,
    seconds: Histogram<{ SECONDS.len() }>,
}

/// What the watches of one resource were sent.
#[derive(Default)]
pub struct Delivered {
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Delivered {
    pub fn add(&self, events: usize, bytes: usize) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// The head of an answer is made.
    pub fn answered(&self, labels: Labels, code: u16, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        let mut requests = lock(&self.requests);
        let cell = requests.entry(labels).or_default();
        *cell.by_code.entry(code).or_default() += 1;
        cell.seconds.observe(&SECONDS, seconds);
    }

    /// One more request of this kind is being answered, until what is given back is dropped; `None` where that would give
    /// the user more of the `max` seats than are left to all others.
    pub fn enter(self: &Arc<Self>, kind: RequestKind, user: &str, max: usize) -> Option<Inflight> {
        if lock(&self.inflight[kind as usize]).take(user, max) {
            return Some(Inflight { metrics: self.clone(), kind, user: user.into() });
        }
        self.dropped[kind as usize].fetch_add(1, Ordering::Relaxed);
        None
    }

    /// A request that goes on after the head of its answer, until what is given back is dropped.
    pub fn long_running(self: &Arc<Self>, labels: Labels) -> LongRunning {
        *lock(&self.running).entry(labels.clone()).or_default() += 1;
        LongRunning { metrics: self.clone(), labels }
    }

    /// The counters of a resource's watches, for a watch to keep.
    pub fn watch(&self, resource: &Gvr) -> Arc<Delivered> {
        lock(&self.watches).entry(resource.clone()).or_default().clone()
    }

    /// An operation of the store on a resource's objects is over.
    pub fn stored(&self, operation: &'static str, resource: &Gvr, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        lock(&self.store).entry((operation, resource.clone())).or_default().observe(&SECONDS, seconds);
    }

    /// The page, with what can be counted at any time added to what was.
    pub fn text(&self, caches: &Caches) -> String {
        let mut page = Page::default();
        self.write_requests(&mut page);
        self.write_running(&mut page);
        self.write_watches(&mut page);
        self.write_store(&mut page);
        write_objects(&mut page, caches);
        process::write(&mut page);
        page.into_text()
    }

    fn write_requests(&self, page: &mut Page) {
        let requests = lock(&self.requests);
        let sorted = sorted(&requests);
        page.head("apiserver_request_total", "counter", "Requests by their attributes and the code of the answer.");
        for (labels, cell) in &sorted {
            for (code, count) in &cell.by_code {
                page.sample("apiserver_request_total", &format!("code=\"{code}\",{}", labels.with_dry_run()), count);
            }
        }
        let name = "apiserver_request_duration_seconds";
        page.head(name, "histogram", "Time from a request to the head of its answer, in seconds.");
        for (labels, cell) in &sorted {
            page.histogram(name, &labels.with_dry_run(), &SECONDS, &cell.seconds);
        }
    }

    fn write_running(&self, page: &mut Page) {
        let name = "apiserver_current_inflight_requests";
        page.head(name, "gauge", "Requests that are being answered, by whether they change anything.");
        for kind in RequestKind::ALL {
            let count = lock(&self.inflight[kind as usize]).taken;
            page.sample(name, &format!("request_kind=\"{}\"", kind.as_str()), &count);
        }
        let name = "apiserver_dropped_requests_total";
        page.head(name, "counter", "Requests refused because too many others were being answered.");
        for kind in RequestKind::ALL {
            let count = self.dropped[kind as usize].load(Ordering::Relaxed);
            page.sample(name, &format!("request_kind=\"{}\"", kind.as_str()), &count);
        }
        page.head("apiserver_longrunning_requests", "gauge", "Answers that go on: watches.");
        for (labels, count) in lock(&self.running).iter() {
            page.sample("apiserver_longrunning_requests", &labels.plain(), count);
        }
    }

    fn write_watches(&self, page: &mut Page) {
        let watches = lock(&self.watches);
        type Of = fn(&Delivered) -> &AtomicU64;
        let columns: [(&str, &str, Of); 2] = [
            ("apiserver_watch_events_total", "Events sent to watches.", |delivered| &delivered.events),
            ("apiserver_watch_events_sizes_sum", "Bytes of events sent to watches.", |delivered| &delivered.bytes),
        ];
        for (name, help, value) in columns {
            page.head(name, "counter", help);
            for (Gvr { group, version, resource }, delivered) in watches.iter() {
                let labels = format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"");
                page.sample(name, &labels, &value(delivered).load(Ordering::Relaxed));
            }
        }
    }

    /// Under the names that dashboards know, though the store is ours.
    fn write_store(&self, page: &mut Page) {
        let store = lock(&self.store);
        let name = "etcd_request_duration_seconds";
        page.head(name, "histogram", "Time of the store's operations in seconds, by resource.");
        for ((operation, Gvr { group, resource, .. }), histogram) in sorted(&store) {
            let labels = format!("group=\"{group}\",operation=\"{operation}\",resource=\"{resource}\"");
            page.histogram(name, &labels, &SECONDS, histogram);
        }
    }
}

fn write_objects(page: &mut Page, caches: &Caches) {
    let counts: Vec<_> =
        caches.all().into_iter().map(|cache| (cache.resource.gvr.clone(), cache.table().len())).collect();
    page.head("apiserver_resource_objects", "gauge", "Stored objects by resource.");
    for (Gvr { group, resource, .. }, count) in &counts {
        page.sample("apiserver_resource_objects", &format!("group=\"{group}\",resource=\"{resource}\""), count);
    }
    page.head("apiserver_storage_objects", "gauge", "Stored objects by resource; the older name.");
    for (Gvr { group, resource, .. }, count) in &counts {
        let whole = if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") };
        page.sample("apiserver_storage_objects", &format!("resource=\"{whole}\""), count);
    }
}

fn sorted<K: Ord + Hash, V>(map: &HashMap<K, V>) -> Vec<(&K, &V)> {
    let mut entries: Vec<(&K, &V)> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries
}

/// A request that is being answered.
pub struct Inflight {
    metrics: Arc<Metrics>,
    kind: RequestKind,
    user: Box<str>,
}

impl Drop for Inflight {
    fn drop(&mut self) {
        lock(&self.metrics.inflight[self.kind as usize]).leave(&self.user);
    }
}

/// An answer that goes on.
pub struct LongRunning {
    metrics: Arc<Metrics>,
    labels: Labels,
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        if let Some(count) = lock(&self.metrics.running).get_mut(&self.labels) {
            *count -= 1;
        }
    }
}

/// When something begins that will be counted.
pub fn now() -> Instant {
    monotonic()
}
