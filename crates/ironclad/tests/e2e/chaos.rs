//! kill -9 of anything at any time: containers that were not hit run on undisturbed, nothing acknowledged is lost, the
//! cluster mends itself, and nothing of the dead stays behind.
//!
//! `IRONCLAD_CHAOS_ROUNDS` asks for more kills, `IRONCLAD_CHAOS_SEED` repeats a run, `IRONCLAD_CHAOS_VICTIMS` (such as
//! `agent,shim`) spares the others, `IRONCLAD_CHAOS_NODES` makes a wider cluster.

mod world;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::typed::{Deployment, Node, Pod};
use client::kubeconfig::Kubeconfig;
use client::{Client, ListQuery, Patch};
use serde_json::{Value, json};
use stdx::{Clock, Rng, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, image};
use world::{Count, Kind, Process, processes};
use writer::Writer;

const ROUNDS: u64 = 6;
const WRITERS: usize = 2;
const COUNTERS: usize = 4;
const CHURN_MAX: u64 = 4;
const SETTLE_SECS: i64 = 120;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A counter that is not scheduled for this long on a busy machine has been disturbed.
const PAUSE_MAX_SECS: f64 = 5.0;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts, and says so on standard output and in a file: who it is, how far it is, when.
const COUNT: &str = "trap 'exit 0' TERM; id=$(cat /proc/sys/kernel/random/uuid); n=0; while :; do n=$((n+1)); \
    read up idle < /proc/uptime; echo \"$id $n $up\"; echo \"$id $n\" > /data/now; sleep 0.1; done # ";

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn deployment(name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "volumes": [{"name": "data", "emptyDir": {}}],
                    "containers": [{
                        "name": "count",
                        "image": "busybox:latest",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", format!("{COUNT}{}", world::MARK)],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                },
            },
        },
    })
}

struct Chaos {
    cluster: Cluster,
    client: Client,
    nodes: usize,
    rng: Rng,
    /// Pods whose container was killed once. A second time, the kubelet would wait before it starts it again.
    crashed: Mutex<BTreeSet<String>>,
}

/// The cluster at rest: who runs, and what each counter has come to.
struct Rest {
    processes: Vec<Process>,
    counts: BTreeMap<Process, Count>,
}

impl Chaos {
    fn now_ms() -> i64 {
        SystemClock.now().as_millisecond()
    }

