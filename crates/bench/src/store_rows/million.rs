//! A million keys with values of 1 KiB: the time until they can be read after a start, their bytes on disk and in memory.
//!
//! The embedded engine is opened by a process of its own (`bench open DIRECTORY`), so that its memory is nobody else's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use store::{Commit, EmbeddedOptions, EmbeddedStore, Range, Store, Write};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::loads::{grouped, keys_under, per_second};
use super::{Aim, Better, Figure, Row, etcd};
use crate::{mib, processes};

pub const NAME: &str = "1,000,000 keys of 1 KiB";
const KEYS: usize = 1_000_000;
/// Within etcd's default of 128 operations a transaction.
const KEYS_A_COMMIT: usize = 100;
const FILLERS: usize = 16;
const VALUE: &[u8] = &[b'v'; 1024];
const PREFIX: &str = "/registry/million/";

/// What one engine needed.
struct Needs {
    fill: Duration,
    open: Duration,
    disk_bytes: u64,
    memory_bytes: u64,
}

pub async fn rows(directory: &Path) -> Result<Vec<Row>> {
    let own = embedded(&directory.join("million-embedded")).await.context("a million keys in the embedded engine")?;
    let etcd = in_etcd(&directory.join("million-etcd")).await.context("a million keys in etcd")?;
    let live_bytes = KEYS * (VALUE.len() + key(0).len());
    let row = |what: &str, figure: fn(&Needs) -> Figure, better, aim| Row {
        what: format!("{NAME}: {what}"),
        own: figure(&own),
        etcd: etcd.as_ref().map(figure),
        better,
        aim,
    };
    let fill = |needs: &Needs| {
        let value = per_second(KEYS, needs.fill);
        Figure { text: format!("{} keys/s", grouped(value)), value, p99: None }
    };
    let open = |needs: &Needs| {
        let value = needs.open.as_secs_f64();
        Figure { text: format!("{value:.2} s"), value, p99: None }
    };
    #[allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
    let share = live_bytes as f64;
    Ok(vec![
        row("written, 100 a commit", fill, Better::More, Aim::None),
        row("reopened and read", open, Better::Less, Aim::AtMost(3.0, "3 s")),
        row("on disk", |needs| size(needs.disk_bytes), Better::Less, Aim::None),
        row("in memory (PSS)", |needs| size(needs.memory_bytes), Better::Less, Aim::AtMost(1.5 * share, "1.5x live")),
    ])
}

#[allow(clippy::cast_precision_loss)] // Sizes are far below 2^52.
fn size(bytes: u64) -> Figure {
    let text = format!("{:.0} MiB, {} bytes a key", mib(bytes), bytes / KEYS as u64);
    Figure { text, value: bytes as f64, p99: None }
}

fn key(number: usize) -> String {
    format!("{PREFIX}namespace-{:03}/{number:08}", number % 100)
}

async fn fill(store: &Arc<dyn Store>) -> Result<Duration> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for filler in 0..FILLERS {
        let store = store.clone();
        tasks.spawn(async move {
            for first in (filler * KEYS_A_COMMIT..KEYS).step_by(FILLERS * KEYS_A_COMMIT) {
                let put = |number| Write::Put(key(number).into_bytes().into(), Bytes::from_static(VALUE));
                let writes = (first..(first + KEYS_A_COMMIT).min(KEYS)).map(put).collect();
                store.commit(Commit { writes, ..Commit::default() }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}

/// All keys, page by page.
async fn count(store: &dyn Store) -> Result<usize> {
    let (mut start, end) = keys_under(PREFIX);
    let (mut keys, mut at) = (0, None);
    loop {
        let page = store.range(Range { start: start.clone(), end: end.clone(), at, limit: Some(10_000) }).await?;
        keys += page.entries.len();
        at = Some(page.revision);
        match page.entries.last().filter(|_| page.more) {
            Some(last) => start = [&last.key[..], &[0]].concat().into(),
            None => return Ok(keys),
        }
    }
}

async fn embedded(directory: &Path) -> Result<Needs> {
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory, EmbeddedOptions::default())?);
    let fill = fill(&store).await?;
    drop(store);
    let mut command = Command::new(std::env::current_exe()?);
    let output = tokio::task::spawn_blocking({
        command.arg("open").arg(directory);
        move || command.output()
    });
    let output = output.await??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (micros, bytes) = text.trim().split_once(' ').context("the process that opens the store said nothing")?;
    let disk_bytes = bytes_under(directory)?;
    std::fs::remove_dir_all(directory)?;
    Ok(Needs { fill, open: Duration::from_micros(micros.parse()?), disk_bytes, memory_bytes: bytes.parse()? })
}

/// `bench open DIRECTORY`: opens what [`embedded`] filled and says how long it took until the first answer, and in how much
/// memory.
pub fn open(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let store = EmbeddedStore::open(directory, EmbeddedOptions::default())?;
        ensure!(store.get(key(0).as_bytes()).await?.is_some(), "the first key is missing");
        let opened = began.elapsed();
        ensure!(count(&store).await? == KEYS, "keys are missing");
        let memory = processes::proportional_bytes("self").context("the memory of this process cannot be read")?;
        println!("{} {memory}", opened.as_micros());
        Ok(())
    })
}

async fn in_etcd(directory: &Path) -> Result<Option<Needs>> {
    let Some(mut server) = etcd::Server::start(directory).await? else { return Ok(None) };
    let fill = fill(&server.store).await?;
    let open = server.restart(key(0).as_bytes()).await?;
    ensure!(count(&*server.store).await? == KEYS, "keys are missing");
    let memory_bytes = server.memory()?;
    Ok(Some(Needs { fill, open, disk_bytes: bytes_under(directory)?, memory_bytes }))
}

fn bytes_under(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { bytes_under(&entry.path())? } else { blocks(&data) };
    }
    Ok(bytes)
}

/// What the disk has set aside for a file.
fn blocks(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(data) * 512
}
