//! The other client: reads and writes on a kept connection and on new ones, and remembers how long it waited at worst.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::Instant;

use crate::api_rows::connection::{Ask, Connection};
use crate::api_rows::stand::{NAMESPACE, Stand};
use crate::processes;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);
/// Every so many questions a new connection is opened, and memory read.
const NEW_EVERY: usize = 10;
/// How often a question is asked again on a new connection.
const AGAIN_MAX: usize = 3;
/// What counts as no answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Waited {
    pub kept: Duration,
    pub new: Duration,
    /// Answers that asked to come again, and new connections that gave way before they had one.
    pub refused: usize,
    /// The most memory that the server was seen to have.
    pub memory: u64,
}

/// Asks in a thread of its own, so that a flood that keeps this process busy is not taken for a slow server.
pub struct Probe {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<Waited>>,
}

impl Probe {
    pub fn start(stand: &Stand, tls: Arc<rustls::ClientConfig>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (port, process, until) = (stand.port, stand.process(), ended.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(port, &process, &tls, &until))
        });
        Self { ended, thread }
    }

    pub fn end(self) -> Result<Waited> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

async fn ask(port: u16, process: &str, tls: &Arc<rustls::ClientConfig>, ended: &AtomicBool) -> Result<Waited> {
    let mut waited = Waited::default();
    let mut kept = Connection::open(port, tls).await?;
    let mut number = 0;
    while !ended.load(Ordering::Relaxed) {
        number += 1;
        let began = Instant::now();
        let mut answered = one(&mut kept, number).await;
        for _ in 0..AGAIN_MAX {
            if answered.is_ok() {
                break;
            }
            // It gave way, as clients must expect: a new one is part of the wait.
            kept = tokio::time::timeout(ANSWER_WITHIN, Connection::open(port, tls)).await??;
            answered = one(&mut kept, number).await;
        }
        let answered = answered?;
        waited.kept = waited.kept.max(began.elapsed());
        waited.refused += usize::from(answered == 429);
        if number % NEW_EVERY == 0 {
            let began = Instant::now();
            let mut new = tokio::time::timeout(ANSWER_WITHIN, Connection::open(port, tls)).await??;
            let code = one(&mut new, number + 1).await;
            waited.new = waited.new.max(began.elapsed());
            waited.refused += usize::from(code.is_err() || code.is_ok_and(|code| code == 429));
            waited.memory = waited.memory.max(processes::proportional_bytes(process).unwrap_or_default());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(waited)
}

/// A read or a write, by turns; the code of its answer.
async fn one(connection: &mut Connection, number: usize) -> Result<u16> {
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let ask = match number % 2 {
        0 => Ask::get(format!("{collection}?limit=1")),
        _ => Ask::post(collection, r#"{"metadata":{"generateName":"probe-"}}"#),
    };
    Ok(tokio::time::timeout(ANSWER_WITHIN, connection.call(ask)).await??.0)
}
