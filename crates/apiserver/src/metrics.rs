//! What is measured of requests, in Prometheus' text form under upstream's names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::filters::Label;

/// Upper bounds of the duration's buckets in seconds; upstream's.
const BUCKETS: [f64; 24] = [
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    f64::INFINITY,
];

/// Counts by resource, verb and code. Their number is bounded by what is served.
#[derive(Default)]
pub struct Metrics {
    inflight: AtomicI64,
    requests: Mutex<BTreeMap<Key, Cell>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    version: String,
    resource: String,
    subresource: String,
    verb: &'static str,
    scope: &'static str,
    code: u16,
}

#[derive(Default)]
struct Cell {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// A request that has begun.
pub struct Measured {
    begun: Instant,
}

impl Metrics {
    pub fn begin(&self) -> Measured {
        self.inflight.fetch_add(1, Ordering::Relaxed);
        Measured { begun: Instant::now() }
    }

    /// The answer's head is made. What is no resource is not counted by path, which clients choose.
    pub fn end(&self, measured: Measured, label: Option<&Label>, code: u16) {
        self.inflight.fetch_sub(1, Ordering::Relaxed);
        let key = label.map_or_else(|| Key::other(code), |label| Key::of(label, code));
        let seconds = measured.begun.elapsed().as_secs_f64();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = requests.entry(key).or_default();
        cell.count += 1;
        cell.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            cell.buckets[bucket] += 1;
        }
    }

    pub fn text(&self) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        head(&mut out, "apiserver_current_inflight_requests", "gauge", "Requests that are being answered.");
        line(&mut out, format_args!("apiserver_current_inflight_requests {}", self.inflight.load(Ordering::Relaxed)));
        head(&mut out, "apiserver_request_total", "counter", "Requests by resource, verb and response code.");
        for (key, cell) in requests.iter() {
            line(
                &mut out,
                format_args!("apiserver_request_total{{{},code=\"{}\"}} {}", key.labels(), key.code, cell.count),
            );
        }
        head(
            &mut out,
            "apiserver_request_duration_seconds",
            "histogram",
            "Time from the request to the head of its answer in seconds, by resource and verb.",
        );
        for (labels, cell) in durations(&requests) {
            histogram(&mut out, &labels, &cell);
        }
        out
    }
}

impl Key {
    fn of(label: &Label, code: u16) -> Self {
        let info = label.info.clone();
        let scope = match (info.namespace.is_empty(), info.name.is_empty()) {
            (_, false) => "resource",
            (false, true) => "namespace",
            (true, true) => "cluster",
        };
        let verb = match info.verb.as_str() {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            _ => "DELETECOLLECTION",
        };
        let (group, version, resource, subresource) = (info.group, info.version, info.resource, info.subresource);
        Self { group, version, resource, subresource, verb, scope, code }
    }

    fn other(code: u16) -> Self {
        let none = String::new;
        Self { group: none(), version: none(), resource: none(), subresource: none(), verb: "", scope: "", code }
    }

    fn labels(&self) -> String {
        let Self { group, version, resource, subresource, verb, scope, .. } = self;
        format!(
            "component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
             subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}

/// The cells with all codes of one label set together.
fn durations(requests: &BTreeMap<Key, Cell>) -> BTreeMap<String, Cell> {
    let mut sums: BTreeMap<String, Cell> = BTreeMap::new();
    for (key, cell) in requests {
        let sum = sums.entry(key.labels()).or_default();
        sum.count += cell.count;
        sum.seconds += cell.seconds;
        sum.buckets.iter_mut().zip(cell.buckets).for_each(|(sum, more)| *sum += more);
    }
    sums
}

fn histogram(out: &mut String, labels: &str, cell: &Cell) {
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(cell.buckets) {
        below += count;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        line(out, format_args!("apiserver_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below}"));
    }
    line(out, format_args!("apiserver_request_duration_seconds_sum{{{labels}}} {}", cell.seconds));
    line(out, format_args!("apiserver_request_duration_seconds_count{{{labels}}} {}", cell.count));
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("invariant: writing to a String never fails");
}
