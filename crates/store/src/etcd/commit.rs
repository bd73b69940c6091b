//! A commit as one etcd transaction, and what is done when its answer is lost.
//!
//! ```text
//! compare: preconditions, and the guard's revision | then: the writes | else: read the keys of the preconditions
//! answered --> done, or Conflict with the present entry
//! lost     --> settle: write the guard and read the keys, in one transaction
//!              a key carries our number --> it was done, at that key's revision
//!              preconditions still hold  --> it was not and, since the guard moved, never will be: try again
//!              otherwise                 --> InDoubt: somebody wrote over what we would look for
//! ```
//! The guard is a key that only this process writes. After it was written, no transaction of before can take effect
//! any more, not even one that sleeps in a paused member; those that are under way fail on it and are tried anew.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::client::{Client, TXN, at};
use super::failure::Failure;
use super::keys::{commit_of, number, revision, tailed};
use super::proto::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest,
    TxnResponse,
};
use crate::ledger::key_of;
use crate::{Commit, Precondition, Revision, StoreError, Write};

/// How long a transaction may take before its answer counts as lost.
const ATTEMPT: Duration = Duration::from_secs(4);
/// What a commit gets in all.
const DEADLINE: Duration = Duration::from_secs(10);
/// What settling a doubt gets at least, however late it is.
const SETTLE: Duration = Duration::from_secs(4);

struct Expected {
    key: Bytes,
    /// Zero where it must not exist.
    at: i64,
}

struct Plan {
    /// Drawn by chance; in the tail of every value.
    number: u64,
    expected: Vec<Expected>,
    puts: Vec<Bytes>,
    writes: Vec<RequestOp>,
    written: HashSet<Bytes>,
}

enum Answer {
    Done(Revision),
    Conflict(StoreError),
    /// Another commit's doubt was settled meanwhile.
    GuardMoved,
}

enum Settled {
    Done(Revision),
    NotDone,
    InDoubt,
}

pub(super) async fn commit(client: &Client, commit: Commit) -> Result<Revision, StoreError> {
    let plan = Plan::new(client, commit);
    let deadline = Instant::now() + DEADLINE;
    let mut last = String::new();
    for failures in 1.. {
        let sent = timeout_at(deadline, send(client, &plan.request(client))).await;
        let failure = match sent {
            Ok(Ok(response)) => match plan.answer(client, response) {
                Answer::Done(revision) => return Ok(revision),
                Answer::Conflict(error) => return Err(error),
                Answer::GuardMoved => Failure::NotDone("other writes were in doubt".to_owned()),
            },
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Unknown("no answer in time".to_owned()),
        };
        match failure {
            Failure::NotDone(why) => last = why,
            Failure::Unknown(why) => match settle(client, &plan, deadline.max(Instant::now() + SETTLE)).await {
                Settled::Done(revision) => return Ok(revision),
                Settled::NotDone => last = why,
                Settled::InDoubt => return Err(StoreError::InDoubt(why)),
            },
            Failure::Final(error) => return Err(error),
            Failure::Compacted | Failure::Future => return Err(StoreError::Io("a write met a bad revision".into())),
        }
        if !client.may_try_again(failures, deadline).await {
            break;
        }
    }
    Err(StoreError::Unavailable(last))
}

/// One try. It does not wait for an answer that is lost with the leader: etcd itself would say so only after 7 s.
async fn send(client: &Client, request: &TxnRequest) -> Result<TxnResponse, Failure> {
    let term = client.channel.term();
    tokio::select! {
        biased;
        answer = client.attempt::<_, TxnResponse>(TXN, request, ATTEMPT) => {
            if let Ok(response) = &answer {
                client.channel.note_term(response.header.as_ref());
            }
            answer
        }
        () = client.channel.leader_lost(term) => Err(Failure::Unknown("etcd's leader was lost".to_owned())),
    }
}

impl Plan {
    fn new(client: &Client, commit: Commit) -> Self {
        let outer = |key: &[u8]| client.keys.outer(key);
        let expected = commit.preconditions.iter().map(|precondition| match precondition {
            Precondition::Absent(key) => Expected { key: outer(key), at: 0 },
            Precondition::ModifiedAt(key, revision) => Expected { key: outer(key), at: number(*revision) },
        });
        let mut plan = Self {
            number: client.rng.next_u64(),
            expected: expected.collect(),
            puts: Vec::new(),
            writes: Vec::new(),
            written: HashSet::new(),
        };
        // etcd refuses two writes of one key; the later one counts.
        for write in commit.writes.iter().rev() {
            let key = outer(key_of(write));
            if !plan.written.insert(key.clone()) {
                continue;
            }
            plan.writes.push(match write {
                Write::Put(_, value) => {
                    plan.puts.push(key.clone());
                    let put = PutRequest { key, value: tailed(value, plan.number) };
                    RequestOp { put: Some(put), ..RequestOp::default() }
                }
                Write::Delete(_) => {
                    RequestOp { delete_range: Some(DeleteRangeRequest { key }), ..RequestOp::default() }
                }
            });
        }
        plan.writes.reverse();
        plan
    }

