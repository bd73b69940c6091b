//! Watches: many followers of one collection while it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Figure;
use super::connection::{Ask, Connection};
use super::loads::{per, rate};
use super::stand::{NAMESPACE, Stand};
use crate::quantile;

const WRITERS: usize = 8;
/// Of so many watchers one measures the delay of its events; the others count them.
const SAMPLE: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(120);

/// `events` ConfigMaps are made, as fast as they can be or so many a second, until every watcher has seen all.
pub async fn follow(stand: &mut Stand, watchers: usize, events: usize, per_second: Option<u32>) -> Result<Figure> {
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let epoch = Instant::now();
    let mut following = JoinSet::new();
    for number in 0..watchers {
        let mut connection = stand.connect().await?;
        let ask = Ask::get(format!("{collection}?watch=true&labelSelector=run%3Dw{watchers}"));
        let (code, body) = connection.start(ask).await?;
        if code != 200 {
            bail!("a watch was refused: {code}");
        }
        let sampled = per_second.is_some() || number % SAMPLE == 0;
        following.spawn(read(connection, body, events, epoch, sampled));
    }
    let (cpu, began) = (stand.cpu(), Instant::now());
    let next = Arc::new(AtomicUsize::new(0));
    let mut writing = JoinSet::new();
    for connection in stand.connect_all(WRITERS).await? {
        let writer = Writer { watchers, events, per_second, began, epoch, collection: collection.clone() };
        writing.spawn(writer.run(connection, next.clone()));
    }
    while let Some(done) = writing.join_next().await {
        done??;
    }
    let mut delays = Vec::new();
    let all = async {
        while let Some(done) = following.join_next().await {
            delays.extend(done??);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(TIMEOUT, all).await.context("not every watcher saw every event")??;
    let wall = began.elapsed();
    let millis = |percent| quantile(&delays, percent).as_secs_f64() * 1000.0;
    let delivered = rate(watchers * events, wall);
    let text = format!("p50 {:.1} ms, p99 {:.1} ms, {delivered:.0} deliveries/s", millis(50), millis(99));
    Ok(Figure { text, cpu: Some(per(stand.cpu() - cpu, watchers * events)) })
}

struct Writer {
    watchers: usize,
    events: usize,
    per_second: Option<u32>,
    began: Instant,
    epoch: Instant,
    collection: String,
}

impl Writer {
    async fn run(self, mut connection: Connection, next: Arc<AtomicUsize>) -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.events {
                return Ok(());
            }
            if let Some(per_second) = self.per_second {
                let due = Duration::from_secs(1) / per_second * u32::try_from(number)?;
                tokio::time::sleep_until(self.began + due).await;
            }
            let object = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("w{}-{number}", self.watchers), "labels": {"run": format!("w{}", self.watchers)}},
                "data": {"at": format!("<{}>", self.epoch.elapsed().as_micros()), "payload": "x".repeat(100)},
            });
            connection.must(Ask::post(&self.collection, object.to_string())).await?;
        }
    }
}

/// Reads until so many events have come; the delays of those that are measured.
async fn read(
    _connection: Connection,
    mut body: Incoming,
    events: usize,
    epoch: Instant,
    sampled: bool,
) -> Result<Vec<Duration>> {
    let (mut seen, mut delays, mut rest) = (0, Vec::new(), BytesMut::new());
    while seen < events {
        let frame = body.frame().await.context("a watch ended early")??;
        let Ok(data) = frame.into_data() else { continue };
        if !sampled {
            seen += data.iter().filter(|byte| **byte == b'\n').count();
            continue;
        }
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest.split_to(end + 1);
            delays.push(epoch.elapsed().saturating_sub(made_at(&line)?));
            seen += 1;
        }
    }
    Ok(delays)
}

fn made_at(line: &[u8]) -> Result<Duration> {
    let text = std::str::from_utf8(line)?;
    let micros = text.split_once("\"at\":\"<").and_then(|(_, rest)| rest.split_once('>'));
    let (micros, _) = micros.with_context(|| format!("an event without a time: {text}"))?;
    Ok(Duration::from_micros(micros.parse()?))
}
