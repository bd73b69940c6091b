//! The engine over a cluster of etcd v3 (3.4 or later): for control planes on more than one machine.
//!
//! ```text
//! commit -> one transaction            (commit.rs)      get, range -> linearizable reads   (client.rs)
//! watch  -> a follower, until dropped  (watch.rs)       compaction by age, shared          (compaction.rs)
//!   all over: calls with deadlines -> one link to a member that works (channel.rs) -> gRPC on HTTP/2 (grpc.rs)
//! ```
//! etcd's revisions are the store's. Several processes share one etcd; foreign keys are tolerated. No call waits for
//! ever: it is done, refused, or `Unavailable` (nothing happened) or `InDoubt` after a deadline. Decisions that would be
//! expensive to undo: docs/adr/0010-etcd-engine.md.

mod channel;
mod client;
mod commit;
mod compaction;
mod endpoint;
mod failure;
mod grpc;
mod keys;
mod proto;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stdx::Rng;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::hub::WATCH_BUFFER_MAX;
use crate::{Commit, Entry, Page, Range, Revision, Stamp, Store, StoreError, StoreKey, WatchItem, WatchStream};
use channel::Channel;
use client::Client;
use endpoint::Endpoint;
pub use endpoint::EtcdTls;
use failure::Failure;
use keys::{Keys, is_own, number};
use proto::{CompactionRequest, CompactionResponse, RangeRequest};

/// Entries of one answer: etcd 3.4 counts a whole range for each page of it, so pages are large.
const PAGE_LEN_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `http://`, `https://` or `unix://`, in the order of preference.
    pub endpoints: Vec<String>,
    pub tls: EtcdTls,
    /// In front of every key in etcd.
    pub prefix: String,
    /// Where the engine keeps keys of its own: the start of the range that is watched, where there is one.
    pub home: String,
    /// History older than this is forgotten; all is kept when absent.
    pub history: Option<Duration>,
    pub stamp: Option<Stamp>,
    pub rng: Rng,
}

impl EtcdOptions {
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            tls: EtcdTls::default(),
            prefix: String::new(),
            home: String::new(),
            history: Some(Duration::from_secs(300)),
            stamp: None,
            rng: Rng::from_os(),
        }
    }
}

struct Watcher {
    start: StoreKey,
    end: StoreKey,
    wanted: tokio::sync::watch::Sender<Revision>,
    task: AbortHandle,
}

pub struct EtcdStore {
    client: Arc<Client>,
    watchers: Mutex<Vec<Watcher>>,
    compaction: Option<AbortHandle>,
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.watchers().iter().for_each(|watcher| watcher.task.abort());
        self.compaction.iter().for_each(AbortHandle::abort);
    }
}

