//! Requests in closed loops, and whole collections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Figure;
use super::connection::{Ask, Connection};
use super::stand::{NAMESPACE, Stand};
use crate::{median, mib, quantile};

const PODS: usize = 10_000;
/// Clients that make what a workload needs.
const MAKERS: usize = 16;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    ConfigMap,
    Pod,
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Get,
    Patch,
    /// A PUT at the revision of the client's last answer, as a kubelet renews its Lease.
    Renew,
    Delete,
}

impl Kind {
    fn collection(self) -> String {
        match self {
            Self::ConfigMap => format!("/api/v1/namespaces/{NAMESPACE}/configmaps"),
            Self::Pod => format!("/api/v1/namespaces/{NAMESPACE}/pods"),
            Self::Lease => format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"),
        }
    }

    /// The shapes that benchmarks of schedulers use: a small map, a pod of one container, a lease.
    fn object(self, number: usize, revision: &str) -> Bytes {
        let name = format!("obj-{number}");
        let metadata = json!({"name": name, "labels": {"app": "bench"}});
        let resources = json!({"cpu": "100m", "memory": "256Mi"});
        let object = match self {
            Self::ConfigMap => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                "data": {"payload": "x".repeat(100)}}),
            Self::Pod => json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{
                "name": "pause", "image": "registry.k8s.io/pause:3.10", "ports": [{"containerPort": 80}],
                "resources": {"requests": resources, "limits": resources}}]}}),
            Self::Lease => json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "resourceVersion": revision},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
                    "renewTime": format!("2026-01-01T00:00:00.{:06}Z", revision.parse().unwrap_or(0) % 1_000_000)}}),
        };
        object.to_string().into()
    }
}

/// A closed loop that is the same for each of its clients.
#[derive(Clone, Copy)]
struct Loop {
    verb: Verb,
    kind: Kind,
    count: usize,
    /// How many objects there are before.
    made: usize,
}

impl Loop {
    fn ask(&self, turn: usize, client: usize, revision: &str) -> Ask {
        let object = |number: usize| format!("{}/obj-{number}", self.kind.collection());
        // A fixed odd stride visits the objects in a scattered but repeatable order.
        let scattered = turn.wrapping_mul(2_654_435_761) % self.made.max(1);
        match self.verb {
            Verb::Create => Ask::post(self.kind.collection(), self.kind.object(self.made + turn, "")),
            Verb::Get => Ask::get(object(scattered)),
            Verb::Patch => {
                let patch = json!({"metadata": {"annotations": {"bench/turn": turn.to_string()}}}).to_string();
                let content_type = "application/merge-patch+json";
                Ask { method: Method::PATCH, path: object(scattered), content_type, body: patch.into() }
            }
            Verb::Renew => {
                let ask = Ask::post(object(client), self.kind.object(client, revision));
                Ask { method: Method::PUT, ..ask }
            }
            Verb::Delete => {
                let ask = Ask::post(object(self.made - 1 - turn), r#"{"gracePeriodSeconds":0}"#);
                Ask { method: Method::DELETE, ..ask }
            }
        }
    }

    /// One client's part: the times of its requests.
    async fn client(self, mut connection: Connection, me: usize, next: Arc<AtomicUsize>) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        let mut revision = String::new();
        if self.verb == Verb::Renew {
            let first = connection.must(Ask::get(format!("{}/obj-{me}", self.kind.collection()))).await?;
            revision = revision_of(&first);
        }
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= self.count {
                return Ok(times);
            }
            let ask = self.ask(turn, me, &revision);
            let began = Instant::now();
            let answer = connection.must(ask).await?;
            times.push(began.elapsed());
            if self.verb == Verb::Renew {
                revision = revision_of(&answer);
            }
        }
    }

    async fn run(self, stand: &mut Stand, clients: usize) -> Result<Measured> {
        let connections = stand.connect_all(clients).await?;
        let next = Arc::new(AtomicUsize::new(0));
        let (cpu, began) = (stand.cpu(), Instant::now());
        let mut tasks = JoinSet::new();
        for (me, connection) in connections.into_iter().enumerate() {
            tasks.spawn(self.client(connection, me, next.clone()));
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.extend(done??);
        }
        let (wall, cpu) = (began.elapsed(), stand.cpu() - cpu);
        let made = &mut stand.made[self.kind as usize];
        match self.verb {
            Verb::Create => *made += self.count,
            Verb::Delete => *made -= self.count,
            Verb::Get | Verb::Patch | Verb::Renew => {}
        }
        Ok(Measured { times, wall, cpu })
    }
}

