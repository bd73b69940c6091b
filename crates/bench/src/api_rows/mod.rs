//! The API server in figures: one table of rows, each a workload against a server of its own process, over TLS, with a
//! durable store on disk.
//!
//! Beside each figure stand upstream's (kube-apiserver and etcd v1.36.2 on a machine of this kind) and what we aim at. CPU
//! is the server's, from /proc, and the figure to steer by: rates are shared with this generator and with whatever else runs.

pub mod connection;
mod loads;
pub mod serve;
pub mod stand;
mod watches;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;

use loads::{Kind, Verb};
use stand::Stand;

/// What came out of a row.
pub struct Figure {
    pub text: String,
    /// CPU of the server for one operation.
    pub cpu: Option<Duration>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Figure>> + 'a>>;

struct Row {
    what: &'static str,
    upstream: &'static str,
    aim: &'static str,
    work: for<'a> fn(&'a mut Stand) -> Running<'a>,
}

const fn row(
    what: &'static str,
    upstream: &'static str,
    aim: &'static str,
    work: for<'a> fn(&'a mut Stand) -> Running<'a>,
) -> Row {
    Row { what, upstream, aim, work }
}

/// Each suite has a fresh server. Later rows find what earlier ones made, and make what is missing.
const SUITES: &[&[Row]] = &[
    &[
        row("one fsync (4 KiB, for comparison)", "", "", |stand| Box::pin(stand.time_sync())),
        row("cold start to /readyz", "2.4 s, 2,800 ms", "100 ms", |stand| Box::pin(stand.time_cold_start())),
        row("idle memory, CPU", "487 MiB, 4.3 %", "40 MiB, 0.3 %", |stand| Box::pin(stand.idle())),
        row("create ConfigMap, 1 client", "447/s, 3.20 ms", "1.2 fsyncs", |stand| {
            Box::pin(loads::requests(stand, Verb::Create, Kind::ConfigMap, 1, 1000))
        }),
        row("create ConfigMap, 16 clients", "1,500/s, 1.12 ms", "12,000/s, 0.10 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Create, Kind::ConfigMap, 16, 8000))
        }),
        row("create ConfigMap, 64 clients", "1,956/s, 0.91 ms", "16,000/s, 0.08 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Create, Kind::ConfigMap, 64, 8000))
        }),
        row("create Pod, 16 clients", "937/s, 1.88 ms", "0.17 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Create, Kind::Pod, 16, 4000))
        }),
        row("create Pod, 64 clients", "1,060/s, 1.67 ms", "0.15 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Create, Kind::Pod, 64, 4000))
        }),
        row("get ConfigMap, 16 clients", "2,912/s, 0.59 ms", "0.03 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Get, Kind::ConfigMap, 16, 20_000))
        }),
        row("get Pod, 16 clients", "2,520/s, 0.70 ms", "0.03 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Get, Kind::Pod, 16, 20_000))
        }),
        row("patch ConfigMap (merge), 16 clients", "1,145/s, 1.56 ms", "0.14 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Patch, Kind::ConfigMap, 16, 8000))
        }),
        row("renew Lease (PUT), 16 clients", "1,225/s, 1.41 ms", "0.05 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Renew, Kind::Lease, 16, 8000))
        }),
        row("renew Lease (PUT), 64 clients", "1,546/s, 1.13 ms", "0.05 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Renew, Kind::Lease, 64, 8000))
        }),
        row("delete ConfigMap, 16 clients", "1,260/s, 1.39 ms", "0.14 ms", |stand| {
            Box::pin(loads::requests(stand, Verb::Delete, Kind::ConfigMap, 16, 8000))
        }),
    ],
    &[
        row("memory with 10,000 pods", "620 MiB", "80 MiB", |stand| Box::pin(loads::memory_with_pods(stand))),
        row("restart with 10,000 pods", "2.4 s", "200 ms", |stand| Box::pin(loads::restart_with_pods(stand))),
        row("list 10,000 pods, 1 client", "29,600 objects/s, 423 ms", "1,000,000 objects/s", |stand| {
            Box::pin(loads::list(stand, "", 20))
        }),
        row("list 10,000 pods by a label none has", "8 ms, 11 ms", "1 ms", |stand| {
            Box::pin(loads::list(stand, "?labelSelector=app%3Dnone", 200))
        }),
        row("delete collection of 10,000 pods", "258/s, 5.7 ms", "10,000/s", |stand| {
            Box::pin(loads::delete_collection(stand))
        }),
    ],
    &[
        row("watch delay, 100 watchers, 100 events/s", "p50 2.8 ms, p99 15 ms", "p99 3 ms", |stand| {
            Box::pin(watches::follow(stand, 100, 1000, Some(100)))
        }),
        row("watch fan-out, 1,000 watchers, 1,000 events", "p50 59 ms, p99 177 ms, 0.010 ms", "0.001 ms", |stand| {
            Box::pin(watches::follow(stand, 1000, 1000, None))
        }),
    ],
];

/// Runs the rows whose names contain `only` and prints each as soon as it is known.
pub fn run(only: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("| work | upstream | aim | here | CPU of an operation |\n|---|---|---|---|---|");
    for suite in SUITES {
        let rows: Vec<&Row> = suite.iter().filter(|row| row.what.contains(only)).collect();
        if rows.is_empty() {
            continue;
        }
        runtime.block_on(async {
            let mut stand = Stand::start().await?;
            for row in rows {
                let Figure { text, cpu } = (row.work)(&mut stand).await?;
                let cpu = cpu.map_or(String::new(), |cpu| format!("{:.4} ms", cpu.as_secs_f64() * 1000.0));
                println!("| {} | {} | {} | {text} | {cpu} |", row.what, row.upstream, row.aim);
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}
