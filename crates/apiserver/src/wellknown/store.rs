//! `/ironclad/store/...`: what an administrator asks of the store, which only this server has open: how much it holds, a
//! backup while it is written to, and compaction.
//!
//! | path | verb | |
//! |---|---|---|
//! | `/ironclad/store/stats` | GET | numbers, as JSON |
//! | `/ironclad/store/backup` | GET | a backup of the newest revision, as a stream; one that breaks off is refused by its reader |
//! | `/ironclad/store/compact?revision=N`, `?olderThan=SECONDS` | POST | forgets history, gives its space back, and answers as `stats` |
//!
//! RBAC judges them as any path; no role but `cluster-admin` has them, for a backup holds every Secret.

use std::sync::Arc;

use api::status::{About, Details};
use api::{Revision, Status};
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use store::{Backup, Stats, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::http::body::{BoxError, exclusive};
use crate::http::{Body, Server, respond};
use crate::storage;
use crate::verbs::Params;

/// So many backups are read at a time; each holds history back.
pub(super) const BACKUPS_MAX: usize = 2;
const RETRY_AFTER_SECS: u32 = 10;

pub(super) async fn answer(
    server: &Server,
    what: &str,
    parts: &Parts,
    params: &Params,
) -> Result<Response<Body>, Status> {
    let engine = &server.engine;
    match (what, &parts.method) {
        ("stats", &Method::GET) => Ok(respond::pretty(&stats(engine).await?)),
        ("backup", &Method::GET) => backup(server).await,
        ("compact", &Method::POST) => {
            compact(engine, params).await?;
            Ok(respond::pretty(&stats(engine).await?))
        }
        ("stats" | "backup" | "compact", _) => {
            Err(Status::method_not_allowed(About { group: "", resource: "", name: "" }))
        }
        _ => Ok(respond::page_not_found()),
    }
}

async fn stats(engine: &Engine) -> Result<Value, Status> {
    Ok(stats_tree(&engine.store().stats().await.map_err(storage::failed)?))
}

/// How the numbers of a store read.
pub fn stats_tree(stats: &Stats) -> Value {
    let Stats { revision, oldest, keys, live_bytes, history_events, history_bytes, disk_bytes } = stats;
    json!({
        "revision": revision.0, "oldestRevision": oldest.0, "keys": keys, "liveBytes": live_bytes,
        "historyEvents": history_events, "historyBytes": history_bytes, "diskBytes": disk_bytes,
    })
}

async fn compact(engine: &Engine, params: &Params) -> Result<(), Status> {
    let store = engine.store();
    let number = |name: &str| -> Result<Option<u64>, Status> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let wrong = |_| Status::bad_request(format!("{name} must be a whole number and not {text:?}"));
        text.parse().map(Some).map_err(wrong)
    };
    let done = match (number("revision")?, number("olderThan")?) {
        (Some(revision), None) => match store.compact(Revision(revision)).await {
            Ok(()) => store.reclaim().await,
            Err(error) => Err(error),
        },
        (None, Some(secs)) => store::forget_older(&**store, engine.clock().now().as_second(), secs).await,
        _ => return Err(Status::bad_request("either revision or olderThan must be given")),
    };
    done.map_err(|error| match error {
        StoreError::Future { .. } => Status::bad_request(error.to_string()),
        other => storage::failed(other),
    })
}

async fn backup(server: &Server) -> Result<Response<Body>, Status> {
    let turn = server.wellknown.backups.clone().try_acquire_owned().map_err(|_| {
        let details = Details { retry_after_seconds: RETRY_AFTER_SECS, ..Details::default() };
        Status::failure(429, "TooManyRequests", "other backups are being read; try again later").with_details(details)
    })?;
    let engine = &server.engine;
    let begun = Backup::begin(engine.store().clone(), engine.rng()).await.map_err(storage::failed)?;
    let name = format!("attachment; filename=\"revision-{}.backup\"", begun.revision());
    let mut response = respond::with(200, "application/octet-stream", streamed(begun, turn, &server.stopping));
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A failure, and the server's end, break the answer off, so that its reader cannot take it for a whole backup.
fn streamed(backup: Backup, turn: OwnedSemaphorePermit, stopping: &CancellationToken) -> Body {
    let next = |(mut backup, turn, stopping): (Backup, OwnedSemaphorePermit, CancellationToken)| async move {
        let chunk = tokio::select! {
            biased;
            () = stopping.cancelled() => Err(StoreError::Closed),
            chunk = backup.next() => chunk,
        };
        let frame = chunk.map_err(BoxError::from).map(|chunk: Option<Bytes>| chunk.map(Frame::data)).transpose()?;
        Some((frame, (backup, turn, stopping)))
    };
    let frames = futures::stream::unfold((backup, turn, stopping.clone()), next);
    StreamBody::new(exclusive(Box::pin(frames))).boxed()
}

/// Turns for backups.
pub(super) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BACKUPS_MAX))
}
