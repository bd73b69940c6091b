//! A watch that outlives connections: one etcd watcher, made again from where it came to whenever its stream ends.
//!
//! ```text
//! follow: stream from `delivered` --events--> grouped by revision --> items (bounded) --> WatchStream
//!           ^--- stream ended, leader lost, member lags <---|  compacted --> the error, then the end
//! ```
//! etcd sends whole revisions in order; only a fragmented answer may end in the middle of one, so the last revision of
//! a fragment is held back. A watcher begins *at* the last delivered revision, which it drops, since etcd tells it only
//! then that the events right behind were compacted.
//!
//! Whoever waits for a revision (`wanted`) is told as soon as everything up to there was delivered. Mostly an event says
//! so. Where the newest revision touched no key of ours, the member is asked for its progress; one whose answer may
//! overtake events (`Link::tells_progress`) gets a write to a key of our own in the watched range instead: a fence.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use stdx::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::channel::Link;
use super::client::{Client, WATCH};
use super::failure::Failure;
use super::grpc::{CallError, Messages, Requests};
use super::keys::{is_own, number, revision};
use super::proto::{Event, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::{Revision, StoreError, StoreEvent, WatchItem, WatchStream};

/// How long etcd may take to begin a watch.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// So long an event that is under way gets to arrive before a fence is written.
const FENCE_AFTER: Duration = Duration::from_millis(15);
/// etcd begins with the history of a new watcher within 100 ms.
const REPLAY_AFTER: Duration = Duration::from_millis(250);
/// Unanswered questions for progress are asked again.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// A member that lags so long behind the cluster is left.
const LAG_MAX: Duration = Duration::from_millis(1500);
const AGAIN: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));

pub(super) type Item = Result<WatchItem, StoreError>;

pub(super) struct Subscription(pub mpsc::Receiver<Item>);

#[async_trait]
impl WatchStream for Subscription {
    async fn next(&mut self) -> Option<Item> {
        self.0.recv().await
    }
}

pub(super) struct Follower {
    pub client: Arc<Client>,
    /// As etcd knows them.
    pub start: Bytes,
    pub end: Bytes,
    pub fence: Bytes,
    pub items: mpsc::Sender<Item>,
    /// The revision that somebody waits for.
    pub wanted: watch::Receiver<Revision>,
    /// Everything up to here was delivered.
    pub delivered: Revision,
    /// The end of the history that was there at the start, until that was told.
    pub replay_to: Option<Revision>,
}

/// Why a stream is no longer followed.
enum End {
    /// Nobody reads, or too slowly.
    CutOff,
    Failed(StoreError),
    Broken(String),
}

/// The events of the revision that is being received.
#[derive(Default)]
struct Group {
    revision: Revision,
    events: Vec<StoreEvent>,
}

