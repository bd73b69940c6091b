//! Loads on one engine: compare-and-create, get, range and watch of 512-byte values.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use store::{Commit, Precondition, Range, Store, StoreKey, WatchItem, WatchStream, Write};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Figure;
use crate::quantile;

const VALUE: &[u8] = &[b'v'; 512];
/// How long a load on single keys goes on.
const TIME: Duration = Duration::from_secs(3);
const READERS: usize = 16;
/// How many keys are read by gets and ranges, and created for watchers.
const KEYS: usize = 10_000;
const RANGES: usize = 20;
const WATCHERS: usize = 100;
const WATCHED_WRITERS: usize = 64;
const WATCH_WAIT_MAX: Duration = Duration::from_secs(120);

#[derive(Clone, Copy)]
pub enum Load {
    /// By so many writers, each waiting until its key is durable.
    Create(usize),
    Get,
    Range,
    Watch,
}

impl Load {
    pub async fn run(self, store: &Arc<dyn Store>) -> Result<Figure> {
        match self {
            Self::Create(writers) => create(store, writers).await,
            Self::Get => get(store).await,
            Self::Range => range(store).await,
            Self::Watch => watch(store).await,
        }
    }
}

/// All keys that begin with `prefix`, which ends in a slash.
pub fn keys_under(prefix: &str) -> (StoreKey, StoreKey) {
    let end = format!("{}0", prefix.trim_end_matches('/'));
    (prefix.as_bytes().into(), end.as_bytes().into())
}

fn creation(key: String) -> Commit {
    let key: StoreKey = key.into_bytes().into();
    let preconditions = vec![Precondition::Absent(key.clone())];
    Commit { preconditions, writes: vec![Write::Put(key, Bytes::from_static(VALUE))], ..Commit::default() }
}

async fn create(store: &Arc<dyn Store>, writers: usize) -> Result<Figure> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while began.elapsed() < TIME {
                let key = format!("/registry/created/by-{writers}-{writer}/{:08}", latencies.len());
                let before = Instant::now();
                store.commit(creation(key)).await?;
                latencies.push(before.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.append(&mut done??);
    }
    let rate = per_second(latencies.len(), began.elapsed());
    let (p50, p99) = (quantile(&latencies, 50), quantile(&latencies, 99));
    let text = format!("{}/s, p50 {} p99 {}", grouped(rate), millis(p50), millis(p99));
    Ok(Figure { text, value: rate, p99: Some(p99.as_secs_f64()) })
}

/// Makes the keys that gets and ranges read, unless an earlier load did.
async fn fill(store: &Arc<dyn Store>) -> Result<()> {
    for first in (0..KEYS).step_by(100) {
        let keys = first..first + 100;
        let writes = keys.map(|key| Write::Put(read_key(key).into_bytes().into(), Bytes::from_static(VALUE)));
        store.commit(Commit { writes: writes.collect(), ..Commit::default() }).await?;
    }
    Ok(())
}

fn read_key(number: usize) -> String {
    format!("/registry/read/{number:08}")
}

async fn get(store: &Arc<dyn Store>) -> Result<Figure> {
    fill(store).await?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for reader in 0..READERS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut gets = 0;
            while began.elapsed() < TIME {
                for i in 0..100 {
                    let found = store.get(read_key((reader * 617 + gets + i) % KEYS).as_bytes()).await?;
                    ensure!(found.is_some(), "a key is missing");
                }
                gets += 100;
                tokio::task::yield_now().await;
            }
            Ok(gets)
        });
    }
    let mut gets = 0;
    while let Some(done) = tasks.join_next().await {
        gets += done??;
    }
    Ok(rate("", gets, began.elapsed()))
}

async fn range(store: &Arc<dyn Store>) -> Result<Figure> {
    fill(store).await?;
    let (start, end) = keys_under("/registry/read/");
    let began = Instant::now();
    for _ in 0..RANGES {
        let page = store.range(Range { start: start.clone(), end: end.clone(), at: None, limit: None }).await?;
        ensure!(page.entries.len() == KEYS, "a range has {} keys", page.entries.len());
    }
    Ok(rate(" keys", RANGES * KEYS, began.elapsed()))
}

async fn watch(store: &Arc<dyn Store>) -> Result<Figure> {
    let prefix = "/registry/watched/";
    let (start, end) = keys_under(prefix);
    let after = store.current().await?;
    let mut followers = JoinSet::new();
    for _ in 0..WATCHERS {
        let stream = store.watch(start.clone(), end.clone(), after).await?;
        followers.spawn(follow(stream));
    }
    let began = Instant::now();
    let (next, mut writers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..WATCHED_WRITERS {
        let (store, next) = (store.clone(), next.clone());
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= KEYS {
                    return anyhow::Ok(());
                }
                store.commit(creation(format!("{prefix}{number:08}"))).await?;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    let all = async {
        while let Some(done) = followers.join_next().await {
            done??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(WATCH_WAIT_MAX, all).await??;
    Ok(rate(" deliveries", WATCHERS * KEYS, began.elapsed()))
}

/// Until all the keys have been seen, each once.
async fn follow(mut stream: Box<dyn WatchStream>) -> Result<()> {
    let mut seen = 0;
    while seen < KEYS {
        match stream.next().await {
            Some(Ok(WatchItem::Events(events))) => seen += events.len(),
            Some(Ok(WatchItem::Progress(_))) => {}
            Some(Err(error)) => return Err(error.into()),
            None => bail!("a watch ended after {seen} events"),
        }
    }
    ensure!(seen == KEYS, "a watch had {seen} events");
    Ok(())
}

fn rate(of: &str, count: usize, time: Duration) -> Figure {
    let value = per_second(count, time);
    Figure { text: format!("{}{of}/s", grouped(value)), value, p99: None }
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
pub fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// With commas between thousands.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