    /// Waits for rest; panics with what is missing when it takes too long.
    async fn rest(&self) -> (Rest, i64) {
        let began = Self::now_ms();
        loop {
            match self.look().await {
                Ok(rest) => return (rest, Self::now_ms() - began),
                Err(why) if Self::now_ms() - began > SETTLE_SECS * 1000 => {
                    panic!("no rest within {SETTLE_SECS} s: {why}")
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn look(&self) -> Result<Rest, String> {
        let found = processes(&self.cluster);
        let of = |kind| found.iter().filter(move |process| process.kind == kind);
        let inits: Vec<&Process> = of(Kind::Init).collect();
        let roles = of(Kind::Server).count() + of(Kind::Agent).count();
        if (inits.len(), roles, of(Kind::Fabric).count()) != (self.nodes, self.nodes, 1) {
            return Err(format!("{} inits, {roles} roles", inits.len()));
        }
        let pods = self.pods_at_rest().await?;
        let counters: BTreeMap<(&str, &str), &Process> =
            of(Kind::Container).map(|process| ((process.of.as_str(), process.container.as_str()), process)).collect();
        let wanted: BTreeSet<(&str, &str)> = pods.iter().map(|(uid, id)| (uid.as_str(), id.as_str())).collect();
        let running: BTreeSet<(&str, &str)> = counters.keys().copied().collect();
        if wanted != running || of(Kind::Container).count() != wanted.len() {
            return Err(format!("the API tells of {wanted:?}, but there are {running:?}"));
        }
        let uids: BTreeSet<String> = pods.keys().cloned().collect();
        let sandboxes: BTreeSet<&str> = of(Kind::Shim).map(|shim| shim.of.as_str()).collect();
        if sandboxes.len() != uids.len() || of(Kind::Shim).count() != uids.len() {
            return Err(format!("{} shims of {sandboxes:?} for {} pods", of(Kind::Shim).count(), uids.len()));
        }
        for init in inits {
            let own = of(Kind::Shim).filter(|shim| shim.node == init.node).map(|shim| shim.of.clone()).collect();
            let leaks = world::leaks(&self.cluster, init, &uids, &own);
            if !leaks.is_empty() {
                return Err(format!("{} keeps {}", init.node, leaks.join(", ")));
            }
        }
        let mut counts = BTreeMap::new();
        for process in of(Kind::Container) {
            let count = world::count(&self.cluster, process).ok_or_else(|| format!("{process:?} does not count"))?;
            counts.insert(process.clone(), count);
        }
        Ok(Rest { processes: found.clone(), counts })
    }

    /// Every pod's UID with its container's id, once all nodes and pods are ready and deployments are as wanted.
    async fn pods_at_rest(&self) -> Result<BTreeMap<String, String>, String> {
        let failed = |error: client::Error| error.to_string();
        let all = ListQuery::default();
        let nodes = self.client.list::<Node>("", &all).await.map_err(failed)?;
        let trees: Vec<Value> = nodes.iter().map(api::typed::Typed::to_tree).collect();
        if trees.len() != self.nodes || !trees.iter().all(is_ready) {
            return Err(format!("{} nodes, not all ready", trees.len()));
        }
        let mut wanted = 0;
        for deployment in self.client.list::<Deployment>("default", &all).await.map_err(failed)? {
            let tree = api::typed::Typed::to_tree(&deployment);
            let replicas = tree["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = tree["status"]["readyReplicas"].as_u64().unwrap_or(0);
            if ready != replicas || tree["status"]["replicas"].as_u64().unwrap_or(0) != replicas {
                return Err(format!("{} of {replicas} of {} ready", ready, tree["metadata"]["name"]));
            }
            wanted += usize::try_from(replicas).unwrap_or(0);
        }
        let pods = self.client.list::<Pod>("default", &all).await.map_err(failed)?;
        let mut found = BTreeMap::new();
        for pod in &pods {
            let tree = api::typed::Typed::to_tree(pod);
            let status = &tree["status"]["containerStatuses"][0];
            let id = status["containerID"].as_str().and_then(|id| id.split_once("://")).map(|(_, id)| id);
            if !is_ready(&tree)
                || tree["metadata"]["deletionTimestamp"].is_string()
                || status["state"]["running"].is_null()
            {
                return Err(format!("pod {} is not ready: {}", tree["metadata"]["name"], tree["status"]));
            }
            let uid = tree["metadata"]["uid"].as_str().unwrap_or_default();
            found.insert(uid.to_owned(), id.unwrap_or_default().to_owned());
        }
        if found.len() != wanted {
            return Err(format!("{} pods instead of {wanted}", found.len()));
        }
        Ok(found)
    }

    /// Pods come or go while the blow falls.
    async fn churn(&self) {
        let patch = Patch::Merge(json!({"spec": {"replicas": self.rng.below(CHURN_MAX + 1)}}));
        // A server that is away is fine: then there is no churn in this round.
        let _ = self.client.patch::<Deployment>("default", "churn", &patch).await;
        tokio::time::sleep(Duration::from_millis(self.rng.below(1500))).await;
    }

    /// Each kind is as likely as another, however many processes are of it.
    fn victim(&self, kinds: &[Kind]) -> Option<Process> {
        let kind = kinds[usize::try_from(self.rng.below(kinds.len() as u64)).unwrap_or(0)];
        let mut of_kind = processes(&self.cluster);
        let mut crashed = self.crashed.lock().expect("nobody panics with it");
        of_kind.retain(|process| process.kind == kind && (kind != Kind::Container || !crashed.contains(&process.of)));
        let at = usize::try_from(self.rng.below(of_kind.len() as u64)).unwrap_or(0);
        let victim = of_kind.get(at).cloned()?;
        if kind == Kind::Container {
            crashed.insert(victim.of.clone());
        }
        Some(victim)
    }

    /// Counters that were not hit are the same processes and have counted on.
    fn check_undisturbed(before: &Rest, after: &Rest, victim: &Process, kept: &BTreeSet<String>) {
        for (counter, count) in &before.counts {
            let hit = counter == victim || (victim.kind == Kind::Init && counter.node == victim.node);
            if hit || !kept.contains(&counter.of) {
                continue;
            }
            let now = after.counts.get(counter).unwrap_or_else(|| panic!("{counter:?} was not hit, and is gone"));
            assert_eq!(now.identity, count.identity, "{counter:?} was not hit, and was started again");
            assert!(now.number > count.number, "{counter:?} was not hit, and does not count on");
        }
    }

    fn steady_pods(rest: &Rest, churned: &BTreeSet<String>) -> BTreeSet<String> {
        rest.counts.keys().map(|counter| counter.of.clone()).filter(|uid| !churned.contains(uid)).collect()
    }

    async fn churned_pods(&self) -> BTreeSet<String> {
        let query = ListQuery { labels: "app=churn".to_owned(), ..ListQuery::default() };
        let pods = self.client.list::<Pod>("default", &query).await.expect("at rest, the API answers");
        pods.into_iter().filter_map(|pod| pod.metadata.uid).collect()
    }

    fn show_sizes(&self, rest: &Rest) {
        let shown = |kind| rest.processes.iter().filter(move |process| process.kind == kind);
        for process in shown(Kind::Server).chain(shown(Kind::Agent)) {
            let (kib, fds) = world::size(process.pid);
            eprintln!("    {} {}: {} KiB, {fds} descriptors", process.kind.word(), process.pid, kib);
        }
    }

    async fn round(&self, round: u64, kinds: &[Kind]) {
        let (before, _) = self.rest().await;
        let steady = Self::steady_pods(&before, &self.churned_pods().await);
        self.churn().await;
        let Some(victim) = self.victim(kinds) else { return };
        eprintln!("round {round}: kill -9 {} {} of {} {}", victim.kind.word(), victim.pid, victim.node, victim.of);
        victim.kill();
        // Dead before anybody looks whether the cluster is at rest.
        while processes(&self.cluster).contains(&victim) {
            tokio::time::sleep(LOOK_EVERY / 25).await;
        }
        if victim.kind == Kind::Fabric {
            self.cluster.ironclad(&["start"]);
        }
        let (after, took_ms) = self.rest().await;
        eprintln!("  rest after {took_ms} ms");
        Self::check_undisturbed(&before, &after, &victim, &steady);
        self.show_sizes(&after);
    }
}

fn is_ready(tree: &Value) -> bool {
    let conditions = tree["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

async fn set_up(nodes: usize, seed: u64) -> Option<Chaos> {
    let cluster = Cluster::start("chaos", &["--nodes", &nodes.to_string()])?;
    cluster.ironclad(&["image", "load", image("busybox", "").to_str().expect("a plain path")]);
    let kubeconfig = Kubeconfig::load(&cluster.kubeconfig(), None).expect("readable");
    let transport = Arc::new(kubeconfig.transport().expect("usable"));
    let client = Client::new(transport, "chaos").with_timeout(CALL_TIMEOUT);
    for (name, replicas) in [("steady", COUNTERS), ("churn", 2)] {
        let gvr = <Deployment as api::typed::Typed>::GVR;
        client.create_object(&gvr, "default", &deployment(name, replicas)).await.expect("created");
    }
    Some(Chaos { cluster, client, nodes, rng: Rng::seeded(seed), crashed: Mutex::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_it_loses_nothing_and_mends_itself() {
    let rounds = setting("IRONCLAD_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = setting("IRONCLAD_CHAOS_SEED").unwrap_or(1);
    let named: String = setting("IRONCLAD_CHAOS_VICTIMS").unwrap_or_default();
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| named.is_empty() || named.split(',').any(|name| name == kind.word()));
    let Some(chaos) = set_up(setting("IRONCLAD_CHAOS_NODES").unwrap_or(2), seed).await else { return };
    eprintln!("seed {seed}, {rounds} rounds");
    let stop = CancellationToken::new();
    let writers: Vec<_> =
        (0..WRITERS).map(|id| tokio::spawn(Writer::new(chaos.client.clone(), id).run(stop.clone()))).collect();
    for round in 0..rounds {
        chaos.round(round, &kinds).await;
    }
    stop.cancel();
    for writer in writers {
        let writer = writer.await.expect("the writer lives");
        eprintln!("{} writes acknowledged, {} unanswered", writer.acknowledged, writer.unanswered);
        assert!(writer.acknowledged > 0, "nothing was written");
        assert_eq!(writer.wrong, Vec::<String>::new());
    }
    let (rest, _) = chaos.rest().await;
    for counter in rest.counts.keys() {
        for (identity, (pause, lost)) in world::logged(&chaos.cluster, counter) {
            eprintln!("{} {identity}: longest pause {pause:.2} s, {lost} lines lost", counter.node);
            assert!(pause < PAUSE_MAX_SECS, "{counter:?} stood still for {pause} s");
        }
    }
    let namespaces = world::net_namespaces(&chaos.cluster);
    chaos.cluster.ironclad(&["delete"]);
    assert_eq!(world::remains(&chaos.cluster, &namespaces), Vec::<String>::new());
}
