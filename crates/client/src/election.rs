//! Leader election by a Lease: of several replicas of a component, one acts.
//!
//! ```text
//! follower --(Lease free, or not renewed for its duration)--> leader --(cannot renew in time, or lost)--> ended
//! ```
//! A holder's silence is timed by our own timer from when we saw its last renewal, never by comparing clocks. One that
//! stops in order gives the Lease back, so that another need not wait. Used only where several control planes run.

use std::time::Duration;

use api::typed::{Lease, Typed};
use api::{Key, Object};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::env::Env;
use crate::error::Result;

/// How long giving the Lease back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a lead lasts.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Who is silent for so long has lost the lead.
    pub duration: Duration,
    /// Who could not renew for so long stops acting; shorter than `duration`.
    pub renew_deadline: Duration,
    /// Between two tries to take or renew.
    pub retry: Duration,
}

impl Timing {
    /// Upstream's: a dead leader is replaced after some 16 s.
    pub const USUAL: Self = Self::secs(15, 10, 2);
    /// For control planes that are near each other: after some 6 s.
    pub const QUICK: Self = Self::secs(6, 4, 1);

    const fn secs(duration: u64, renew_deadline: u64, retry: u64) -> Self {
        Self {
            duration: Duration::from_secs(duration),
            renew_deadline: Duration::from_secs(renew_deadline),
            retry: Duration::from_secs(retry),
        }
    }
}

/// One replica's part in an election.
pub struct Election {
    pub client: Client,
    /// Of the Lease, such as `kube-system/kube-scheduler`.
    pub lease: Key,
    /// Unique among the replicas. One that comes back under its former identity leads at once if nobody took over.
    pub identity: String,
    pub timing: Timing,
    pub env: Env,
}

/// A holder as it was seen, and when we saw it first.
struct Seen {
    renewal: (String, String),
    since: Instant,
}

impl Election {
    /// Runs `work` for as long as this replica leads, and again when it leads again, until `stop`.
    pub async fn lead<F: Future<Output = ()>>(&self, stop: &CancellationToken, work: impl Fn() -> F) {
        while stop.run_until_cancelled(self.win()).await.is_some() {
            tracing::info!(identity = self.identity, "leads by lease {}", self.lease);
            let lost = async {
                tokio::select! {
                    biased;
                    () = self.keep() => {}
                    () = work() => {}
                }
            };
            if stop.run_until_cancelled(lost).await.is_none() {
                let _ = tokio::time::timeout(RELEASE_TIMEOUT, self.release()).await;
                return;
            }
            tracing::warn!(identity = self.identity, "no longer leads by lease {}", self.lease);
        }
    }

    /// Waits until this replica leads.
    pub async fn win(&self) {
        let mut seen: Option<Seen> = None;
        loop {
            match self.try_take(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::debug!("cannot take lease {}: {error}", self.lease),
            }
            let spread = self.env.rng.below(u64::try_from(self.timing.retry.as_millis() / 4).unwrap_or(0) + 1);
            tokio::time::sleep(self.timing.retry + Duration::from_millis(spread)).await;
        }
    }

    /// Keeps the lead; returns when it is lost, or could not be renewed in time. Whoever acts must stop then.
    pub async fn keep(&self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let attempt = tokio::time::timeout_at(renewed + self.timing.renew_deadline, self.renew()).await;
            match attempt {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::debug!("cannot renew lease {}: {error}", self.lease),
                Err(_) => return,
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                return;
            }
        }
    }

    async fn try_take(&self, seen: &mut Option<Seen>) -> Result<bool> {
        let found = match self.client.read(&Lease::GVR, &self.lease).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return self.create().await,
            Err(error) => return Err(error),
        };
        let tree = found.tree()?;
        let text = |field: &str| tree["spec"][field].as_str().unwrap_or_default().to_owned();
        let holder = text("holderIdentity");
        let renewal = (holder.clone(), text("renewTime"));
        let since = match seen {
            Some(known) if known.renewal == renewal => known.since,
            _ => seen.insert(Seen { renewal, since: Instant::now() }).since,
        };
        let secs = tree["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(self.timing.duration.as_secs());
        if !holder.is_empty() && holder != self.identity && since.elapsed() < Duration::from_secs(secs) {
            return Ok(false);
        }
        self.write(&found, tree, holder != self.identity).await
    }

    async fn create(&self) -> Result<bool> {
        let now = micros(self.env.clock.now());
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": &*self.lease.name, "namespace": &*self.lease.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.timing.duration.as_secs(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        });
        match self.client.create_object(&Lease::GVR, &self.lease.namespace, &lease).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, if it is still ours.
    async fn release(&self) -> Result<()> {
        let found = self.client.read(&Lease::GVR, &self.lease).await?;
        let mut tree = found.tree()?;
        if tree["spec"]["holderIdentity"].as_str() != Some(&self.identity) {
            return Ok(());
        }
        tree["spec"]["holderIdentity"] = json!("");
        tree["spec"]["leaseDurationSeconds"] = json!(1);
        tree["spec"]["renewTime"] = json!(micros(self.env.clock.now()));
        self.client.update_object(&Lease::GVR, &found.key(), "", &tree).await.map(drop)
    }

    /// Whether the lease is still ours, with a renewal written.
    async fn renew(&self) -> Result<bool> {
        let found = self.client.read(&Lease::GVR, &self.lease).await?;
        let tree = found.tree()?;
        if tree["spec"]["holderIdentity"].as_str() != Some(&self.identity) {
            return Ok(false);
        }
        self.write(&found, tree, false).await
    }

    /// Writes us as the holder over exactly the lease that was read; `false` if somebody was faster.
    async fn write(&self, found: &Object, mut tree: Value, is_new: bool) -> Result<bool> {
        let now = micros(self.env.clock.now());
        tree["spec"]["holderIdentity"] = json!(self.identity);
        tree["spec"]["leaseDurationSeconds"] = json!(self.timing.duration.as_secs());
        tree["spec"]["renewTime"] = json!(now);
        if is_new {
            tree["spec"]["acquireTime"] = json!(now);
            let transitions = tree["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
            tree["spec"]["leaseTransitions"] = json!(transitions + 1);
        }
        match self.client.update_object(&Lease::GVR, &found.key(), "", &tree).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The API's MicroTime.
fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