impl Follower {
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let before = self.delivered;
            match self.follow().await {
                End::CutOff => return,
                End::Failed(error) => {
                    tracing::debug!(%error, "a watch of etcd ended");
                    drop(self.items.try_send(Err(error)));
                    return;
                }
                End::Broken(why) => {
                    failures = if self.delivered > before { 1 } else { failures + 1 };
                    tracing::debug!(why, after = %self.delivered, "watching etcd anew");
                    sleep(AGAIN.delay(failures)).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> End {
        let link = tokio::select! {
            biased;
            () = self.items.closed() => return End::CutOff,
            link = self.client.channel.link() => match link {
                Ok(link) => link,
                Err(why) => return End::Broken(why),
            },
        };
        let create = WatchCreateRequest {
            key: self.start.clone(),
            range_end: self.end.clone(),
            start_revision: number(self.delivered.max(Revision(1))),
            progress_notify: true,
            prev_kv: true,
            fragment: true,
        };
        let request = WatchRequest { create: Some(create), progress: None };
        match link.connection.stream(WATCH, &request, OPEN_TIMEOUT).await {
            Ok((requests, messages)) => self.receive(&link, &requests, messages).await,
            Err(error) => {
                self.client.channel.judge(&link, &error).await;
                ended(error)
            }
        }
    }

    async fn receive(&mut self, link: &Arc<Link>, requests: &Requests, mut messages: Messages) -> End {
        let mut group = Group::default();
        let mut fence: Option<BoxFuture<'static, Result<Revision, Failure>>> = None;
        let (mut ask_at, mut behind_since) = (Instant::now() + REPLAY_AFTER, None);
        loop {
            let behind = self.is_behind();
            behind_since = behind.then(|| behind_since.unwrap_or_else(Instant::now));
            if behind_since.is_some_and(|since: Instant| since.elapsed() > LAG_MAX) {
                let why = "it lags behind the cluster";
                self.client.channel.leave(link, why).await;
                return End::Broken(why.to_owned());
            }
            let fencing = fence.is_some();
            let fenced = async {
                match &mut fence {
                    Some(fence) => fence.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.items.closed() => return End::CutOff,
                message = messages.next::<WatchResponse>() => {
                    let taken = match message {
                        Ok(Some(response)) => self.take(response, &mut group),
                        Ok(None) => Err(End::Broken("etcd ended the watch".to_owned())),
                        Err(error) => Err(ended(error)),
                    };
                    if let Err(end) = taken {
                        return end;
                    }
                }
                written = fenced => {
                    fence = None;
                    if let Err(failure) = written {
                        tracing::debug!(?failure, "cannot write a fence");
                    }
                }
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return End::CutOff;
                    }
                    if self.is_behind() && behind_since.is_none() {
                        ask_at = Instant::now() + if link.tells_progress { Duration::ZERO } else { FENCE_AFTER };
                    }
                }
                () = sleep_until(ask_at), if behind && !fencing => {
                    ask_at = Instant::now() + ASK_EVERY;
                    if link.tells_progress {
                        requests.send(&WatchRequest { create: None, progress: Some(WatchProgressRequest {}) });
                    } else {
                        let (client, key) = (self.client.clone(), self.fence.clone());
                        fence = Some(async move { client.touch(key).await }.boxed());
                    }
                }
            }
        }
    }

    fn wanted(&self) -> Revision {
        self.replay_to.unwrap_or_default().max(*self.wanted.borrow())
    }

    fn is_behind(&self) -> bool {
        self.wanted() > self.delivered
    }

    fn take(&mut self, response: WatchResponse, group: &mut Group) -> Result<(), End> {
        if response.canceled {
            return Err(self.cancelled(&response));
        }
        if response.events.is_empty() {
            // A created watcher has not delivered anything by that.
            let progress = revision(response.header.unwrap_or_default().revision);
            return if response.created { Ok(()) } else { self.reached(progress, Vec::new()) };
        }
        for event in response.events {
            let Some((at, event)) = self.event(event) else { continue };
            if at <= self.delivered {
                continue;
            }
            if at > group.revision {
                self.flush(group)?;
                group.revision = at;
            }
            group.events.extend(event);
        }
        if response.fragment { Ok(()) } else { self.flush(group) }
    }

    fn cancelled(&self, response: &WatchResponse) -> End {
        if response.compact_revision > 0 {
            self.client.note_compacted(response.compact_revision);
            let oldest = revision(response.compact_revision).next();
            return End::Failed(StoreError::Compacted { asked: self.delivered, oldest });
        }
        let reason = &response.cancel_reason;
        if reason.contains("permission denied") || reason.contains("auth token") {
            return End::Failed(StoreError::Denied(reason.clone()));
        }
        End::Broken(format!("etcd cancelled the watch: {reason}"))
    }

    /// The event with its revision; nothing but the revision where it is the engine's own.
    fn event(&self, event: Event) -> Option<(Revision, Option<StoreEvent>)> {
        let (kv, keys) = (event.kv?, &self.client.keys);
        let at = revision(kv.mod_revision);
        if is_own(&kv.key) {
            return Some((at, None));
        }
        let deleted = event.kind == Event::DELETE;
        // A deletion itself does not say when the key began.
        let created =
            if deleted { event.prev_kv.as_ref().map_or(0, |kv| kv.create_revision) } else { kv.create_revision };
        let event = StoreEvent {
            revision: at,
            key: keys.inner(&kv.key).into(),
            value: (!deleted).then(|| keys.value(&kv)),
            created: revision(created),
            before: event.prev_kv.as_ref().map(|kv| keys.value(kv)),
        };
        Some((at, Some(event)))
    }

    fn flush(&mut self, group: &mut Group) -> Result<(), End> {
        let Group { revision, events } = std::mem::take(group);
        if revision > self.delivered { self.reached(revision, events) } else { Ok(()) }
    }

    /// Everything up to `revision` is known, of which `events` are of that revision itself.
    fn reached(&mut self, revision: Revision, events: Vec<StoreEvent>) -> Result<(), End> {
        if revision <= self.delivered {
            return Ok(());
        }
        let waited_for = self.is_behind();
        if let Some(replayed) = self.replay_to.take_if(|to| *to < revision) {
            self.send(WatchItem::Progress(replayed))?;
        }
        self.delivered = revision;
        let quiet = events.is_empty();
        if !quiet {
            self.send(WatchItem::Events(events))?;
        }
        let replayed = self.replay_to.take_if(|to| *to <= revision).is_some();
        if replayed || (quiet && waited_for) { self.send(WatchItem::Progress(revision)) } else { Ok(()) }
    }

    /// A reader that does not keep up loses its stream, which then ends behind what is buffered.
    fn send(&self, item: WatchItem) -> Result<(), End> {
        self.items.try_send(Ok(item)).map_err(|_| End::CutOff)
    }
}

fn ended(error: CallError) -> End {
    match Failure::from(error) {
        Failure::NotDone(why) | Failure::Unknown(why) => End::Broken(why),
        Failure::Final(error @ StoreError::Denied(_)) => End::Failed(error),
        Failure::Final(error) => End::Broken(error.to_string()),
        Failure::Compacted | Failure::Future => End::Broken("etcd refused the revision".to_owned()),
    }
}
