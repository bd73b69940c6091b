//! Tables that follow the API server: one list and watch of one selection of objects, and its newest state.
//!
//! Readers are level-triggered: they are told that there is something new, and read all of it. Unlike the controllers'
//! hub a follower also tells why its first list failed, because a pod's status must name the cause.

use std::sync::Arc;
use std::time::Duration;

use api::{Gvr, Revision};
use cache::Table;
use client::query::{ListQuery, WatchQuery};
use client::watch::WatchEvent;
use client::{Client, Error};
use stdx::Backoff;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
/// When the server ends a watch, so that none is for ever.
const WATCH_SECS: u64 = 480;

/// What a [`Follow`] knows.
#[derive(Clone)]
pub struct View {
    pub table: Table,
    /// Whether the first list has been read.
    pub synced: bool,
    /// Why the last list failed.
    pub failure: Option<Error>,
}

/// A table that follows the API server until it is dropped.
pub struct Follow {
    view: watch::Receiver<View>,
    _task: AbortOnDropHandle<()>,
}

impl Follow {
    /// Follows a resource in all namespaces (`namespace` empty) or one, narrowed by a field selector.
    pub fn start(client: Client, resource: Gvr, namespace: &str, fields: &str) -> Self {
        let empty = View { table: Table::new(Arc::new([])), synced: false, failure: None };
        let (sender, view) = watch::channel(empty);
        let (namespace, fields) = (namespace.to_owned(), fields.to_owned());
        let task = tokio::spawn(async move { follow(&client, &resource, &namespace, &fields, &sender).await });
        Self { view, _task: AbortOnDropHandle::new(task) }
    }

    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Waits for the first list; its failure if there has been none but failures.
    pub async fn synced(&self) -> client::Result<View> {
        let mut view = self.view.clone();
        let settled = view.wait_for(|view| view.synced || view.failure.is_some()).await;
        let view = settled.map_err(|_| Error::Decode("the follower has ended".to_owned()))?.clone();
        match (&view.failure, view.synced) {
            (Some(failure), false) => Err(failure.clone()),
            _ => Ok(view),
        }
    }
}

async fn follow(client: &Client, resource: &Gvr, namespace: &str, fields: &str, view: &watch::Sender<View>) {
    let mut failures = 0;
    let mut at: Option<Revision> = None;
    loop {
        let outcome = match at {
            None => list(client, resource, namespace, fields, view).await,
            Some(from) => watch(client, resource, namespace, fields, from, view).await,
        };
        match outcome {
            Ok(next) => {
                // A watch that ends at once without a word, again and again, must not become a poll.
                failures = if at == Some(next) { failures + 1 } else { 0 };
                at = Some(next);
            }
            Err(error) => {
                failures += 1;
                tracing::debug!("cannot follow {resource}: {error}");
                if error.is_expired() || at.is_none() {
                    at = None;
                    view.send_modify(|view| view.failure = Some(error));
                }
            }
        }
        tokio::time::sleep(RETRY.delay(failures)).await;
    }
}

async fn list(
    client: &Client,
    resource: &Gvr,
    namespace: &str,
    fields: &str,
    view: &watch::Sender<View>,
) -> client::Result<Revision> {
    let query = ListQuery { fields: fields.to_owned(), ..ListQuery::default() };
    let page = client.list_all(resource, namespace, &query).await?;
    let mut table = Table::new(Arc::new([]));
    for object in page.items {
        table.put(object);
    }
    table.advance(page.revision);
    view.send_replace(View { table, synced: true, failure: None });
    Ok(page.revision)
}

/// Applies a watch's events until it ends; the revision that it came to.
async fn watch(
    client: &Client,
    resource: &Gvr,
    namespace: &str,
    fields: &str,
    from: Revision,
    view: &watch::Sender<View>,
) -> client::Result<Revision> {
    let query =
        WatchQuery { fields: fields.to_owned(), after: Some(from), timeout_secs: WATCH_SECS, ..WatchQuery::default() };
    let mut stream = client.watch(resource, namespace, &query).await?;
    while let Some(event) = stream.next().await {
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                view.send_modify(|view| drop(view.table.put(object)));
            }
            Ok(WatchEvent::Deleted(object)) => {
                view.send_modify(|view| drop(view.table.remove(&object.key(), object.revision())));
            }
            Ok(WatchEvent::Bookmark(revision)) => {
                // Nothing that a reader would see.
                view.send_if_modified(|view| {
                    view.table.advance(revision);
                    false
                });
            }
            Err(error) if error.is_expired() => return Err(error),
            // It broke: go on from what was seen.
            Err(_) => break,
        }
    }
    Ok(view.borrow().table.revision())
}
