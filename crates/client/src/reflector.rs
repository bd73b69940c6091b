//! Keeps a table equal to the server's: list, then watch, for ever. The table is one of a [`Hub`](crate::hub), or a
//! [`Follow`](crate::follow)'s only one.
//!
//! ```text
//!          +--- 410 Expired -----------+
//!          v                           |
//! list (pages) --> watch from its revision --> server ends it, or it breaks: watch again from the last revision seen
//! ```
//! Nothing is asked for twice without an event, an end or a failure in between; failures back off with jitter.

use std::time::Duration;

use api::{Gvr, Object, Revision};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use stdx::Backoff;

use crate::client::Client;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::hub::Selection;
use crate::query::{ListQuery, WatchQuery};
use crate::watch::{WatchEvent, WatchStream};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(30));
/// The server ends watches after a time between this and its double, so that they spread over servers.
const WATCH_SECS_MIN: u64 = 300;

/// Where the objects go.
pub(crate) trait Sink: Sync {
    /// A list of the resource takes the place of all that was known.
    fn replace(&self, resource: &Gvr, objects: Vec<Object>, revision: Revision);

    fn apply(&self, resource: &Gvr, events: Vec<WatchEvent>);

    /// How far the resource is known.
    fn revision(&self, resource: &Gvr) -> Option<Revision>;

    /// A list or a watch did not succeed; it is tried again.
    fn failed(&self, _error: &Error) {}
}

pub(crate) struct Reflector {
    pub client: Client,
    pub resource: Gvr,
    pub selection: Selection,
    pub env: Env,
}

impl Reflector {
    pub(crate) async fn run(self, sink: &impl Sink) {
        let client =
            if self.selection.metadata_only { self.client.clone().metadata_only() } else { self.client.clone() };
        let mut at: Option<Revision> = None;
        let mut failures = 0;
        loop {
            let outcome = match at {
                None => self.list(&client, sink).await.map(Some),
                Some(revision) => self.watch(&client, sink, revision, &mut failures).await,
            };
            match outcome {
                Ok(next) => at = next,
                Err(error) => {
                    failures += 1;
                    sink.failed(&error);
                    self.tell(&error, failures);
                    // A watch that failed to start goes on from where it was; only 410 asks for a list.
                    at = if error.is_expired() { None } else { sink.revision(&self.resource).filter(|_| at.is_some()) };
                }
            }
            let wait = BACKOFF.delay(failures);
            if !wait.is_zero() {
                let jitter = self.env.rng.below(u64::try_from(wait.as_millis()).unwrap_or(0) + 1);
                tokio::time::sleep(wait / 2 + Duration::from_millis(jitter)).await;
            }
        }
    }

    fn tell(&self, error: &Error, failures: u32) {
        // The first failures of a start or of a restarted server are nothing to worry a reader with.
        if failures == 4 || failures.is_multiple_of(32) {
            tracing::warn!("cannot follow {}: {error}", self.resource);
        } else {
            tracing::debug!("cannot follow {}: {error}", self.resource);
        }
    }

    async fn list(&self, client: &Client, sink: &impl Sink) -> Result<Revision> {
        let selection = &self.selection;
        let query =
            ListQuery { labels: selection.labels.clone(), fields: selection.fields.clone(), ..ListQuery::default() };
        let page = client.list_all(&self.resource, &selection.namespace, &query).await?;
        let items: Result<Vec<Object>> = page.items.into_iter().map(|object| self.reduce(object)).collect();
        sink.replace(&self.resource, items?, page.revision);
        Ok(page.revision)
    }

    /// Returns where to go on from; `None` asks for a list.
    async fn watch(
        &self,
        client: &Client,
        sink: &impl Sink,
        from: Revision,
        failures: &mut u32,
    ) -> Result<Option<Revision>> {
        let selection = &self.selection;
        let query = WatchQuery {
            labels: selection.labels.clone(),
            fields: selection.fields.clone(),
            after: Some(from),
            timeout_secs: WATCH_SECS_MIN + self.env.rng.below(WATCH_SECS_MIN),
        };
        let mut stream = client.watch(&self.resource, &selection.namespace, &query).await?;
        let mut seen_any = false;
        while let Some(first) = stream.next().await {
            let (events, broke) = self.batch(first, &mut stream);
            if !events.is_empty() {
                *failures = 0;
                seen_any = true;
                sink.apply(&self.resource, events);
            }
            if let Some(error) = broke {
                return Err(error);
            }
        }
        // A watch that ends at once without a word, again and again, must not become a poll.
        *failures = if seen_any { 0 } else { *failures + 1 };
        Ok(sink.revision(&self.resource))
    }

    /// The event and all that have arrived with it, up to the first error.
    fn batch(&self, first: Result<WatchEvent>, stream: &mut WatchStream) -> (Vec<WatchEvent>, Option<Error>) {
        let mut events = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            match event.and_then(|event| self.reduce_event(event)) {
                Ok(event) => events.push(event),
                Err(error) => return (events, Some(error)),
            }
            next = stream.next_ready();
        }
        (events, None)
    }

    fn reduce_event(&self, event: WatchEvent) -> Result<WatchEvent> {
        Ok(match event {
            WatchEvent::Added(object) => WatchEvent::Added(self.reduce(object)?),
            WatchEvent::Modified(object) => WatchEvent::Modified(self.reduce(object)?),
            WatchEvent::Deleted(object) => WatchEvent::Deleted(self.reduce(object)?),
            WatchEvent::Bookmark(revision) => WatchEvent::Bookmark(revision),
        })
    }

    fn reduce(&self, object: Object) -> Result<Object> {
        if self.selection.metadata_only { metadata_of(&object) } else { Ok(object) }
    }
}

#[derive(Deserialize)]
struct WireObject<'a> {
    #[serde(borrow)]
    metadata: std::collections::BTreeMap<&'a str, &'a RawValue>,
}

/// The object with nothing but what owners, finalizers and names need. It is done here too because a server may decline
/// to send less than the whole.
fn metadata_of(object: &Object) -> Result<Object> {
    let mut wire: WireObject<'_> = serde_json::from_slice(object.json())?;
    wire.metadata.remove("managedFields");
    wire.metadata.remove("annotations");
    let meta = object.meta();
    let kept = serde_json::json!({"apiVersion": &*meta.api_version, "kind": &*meta.kind}).to_string();
    let metadata = serde_json::to_string(&wire.metadata)?;
    let json = format!("{},\"metadata\":{metadata}}}", kept.strip_suffix('}').unwrap_or("{"));
    Ok(Object::decode(Bytes::from(json), &[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_all_that_is_kept_where_no_more_is_needed() {
        let json = br#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","uid":"u","managedFields":[{}],
            "annotations":{"x":"y"},"finalizers":["f"]},"data":{"k":"v"}}"#;
        let object = Object::decode(Bytes::from_static(json), &[]).unwrap();
        let kept = metadata_of(&object).unwrap();
        assert_eq!(
            std::str::from_utf8(kept.json()).unwrap(),
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"finalizers":["f"],"name":"a","uid":"u"}}"#
        );
    }
}
