//! The store in figures: the embedded engine and Debian's etcd, row by row one after the other in the same run, on the
//! same disk.
//!
//! Both are asked through the same trait by the same loads: the embedded engine in this process, as in the API server;
//! etcd over gRPC on loopback with its default settings, as an API server asks it. Ratios are what to steer by: rates
//! are shared with whatever else runs.

mod etcd;
mod loads;
mod million;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use store::{EmbeddedOptions, EmbeddedStore, Store};

use loads::Load;
pub use million::open;

/// One engine's answer to one row.
#[derive(Clone, Debug)]
pub struct Figure {
    pub text: String,
    /// What is compared between the engines.
    pub value: f64,
    /// The slowest of a hundred in seconds, where single operations were timed.
    pub p99: Option<f64>,
}

/// What the embedded engine must reach in a row.
#[derive(Clone, Copy)]
enum Aim {
    None,
    /// So many times etcd's rate, with a p99 below etcd's.
    TimesEtcd(f64),
    /// No more than this.
    AtMost(f64, &'static str),
}

/// Engines are compared by how much they do, or by how little they need.
#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

struct Row {
    what: String,
    own: Figure,
    etcd: Option<Figure>,
    better: Better,
    aim: Aim,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let etcd = self.etcd.as_ref()?.value;
        Some(match self.better {
            Better::More => self.own.value / etcd,
            Better::Less => etcd / self.own.value,
        })
    }

    fn verdict(&self) -> String {
        let say = |met: bool, aim: &str| format!("{aim}: {}", if met { "met" } else { "MISSED" });
        match (self.aim, &self.etcd) {
            (Aim::AtMost(most, text), _) => say(self.own.value <= most, text),
            (Aim::TimesEtcd(times), Some(etcd)) => {
                let is_fast = self.ratio().is_some_and(|ratio| ratio >= times);
                say(is_fast && self.own.p99 < etcd.p99, &format!("{times:.0}x etcd, p99 below"))
            }
            _ => String::new(),
        }
    }

    fn print(&self) {
        let etcd = self.etcd.as_ref().map_or("-", |figure| &figure.text);
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.1}x"));
        println!("| {} | {} | {etcd} | {ratio} | {} |", self.what, self.own.text, self.verdict());
    }
}

const LOADS: &[(&str, Load, Aim)] = &[
    ("durable create, 1 writer", Load::Create(1), Aim::None),
    ("durable create, 16 writers", Load::Create(16), Aim::None),
    ("durable create, 64 writers", Load::Create(64), Aim::TimesEtcd(10.0)),
    ("durable create, 256 writers", Load::Create(256), Aim::None),
    ("get, 16 readers", Load::Get, Aim::None),
    ("range of 10,000 keys, 1 reader", Load::Range, Aim::None),
    ("watch: 100 watchers while 64 writers create 10,000 keys", Load::Watch, Aim::None),
];

/// Runs the rows whose names contain `only`. The engines' files are in a directory beside this program, which is on a disk,
/// as /tmp may not be; it goes in the end.
pub fn run(only: &str) -> Result<()> {
    let directory = std::env::current_exe()?.with_file_name(format!("bench-store-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(rows(&directory, only));
    drop(runtime);
    std::fs::remove_dir_all(&directory)?;
    done
}

async fn rows(directory: &Path, only: &str) -> Result<()> {
    println!("| work, values of 512 bytes | embedded | etcd | ratio | aim |\n|---|---|---|---|---|");
    small_rows(directory, only).await?;
    if million::NAME.contains(only) {
        for row in million::rows(directory).await? {
            row.print();
        }
    }
    Ok(())
}

async fn small_rows(directory: &Path, only: &str) -> Result<()> {
    let loads: Vec<_> = LOADS.iter().filter(|(what, ..)| what.contains(only)).collect();
    if loads.is_empty() {
        return Ok(());
    }
    let own = EmbeddedStore::open(directory.join("embedded"), EmbeddedOptions::default());
    let own: Arc<dyn Store> = Arc::new(own.context("the embedded engine")?);
    let etcd = etcd::Server::start(&directory.join("etcd")).await?;
    for (what, load, aim) in loads {
        let figure = load.run(&own).await.with_context(|| format!("{what}, embedded"))?;
        let etcd = match &etcd {
            Some(server) => Some(load.run(&server.store).await.with_context(|| format!("{what}, etcd"))?),
            None => None,
        };
        Row { what: (*what).to_owned(), own: figure, etcd, better: Better::More, aim: *aim }.print();
    }
    Ok(())
}
