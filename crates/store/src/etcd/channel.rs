//! The way to the cluster: one connection to one member that works, and another one when it does not.
//!
//! ```text
//! down --dial: every endpoint in turn, the next one 200 ms after the last, first good one wins--> linked
//! linked --broken, no leader, or silent to a call and a probe--> down (its calls and watches end), next endpoint first
//! ```
//! A member is good when it answers `Status` and knows a leader. Failed dials back off; meanwhile calls are refused with
//! the reason of each endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stdx::Backoff;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::endpoint::{Endpoint, EtcdTls};
use super::grpc::{CallError, Code, Connection};
use super::proto::{ResponseHeader, StatusRequest, StatusResponse};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between the starts of two dials.
const STAGGER: Duration = Duration::from_millis(200);
/// A member that did not answer a call in time is asked so long whether it lives.
const PROBE_TIMEOUT: Duration = Duration::from_millis(700);
const REDIAL: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// How often the leader is looked after while an answer is missing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const NO_LEADER: &str = "has no leader (a majority of the members is lost)";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// A connection to a member that was good when it was made.
pub(super) struct Link {
    pub connection: Connection,
    pub name: String,
    /// Its answers to requests for progress can be believed.
    pub tells_progress: bool,
    index: usize,
}

struct Down {
    since: Instant,
    redial_at: Instant,
    failures: u32,
    why: String,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    next: usize,
}

pub(super) struct Channel {
    endpoints: Vec<Endpoint>,
    tls: EtcdTls,
    /// Held while dialling, so that one task does it for all.
    state: tokio::sync::Mutex<State>,
    down: Mutex<Option<Down>>,
    /// The raft term of the newest answer; it changes with the leader.
    term: AtomicU64,
}

impl Channel {
    pub fn new(endpoints: Vec<Endpoint>, tls: EtcdTls) -> Self {
        Self { endpoints, tls, state: tokio::sync::Mutex::default(), down: Mutex::default(), term: AtomicU64::new(0) }
    }

    /// How long nothing could be reached.
    pub fn outage(&self) -> Option<Duration> {
        self.with_down(|down| down.as_ref().map(|down| down.since.elapsed()))
    }