impl EtcdStore {
    /// Checks the options; a connection is made with the first call. Needs a tokio runtime around it.
    pub fn open(options: EtcdOptions) -> Result<Self, StoreError> {
        let endpoints: Result<Vec<_>, _> = options.endpoints.iter().map(|text| Endpoint::parse(text)).collect();
        let endpoints = endpoints?;
        if endpoints.is_empty() {
            return Err(StoreError::Io("no endpoint of etcd is given".to_owned()));
        }
        options.tls.check(&endpoints)?;
        let keys = Keys { prefix: options.prefix.as_bytes().into(), stamp: options.stamp };
        let home = options.home.as_bytes();
        let turns = keys.own(home, "compaction");
        let client = Arc::new(Client::new(Channel::new(endpoints, options.tls), keys, home, options.rng));
        let compaction = options.history.map(|window| tokio::spawn(compaction::run(client.clone(), turns, window)));
        let compaction = compaction.map(|task| task.abort_handle());
        Ok(Self { client, watchers: Mutex::default(), compaction })
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest revision; watchers of `range` (of all keys when absent) that are behind it are told.
    async fn newest(&self, range: Option<(&[u8], &[u8])>) -> Result<Revision, StoreError> {
        let newest = self.client.newest().await?;
        self.watchers().retain(|watcher| {
            let overlaps = range.is_none_or(|(start, end)| &*watcher.start < end && start < &*watcher.end);
            if overlaps {
                watcher.wanted.send_if_modified(|wanted| {
                    let more = *wanted < newest;
                    *wanted = newest.max(*wanted);
                    more
                });
            }
            !watcher.wanted.is_closed()
        });
        Ok(newest)
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn forgets_by_itself(&self) -> bool {
        self.compaction.is_some()
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        commit::commit(&self.client, commit).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let request = RangeRequest { key: self.client.keys.outer(key), ..RangeRequest::default() };
        let (_, response) = self.client.range(&request).await?;
        Ok(response.kvs.first().map(|kv| self.client.keys.entry(kv)))
    }

    async fn range(&self, range: Range) -> Result<Page, StoreError> {
        let keys = &self.client.keys;
        self.client.check_kept(range.at.unwrap_or(Revision(u64::MAX)))?;
        if range.start >= range.end {
            let revision = self.client.readable(range.at.unwrap_or_default()).await?;
            return Ok(Page { revision: range.at.unwrap_or(revision), entries: Vec::new(), more: false });
        }
        let limit = range.limit.unwrap_or(usize::MAX);
        let mut request = RangeRequest {
            key: keys.first(&range.start),
            range_end: keys.outer(&range.end),
            revision: number(range.at.unwrap_or_default()),
            ..RangeRequest::default()
        };
        let mut page = Page { revision: Revision::ZERO, entries: Vec::new(), more: true };
        // All pages of etcd's are read at the revision of the first; keys of our own are left out.
        while page.more && (page.entries.len() < limit || page.revision == Revision::ZERO) {
            let wanted = (limit - page.entries.len()).clamp(1, PAGE_LEN_MAX);
            request.limit = i64::try_from(wanted).unwrap_or(i64::MAX);
            let (newest, response) = self.client.range(&request).await?;
            if page.revision == Revision::ZERO {
                page.revision = range.at.unwrap_or(newest);
                request.revision = number(page.revision);
            }
            page.more = response.more;
            if let Some(last) = response.kvs.last() {
                request.key = [&*last.key, &[0]].concat().into();
            }
            let shown = response.kvs.iter().filter(|kv| !is_own(&kv.key));
            page.entries.extend(shown.map(|kv| keys.entry(kv)));
        }
        if page.entries.len() > limit {
            page.entries.truncate(limit);
            page.more = true;
        }
        Ok(page)
    }

    async fn watch(&self, start: StoreKey, end: StoreKey, after: Revision) -> Result<Box<dyn WatchStream>, StoreError> {
        let client = &self.client;
        // Events can be had from behind a revision that can be read.
        let newest = client.readable(after.max(Revision(1))).await?;
        let (items, received) = mpsc::channel(WATCH_BUFFER_MAX);
        let (wanted, to_reach) = tokio::sync::watch::channel(Revision::ZERO);
        let is_new = after >= newest;
        if is_new {
            items.try_send(Ok(WatchItem::Progress(newest))).map_err(|_| StoreError::Closed)?;
        }
        let follower = watch::Follower {
            client: client.clone(),
            start: client.keys.outer(&start),
            end: client.keys.outer(&end),
            fence: client.keys.own(&start, "fence"),
            items,
            wanted: to_reach,
            delivered: after,
            replay_to: (!is_new).then_some(newest),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        self.watchers().push(Watcher { start, end, wanted, task });
        Ok(Box::new(watch::Subscription(received)))
    }

    async fn current(&self) -> Result<Revision, StoreError> {
        self.newest(None).await
    }

    async fn current_in(&self, start: &[u8], end: &[u8]) -> Result<Revision, StoreError> {
        self.newest(Some((start, end))).await
    }

    async fn compact(&self, before: Revision) -> Result<(), StoreError> {
        let newest = self.client.newest().await?;
        if before > newest {
            return Err(StoreError::Future { asked: before, newest });
        }
        compact(&self.client, before).await
    }
}

/// etcd keeps what is at the compacted revision, but not what the events there replaced: so one less is compacted.
async fn compact(client: &Client, before: Revision) -> Result<(), StoreError> {
    let revision = number(before) - 1;
    if revision <= 0 {
        return Ok(());
    }
    match client.read::<_, CompactionResponse>(client::COMPACT, &CompactionRequest { revision }).await {
        Ok(_) | Err(Failure::Compacted) => {
            client.note_compacted(revision);
            Ok(())
        }
        Err(Failure::Final(error)) => Err(error),
        Err(other) => Err(StoreError::Io(format!("cannot compact etcd: {other:?}"))),
    }
}
