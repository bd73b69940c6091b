//! Measures the embedded engine against redb under the same group commit: `store_bench DIRECTORY [SECONDS]`.
//!
//! Compare-and-create of 512-byte values by 1, 16 and 64 writers that each wait for their commit to be durable, and
//! reads by 16 readers. The figures stand in docs/adr/0002-embedded-storage-engine.md.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // A measurement reads the machine's clock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use store::{Commit, EmbeddedOptions, EmbeddedStore, Precondition, Store, Write};
use tokio::sync::{mpsc, oneshot};

const VALUE: &[u8] = &[b'v'; 512];

#[async_trait]
trait Subject: Send + Sync {
    async fn create(&self, key: Vec<u8>);
}

#[async_trait]
impl Subject for EmbeddedStore {
    async fn create(&self, key: Vec<u8>) {
        let key: Arc<[u8]> = key.into();
        let preconditions = vec![Precondition::Absent(key.clone())];
        let writes = vec![Write::Put(key, Bytes::from_static(VALUE))];
        self.commit(Commit { preconditions, writes, ..Commit::default() }).await.unwrap();
    }
}

const KEYS: redb::TableDefinition<'_, &[u8], (u64, &[u8])> = redb::TableDefinition::new("keys");
const EVENTS: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("events");

/// One writer thread and one transaction per batch; keys and events as two tables.
struct Redb(mpsc::Sender<(Vec<u8>, oneshot::Sender<()>)>);

impl Redb {
    fn open(path: &Path) -> Self {
        let db = redb::Database::create(path).unwrap();
        let (queue, mut inbox) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(1024);
        std::thread::spawn(move || {
            let (mut batch, mut revision) = (Vec::new(), 0);
            while inbox.blocking_recv_many(&mut batch, 1024) > 0 {
                let txn = db.begin_write().unwrap();
                {
                    let (mut keys, mut events) = (txn.open_table(KEYS).unwrap(), txn.open_table(EVENTS).unwrap());
                    for (key, _) in &batch {
                        use redb::ReadableTable;
                        assert!(keys.get(key.as_slice()).unwrap().is_none());
                        revision += 1;
                        keys.insert(key.as_slice(), (revision, VALUE)).unwrap();
                        events.insert(revision, key.as_slice()).unwrap();
                    }
                }
                txn.commit().unwrap();
                batch.drain(..).for_each(|(_, done)| done.send(()).unwrap());
            }
        });
        Self(queue)
    }
}

#[async_trait]
impl Subject for Redb {
    async fn create(&self, key: Vec<u8>) {
        let (done, answered) = oneshot::channel();
        self.0.send((key, done)).await.unwrap();
        answered.await.unwrap();
    }
}

async fn measure(name: &str, subject: Arc<dyn Subject>, writers: usize, secs: u64) {
    let start = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < Duration::from_secs(secs) {
                let key = format!("/registry/configmaps/ns-{writer}/{writers}-{:08}", latencies.len());
                let before = Instant::now();
                subject.create(key.into_bytes()).await;
                latencies.push(before.elapsed().as_micros());
            }
            latencies
        })
    });
    let mut latencies: Vec<u128> =
        futures::future::join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    latencies.sort_unstable();
    let per_sec = latencies.len() as f64 / start.elapsed().as_secs_f64();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    println!(
        "{name} {writers:3} writers: {per_sec:8.0}/s  p50 {} us  p99 {} us  max {} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

async fn measure_gets(store: Arc<EmbeddedStore>, secs: u64) {
    let start = Instant::now();
    let tasks = (0..16).map(|reader| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut gets = 0u64;
            while start.elapsed() < Duration::from_secs(secs) {
                for i in 0..1000 {
                    let key = format!("/registry/configmaps/ns-{reader}/64-{i:08}");
                    std::hint::black_box(store.get(key.as_bytes()).await.unwrap());
                }
                gets += 1000;
                tokio::task::yield_now().await;
            }
            gets
        })
    });
    let gets: u64 = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    println!("embedded get, 16 readers: {:.0}/s", gets as f64 / start.elapsed().as_secs_f64());
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let directory = args.next().expect("usage: store_bench DIRECTORY [SECONDS]");
    let secs = args.next().map_or(3, |secs| secs.parse().unwrap());
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory).unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.join("embedded"), EmbeddedOptions::default()).unwrap());
    for writers in [1, 16, 64] {
        measure("embedded", store.clone(), writers, secs).await;
    }
    measure_gets(store.clone(), secs).await;
    let end = Arc::from([0xff].as_slice());
    let all = store::Range { start: Arc::from([].as_slice()), end, at: None, limit: None };
    let keys = store.range(all).await.unwrap().entries.len();
    println!("{keys} keys of 512 bytes in {} MiB of memory", resident_bytes() >> 20);
    drop(store);
    let before = Instant::now();
    drop(EmbeddedStore::open(directory.join("embedded"), EmbeddedOptions::default()).unwrap());
    println!("embedded opened again in {} ms", before.elapsed().as_millis());
    let redb = Arc::new(Redb::open(&directory.join("redb")));
    for writers in [1, 16, 64] {
        measure("redb    ", redb.clone(), writers, secs).await;
    }
}