    fn with_down<T>(&self, look: impl FnOnce(&mut Option<Down>) -> T) -> T {
        look(&mut self.down.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The present link, or a new one.
    pub async fn link(&self) -> Result<Arc<Link>, String> {
        let mut state = self.state.lock().await;
        if let Some(link) = &state.link {
            if !link.connection.is_closed() {
                return Ok(link.clone());
            }
            state.next = (link.index + 1) % self.endpoints.len();
            state.link = None;
        }
        let now = Instant::now();
        let too_soon =
            |down: &mut Option<Down>| down.as_ref().filter(|down| now < down.redial_at).map(|d| d.why.clone());
        if let Some(why) = self.with_down(too_soon) {
            return Err(why);
        }
        match self.dial(state.next).await {
            Ok(link) => {
                self.with_down(|down| *down = None);
                tracing::debug!(member = link.name, "connected to etcd");
                Ok(state.link.insert(Arc::new(link)).clone())
            }
            Err(why) => {
                self.with_down(|down| {
                    let (since, failures) = down.as_ref().map_or((now, 1), |down| (down.since, down.failures + 1));
                    let redial_at = Instant::now() + REDIAL.delay(failures);
                    *down = Some(Down { since, redial_at, failures, why: why.clone() });
                });
                Err(why)
            }
        }
    }

    /// Leaves a member that should not be asked again; the next link is to another where there is one.
    pub async fn leave(&self, link: &Arc<Link>, why: &str) {
        let mut state = self.state.lock().await;
        link.connection.close();
        if state.link.as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            tracing::warn!(member = link.name, why, "leaving this member of etcd");
            state.next = (link.index + 1) % self.endpoints.len();
            state.link = None;
        }
    }

    /// What a failed call says about its member.
    pub async fn judge(&self, link: &Arc<Link>, error: &CallError) {
        match error {
            CallError::NotSent(why) => self.leave(link, why).await,
            CallError::Broken(why) if link.connection.is_closed() => self.leave(link, why).await,
            CallError::Broken(why) => {
                if let Err(silent) = status(&link.connection, PROBE_TIMEOUT).await {
                    self.leave(link, &format!("{why}; {silent}")).await;
                }
            }
            CallError::Refused(refusal) if refusal.is_of_the_member() => self.leave(link, &refusal.message).await,
            CallError::Refused(_) => {}
        }
    }

    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    pub fn note_term(&self, header: Option<&ResponseHeader>) {
        if let Some(header) = header {
            self.term.fetch_max(header.raft_term, Ordering::Relaxed);
        }
    }

    /// Completes when the leader of `term` is gone, or our member with it: what was sent to it may never be answered.
    pub async fn leader_lost(&self, term: u64) {
        while self.term() == term {
            tokio::time::sleep(LOOK_EVERY).await;
            let Ok(link) = self.link().await else { return };
            match status(&link.connection, PROBE_TIMEOUT).await {
                Ok(status) => self.note_term(status.header.as_ref()),
                Err(why) => return self.leave(&link, &why).await,
            }
        }
    }

    async fn dial(&self, first: usize) -> Result<Link, String> {
        let count = self.endpoints.len();
        let mut waiting = (0..count).map(|k| (first + k) % count);
        let (mut dials, mut reasons) = (JoinSet::new(), Vec::new());
        loop {
            match waiting.next() {
                Some(index) => drop(dials.spawn(connect(index, self.endpoints[index].clone(), self.tls.clone()))),
                None if dials.is_empty() => return Err(reasons.join("; ")),
                None => {}
            }
            match timeout(STAGGER, dials.join_next()).await {
                Err(_) | Ok(None) => {}
                Ok(Some(Ok(Ok(link)))) => return Ok(link),
                Ok(Some(Ok(Err(why)))) => reasons.push(why),
                Ok(Some(Err(error))) => reasons.push(error.to_string()),
            }
        }
    }
}

async fn connect(index: usize, endpoint: Endpoint, tls: EtcdTls) -> Result<Link, String> {
    let linked = async {
        let connection = Connection::open(&endpoint, &tls).await?;
        let version = status(&connection, CONNECT_TIMEOUT).await?.version;
        Ok(Link { connection, name: endpoint.name.clone(), tells_progress: tells_progress(&version), index })
    };
    let linked = timeout(CONNECT_TIMEOUT, linked).await.unwrap_or_else(|_| Err("does not answer".to_owned()));
    linked.map_err(|why| format!("{}: {why}", endpoint.name))
}

/// What the member says of itself, if it answers and knows a leader.
async fn status(connection: &Connection, timeout: Duration) -> Result<StatusResponse, String> {
    match connection.unary::<_, StatusResponse>(STATUS, &StatusRequest {}, timeout).await {
        Ok(status) if status.is_learner => Err("is a learner".to_owned()),
        Ok(status) if status.leader == 0 => Err(NO_LEADER.to_owned()),
        Ok(status) => Ok(status),
        // Who may not ask this may still read and write keys.
        Err(CallError::Refused(refusal)) if matches!(refusal.code, Code::PermissionDenied | Code::Unauthenticated) => {
            Ok(StatusResponse::default())
        }
        Err(CallError::Refused(refusal)) if refusal.message.contains("no leader") => Err(NO_LEADER.to_owned()),
        Err(CallError::Refused(refusal)) => Err(refusal.message),
        Err(CallError::NotSent(why) | CallError::Broken(why)) => Err(why),
    }
}

/// Older members may report a progress that overtakes events (etcd issue 15220); kube-apiserver draws the same line.
fn tells_progress(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (3, 4, patch) => patch >= 31,
        (3, 5, patch) => patch >= 13,
        (major, minor, _) => (major, minor) >= (3, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::tells_progress;

    #[test]
    fn progress_of_old_members_is_not_believed() {
        let believed = |version: &&str| tells_progress(version);
        let versions = ["", "3.4.23", "3.4.31", "3.5.12", "3.5.13", "3.5.0-rc.1", "3.6.0-alpha.0", "4.0.0"];
        let all: Vec<bool> = versions.iter().map(believed).collect();
        assert_eq!(all, [false, false, true, false, true, false, true, true]);
    }
}