struct Measured {
    times: Vec<Duration>,
    wall: Duration,
    cpu: Duration,
}

/// The metadata's resourceVersion, without decoding the whole object.
fn revision_of(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let rest = text.split_once(r#""resourceVersion":""#).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// `count` requests by so many clients, each sending its next one when the last is answered.
pub async fn requests(stand: &mut Stand, verb: Verb, kind: Kind, clients: usize, count: usize) -> Result<Figure> {
    let wanted = match verb {
        Verb::Create => 0,
        Verb::Renew => clients,
        Verb::Get | Verb::Patch | Verb::Delete => count.min(8000),
    };
    make(stand, kind, wanted).await?;
    let made = stand.made[kind as usize];
    let Measured { times, wall, cpu } = Loop { verb, kind, count, made }.run(stand, clients).await?;
    let millis = |percent| quantile(&times, percent).as_secs_f64() * 1000.0;
    let rate = rate(count, wall);
    let text = format!("{rate:.0}/s, p50 {:.2} ms, p99 {:.1} ms", millis(50), millis(99));
    Ok(Figure { text, cpu: Some(per(cpu, count)) })
}

/// Makes objects until there are so many.
async fn make(stand: &mut Stand, kind: Kind, wanted: usize) -> Result<()> {
    let made = stand.made[kind as usize];
    if made >= wanted {
        return Ok(());
    }
    Loop { verb: Verb::Create, kind, count: wanted - made, made }.run(stand, MAKERS).await?;
    Ok(())
}

pub async fn memory_with_pods(stand: &mut Stand) -> Result<Figure> {
    make(stand, Kind::Pod, PODS).await?;
    Ok(Figure { text: format!("{:.0} MiB", mib(stand.memory()?)), cpu: None })
}

pub async fn restart_with_pods(stand: &mut Stand) -> Result<Figure> {
    make(stand, Kind::Pod, PODS).await?;
    let (time, cpu) = stand.restart().await?;
    let memory = mib(stand.memory()?);
    Ok(Figure { text: format!("{} ms, {memory:.0} MiB after it", time.as_millis()), cpu: Some(cpu) })
}

/// Whole lists of all pods, one after the other.
pub async fn list(stand: &mut Stand, query: &str, count: usize) -> Result<Figure> {
    make(stand, Kind::Pod, PODS).await?;
    let mut connection = stand.connect().await?;
    let path = format!("/api/v1/pods{query}");
    let (cpu, mut times, mut bytes) = (stand.cpu(), Vec::new(), 0);
    for _ in 0..count {
        let began = Instant::now();
        bytes = connection.drain(Ask::get(&path)).await?;
        times.push(began.elapsed());
    }
    let time = median(&times);
    let objects = rate(PODS, time);
    let text = match query {
        "" => {
            format!("{objects:.0} objects/s, {:.0} ms, {:.1} MiB", time.as_secs_f64() * 1000.0, mib(bytes as u64))
        }
        _ => format!("{:.2} ms", time.as_secs_f64() * 1000.0),
    };
    Ok(Figure { text, cpu: Some(per(stand.cpu() - cpu, count)) })
}

pub async fn delete_collection(stand: &mut Stand) -> Result<Figure> {
    make(stand, Kind::Pod, PODS).await?;
    let mut connection = stand.connect().await?;
    let (cpu, began) = (stand.cpu(), Instant::now());
    let ask = Ask::post(Kind::Pod.collection(), r#"{"gracePeriodSeconds":0}"#);
    connection.drain(Ask { method: Method::DELETE, ..ask }).await?;
    let deleted = std::mem::take(&mut stand.made[Kind::Pod as usize]);
    let text = format!("{:.0}/s", rate(deleted, began.elapsed()));
    Ok(Figure { text, cpu: Some(per(stand.cpu() - cpu, deleted)) })
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

pub fn per(cpu: Duration, count: usize) -> Duration {
    cpu / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}
