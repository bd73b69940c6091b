//! Calls to the cluster: tried again where that is safe, on another member where one does not answer, never for ever.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use stdx::{Backoff, Rng};
use tokio::time::{Instant, timeout_at};

use super::channel::Channel;
use super::failure::Failure;
use super::keys::{Keys, OWN, number, revision};
use super::proto::{
    RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest,
    WatchResponse,
};
use crate::{Revision, StoreError};

pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(super) const COMPACT: &str = "/etcdserverpb.KV/Compact";
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// What one member gets for a read.
const READ_ATTEMPT: Duration = Duration::from_secs(2);
/// What a read gets in all: an election takes one or two seconds.
const READ_DEADLINE: Duration = Duration::from_secs(6);
/// When nothing could be reached for so long, calls no longer wait for better times.
const PATIENCE: Duration = Duration::from_secs(4);
const AGAIN: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
/// How long a watch gets to say that its start was compacted.
const COMPACTED_ANSWER: Duration = Duration::from_secs(1);

pub(super) struct Client {
    pub channel: Channel,
    pub keys: Keys,
    pub rng: Rng,
    /// A key of this process that every commit is conditional on; see `commit.rs`.
    pub guard: Bytes,
    /// Where it was last modified; 0 while it does not exist.
    pub guarded_at: AtomicI64,
    /// The newest revision that is known to be compacted.
    compacted: AtomicI64,
}

impl Client {
    pub fn new(channel: Channel, keys: Keys, home: &[u8], rng: Rng) -> Self {
        let guard = keys.own(home, &format!("guard/{:016x}", rng.next_u64()));
        Self { channel, keys, rng, guard, guarded_at: AtomicI64::new(0), compacted: AtomicI64::new(0) }
    }

    /// One try, on the member we are linked to.
    pub async fn attempt<A: Message, B: Message + Default>(
        &self,
        path: &str,
        request: &A,
        timeout: Duration,
    ) -> Result<B, Failure> {
        let link = self.channel.link().await.map_err(Failure::NotDone)?;
        let answer = link.connection.unary(path, request, timeout).await;
        if let Err(error) = &answer {
            self.channel.judge(&link, error).await;
        }
        Ok(answer?)
    }

    /// A call that changes nothing, or the same however often it is made.
    pub async fn read<A: Message, B: Message + Default>(&self, path: &str, request: &A) -> Result<B, Failure> {
        let deadline = Instant::now() + READ_DEADLINE;
        let mut last = "etcd does not answer".to_owned();
        for failures in 1.. {
            let Ok(answer) = timeout_at(deadline, self.attempt(path, request, READ_ATTEMPT)).await else { break };
            match answer {
                Err(Failure::NotDone(why) | Failure::Unknown(why)) => last = why,
                done => return done,
            }
            if !self.may_try_again(failures, deadline).await {
                break;
            }
        }
        Err(Failure::Final(StoreError::Unavailable(last)))
    }

    /// Waits a moment after a failure; false when there is no time or no hope.
    pub async fn may_try_again(&self, failures: u32, deadline: Instant) -> bool {
        let wait = AGAIN.delay(failures);
        if Instant::now() + wait >= deadline || self.channel.outage().is_some_and(|outage| outage > PATIENCE) {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }

    /// A linearizable read; `asked` is the revision it is at, for the message when that cannot be read.
    pub async fn range(&self, request: &RangeRequest) -> Result<(Revision, RangeResponse), StoreError> {
        match self.read::<_, RangeResponse>(RANGE, request).await {
            Ok(mut response) => {
                self.channel.note_term(response.header.as_ref());
                Ok((at(response.header.take()), response))
            }
            Err(failure) => Err(self.unreadable(failure, revision(request.revision)).await),
        }
    }

    async fn unreadable(&self, failure: Failure, asked: Revision) -> StoreError {
        match failure {
            Failure::Compacted => self.compacted_error(asked).await,
            Failure::Future => match Box::pin(self.newest()).await {
                Ok(newest) => StoreError::Future { asked, newest },
                Err(error) => error,
            },
            Failure::Final(error) => error,
            Failure::NotDone(why) | Failure::Unknown(why) => StoreError::Unavailable(why),
        }
    }

    /// The newest revision.
    pub async fn newest(&self) -> Result<Revision, StoreError> {
        Ok(self.readable(Revision::ZERO).await?.max(Revision(1)))
    }

    /// The newest revision, if `asked` can be read (and watched from); zero always can.
    pub async fn readable(&self, asked: Revision) -> Result<Revision, StoreError> {
        let request = RangeRequest {
            key: self.guard.clone(),
            revision: number(asked),
            count_only: true,
            ..RangeRequest::default()
        };
        Ok(self.range(&request).await?.0)
    }

    /// Notes that history up to `revision` is gone.
    pub fn note_compacted(&self, revision: i64) {
        self.compacted.fetch_max(revision, Ordering::Relaxed);
    }

    /// An error where `asked` is known to be compacted: etcd can still read at the last compacted revision itself.
    pub fn check_kept(&self, asked: Revision) -> Result<(), StoreError> {
        let compacted = revision(self.compacted.load(Ordering::Relaxed));
        if asked > compacted || compacted == Revision::ZERO {
            return Ok(());
        }
        Err(StoreError::Compacted { asked, oldest: compacted.next() })
    }

    pub async fn compacted_error(&self, asked: Revision) -> StoreError {
        if let Some(compacted) = self.ask_compacted().await {
            self.note_compacted(compacted);
        }
        let known = revision(self.compacted.load(Ordering::Relaxed)).max(asked);
        StoreError::Compacted { asked, oldest: known.next() }
    }

    /// Only a watch that begins too early is told what is compacted.
    async fn ask_compacted(&self) -> Option<i64> {
        let link = self.channel.link().await.ok()?;
        let create = WatchCreateRequest { key: self.guard.clone(), start_revision: 1, ..WatchCreateRequest::default() };
        let request = WatchRequest { create: Some(create), progress: None };
        let answer = async {
            let (_requests, mut messages) = link.connection.stream(WATCH, &request, COMPACTED_ANSWER).await.ok()?;
            while let Ok(Some(response)) = messages.next::<WatchResponse>().await {
                if response.canceled {
                    return Some(response.compact_revision);
                }
            }
            None
        };
        tokio::time::timeout(COMPACTED_ANSWER, answer).await.ok()?
    }

    /// Writes a key of our own, for the revision that this takes.
    pub async fn touch(&self, key: Bytes) -> Result<Revision, Failure> {
        debug_assert!(key.windows(OWN.len()).any(|window| window == OWN));
        let put = super::proto::PutRequest { key, value: Bytes::new() };
        let success = vec![RequestOp { put: Some(put), ..RequestOp::default() }];
        let request = TxnRequest { success, ..TxnRequest::default() };
        let response: TxnResponse = self.attempt(TXN, &request, READ_ATTEMPT).await?;
        Ok(at(response.header))
    }
}

pub(super) fn at(header: Option<ResponseHeader>) -> Revision {
    revision(header.unwrap_or_default().revision)
}