    fn request(&self, client: &Client) -> TxnRequest {
        let guarded_at = client.guarded_at.load(Ordering::Acquire);
        let guard = Compare::modified_at(client.guard.clone(), guarded_at);
        let compare = self.expected.iter().map(|expected| Compare::modified_at(expected.key.clone(), expected.at));
        let failure = self.expected.iter().map(|expected| read(expected.key.clone()));
        TxnRequest {
            compare: std::iter::once(guard).chain(compare).collect(),
            success: self.writes.clone(),
            failure: failure.chain([read(client.guard.clone())]).collect(),
        }
    }

    fn answer(&self, client: &Client, response: TxnResponse) -> Answer {
        if response.succeeded {
            return Answer::Done(at(response.header));
        }
        for (expected, op) in self.expected.iter().zip(&response.responses) {
            let found = found(op);
            if found.map_or(0, |kv| kv.mod_revision) != expected.at {
                let key = client.keys.inner(&expected.key).into();
                let current = found.map(|kv| client.keys.entry(kv));
                return Answer::Conflict(StoreError::Conflict { key, current });
            }
        }
        let guard = response.responses.last().and_then(found).map_or(0, |kv| kv.mod_revision);
        client.guarded_at.fetch_max(guard, Ordering::AcqRel);
        Answer::GuardMoved
    }

    /// What the keys, read after the guard was written, say about this commit.
    fn judge(&self, keys: &[Bytes], responses: &[ResponseOp]) -> Settled {
        let found: Vec<_> = keys.iter().zip(responses.iter().map(found)).collect();
        let ours = |kv: &&KeyValue| commit_of(&kv.value) == Some(self.number);
        if let Some(kv) = found.iter().filter_map(|(_, kv)| *kv).find(ours) {
            return Settled::Done(revision(kv.mod_revision));
        }
        // A precondition on a key that the commit writes cannot hold after it.
        let holds = |expected: &Expected| {
            let kv = found.iter().find(|(key, _)| **key == expected.key).and_then(|(_, kv)| *kv);
            self.written.contains(&expected.key) && kv.map_or(0, |kv| kv.mod_revision) == expected.at
        };
        if self.writes.is_empty() || self.expected.iter().any(holds) { Settled::NotDone } else { Settled::InDoubt }
    }
}

async fn settle(client: &Client, plan: &Plan, deadline: Instant) -> Settled {
    let keys: Vec<Bytes> = plan.written.iter().cloned().collect();
    let guard = PutRequest { key: client.guard.clone(), value: Bytes::new() };
    let guard = RequestOp { put: Some(guard), ..RequestOp::default() };
    let success = std::iter::once(guard).chain(keys.iter().cloned().map(read)).collect();
    let request = TxnRequest { success, ..TxnRequest::default() };
    for failures in 1.. {
        match timeout_at(deadline, send(client, &request)).await {
            Ok(Ok(response)) => {
                client.guarded_at.fetch_max(number(at(response.header)), Ordering::AcqRel);
                return plan.judge(&keys, response.responses.get(1..).unwrap_or_default());
            }
            Ok(Err(Failure::NotDone(why) | Failure::Unknown(why))) => {
                tracing::debug!(why, "cannot settle a commit yet")
            }
            Ok(Err(failure)) => {
                tracing::warn!(?failure, "cannot settle a commit");
                return Settled::InDoubt;
            }
            Err(_) => return Settled::InDoubt,
        }
        if !client.may_try_again(failures, deadline).await {
            return Settled::InDoubt;
        }
    }
    Settled::InDoubt
}

fn read(key: Bytes) -> RequestOp {
    RequestOp { range: Some(RangeRequest { key, ..RangeRequest::default() }), ..RequestOp::default() }
}

fn found(op: &ResponseOp) -> Option<&KeyValue> {
    op.range.as_ref().and_then(|range: &RangeResponse| range.kvs.first())
}
