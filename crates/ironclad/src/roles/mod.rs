//! What a node's init runs: `server` (a control plane with a node) and `agent` (a node). Wiring only.

pub mod agent;
pub mod datastore;
pub mod local;
pub mod node;
pub mod notify;
pub mod server;

use std::future::Future;
use std::time::Duration;

use launcher::Trouble;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Threads that run tasks; a small cluster needs no more, and each costs memory.
const WORKERS: usize = 2;

/// What blocking calls may still take once everything else has ended.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a role until it ends, or until it is told to stop and has cleaned up.
pub fn run<F>(role: impl FnOnce(CancellationToken) -> F) -> launcher::Result<()>
where
    F: Future<Output = launcher::Result<()>>,
{
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| failed("cannot start", &error))?;
    let done = runtime.block_on(async {
        let stop = CancellationToken::new();
        let terminated = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
        let (mut term, mut interrupt) = terminated.map_err(|error| failed("cannot take signals", &error))?;
        let asked = stop.clone();
        let listener = tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.cancel();
        });
        let done = role(stop).await;
        listener.abort();
        done
    });
    runtime.shutdown_timeout(END_TIMEOUT);
    done
}

/// Lines to standard error, from where init takes them. `RUST_LOG` chooses more or less.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    let _ = subscriber.try_init();
}

pub fn failed(what: &str, why: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(format!("{what}: {why}"), "It is tried again; `ironclad logs` on the host shows the rest.")
}
