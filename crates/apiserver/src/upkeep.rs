//! What the API server does by itself, by time: Events expire, and the store forgets old history.

use std::sync::Weak;
use std::time::Duration;

use api::{Gvr, Object, Revision, Status};
use jiff::SignedDuration;
use store::{Commit, Durability, Precondition, Write};

use crate::engine::Engine;
use crate::storage;

const EVERY: Duration = Duration::from_secs(300);
const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);
const EVENTS: Gvr = Gvr::new("", "v1", "events");

/// Runs until the engine is gone.
pub async fn run(engine: Weak<Engine>) {
    let mut known = Revision::ZERO;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        if let Err(error) = expire_events(&engine).await {
            tracing::warn!(%error, "cannot delete expired events");
        }
        // What was the newest revision a round ago is now old enough to be forgotten.
        if known > Revision::ZERO
            && !engine.store().forgets_by_itself()
            && let Err(error) = engine.store().compact(known).await
        {
            tracing::warn!(%error, "cannot compact the store");
        }
        known = engine.caches().revision();
    }
}

/// Deletes Events that were last written more than an hour ago, as upstream's leases on them do.
pub async fn expire_events(engine: &Engine) -> Result<usize, Status> {
    engine.caches().catch_up(&**engine.store()).await?;
    let Some(table) = engine.table(&EVENTS) else { return Ok(0) };
    let now = engine.clock().now();
    let expired: Vec<Object> = table.iter().filter(|event| last_seen(event) + EVENT_TTL < now).cloned().collect();
    for event in &expired {
        let key = storage::key(&EVENTS, &event.key());
        let commit = Commit {
            preconditions: vec![Precondition::ModifiedAt(key.clone(), event.revision())],
            writes: vec![Write::Delete(key)],
            durability: Durability::Buffered,
        };
        // A conflict means that the event was seen again: it lives on.
        match engine.store().commit(commit).await {
            Ok(_) | Err(store::StoreError::Conflict { .. }) => {}
            Err(error) => return Err(storage::failed(error)),
        }
    }
    Ok(expired.len())
}

fn last_seen(event: &Object) -> jiff::Timestamp {
    let created = event.meta().creation_timestamp.unwrap_or_default();
    let Ok(tree) = event.tree() else { return created };
    let times = ["lastTimestamp", "series.lastObservedTime", "eventTime"];
    let seen = times.iter().filter_map(|path| crate::tree::text(&tree, path).parse().ok()).max();
    seen.map_or(created, |seen: jiff::Timestamp| seen.max(created))
}
