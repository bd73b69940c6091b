//! Three control planes on etcd: any one may die at once, the API goes on, pods of other nodes do not notice, and when it
//! is back the next one may die.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::Key;
use api::typed::{ConfigMap, Deployment, Pod, Typed};
use client::kubeconfig::Kubeconfig;
use client::{Client, ListQuery, Patch};
use serde_json::{Value, json};
use stdx::{Clock, SystemClock};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, text};

const WAIT: &str = "--timeout=90s";
/// The API answers again within 2 s where nothing else uses the machine; tests may run beside compilers.
const SILENCE_MAX_MS: i64 = 15_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(20);
/// A leader that dies is replaced within some 7 s, and pods must start then.
const SCALE_MAX_SECS: i64 = 60;

fn has_etcd() -> bool {
    let found = ["/usr/bin/etcd", "/usr/local/bin/etcd", "/usr/sbin/etcd"].iter().any(|path| Path::new(path).is_file());
    if !found {
        eprintln!("skipped: there is no etcd");
    }
    found
}

fn now_ms() -> i64 {
    SystemClock.now().as_millisecond()
}

/// Reads and writes all the time; tells the longest time without an answer.
struct Probe {
    /// Of reads and of writes: when the last one was answered, and the longest time between two.
    seen: Arc<Mutex<[(i64, i64); 2]>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Probe {
    fn start(client: &Client, round: usize) -> Self {
        let seen = Arc::new(Mutex::new([(now_ms(), 0); 2]));
        let spawn = |kind: usize| {
            let (client, seen) = (client.clone().with_timeout(CALL_TIMEOUT), seen.clone());
            tokio::spawn(async move {
                for number in 0u64.. {
                    let answered = match kind {
                        0 => client.read(&ConfigMap::GVR, &Key::new("default", "kube-root-ca.crt")).await.is_ok(),
                        _ => write(&client, &format!("probe-{round}-{number}")).await,
                    };
                    if answered {
                        let now = now_ms();
                        let (last, longest) = &mut seen.lock().expect("not poisoned")[kind];
                        *longest = (*longest).max(now - *last);
                        *last = now;
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
            })
        };
        let tasks = vec![spawn(0), spawn(1)];
        Self { seen, tasks }
    }

    /// The longest silences for reads and writes, in ms.
    fn end(self) -> [i64; 2] {
        self.tasks.iter().for_each(JoinHandle::abort);
        let now = now_ms();
        let seen = *self.seen.lock().expect("not poisoned");
        seen.map(|(last, longest)| longest.max(now - last))
    }
}

async fn write(client: &Client, name: &str) -> bool {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    client.create_object(&ConfigMap::GVR, "default", &object).await.is_ok()
}

struct Planes {
    cluster: Cluster,
    client: Client,
}

impl Planes {
    /// Containers of pods that are not on one of `nodes`: who runs, and how often it was started again.
    async fn containers(&self, nodes: &[&str]) -> BTreeMap<String, String> {
        let pods = self.client.list_all(&Pod::GVR, "default", &ListQuery::default()).await.expect("pods are listed");
        let trees = pods.items.iter().map(|pod| pod.tree().expect("a pod is read"));
        let elsewhere = trees.filter(|pod| nodes.iter().all(|node| pod["spec"]["nodeName"] != **node));
        let of = |pod: &Value| {
            let status = &pod["status"]["containerStatuses"][0];
            (pod["metadata"]["name"].to_string(), format!("{} {}", status["containerID"], status["restartCount"]))
        };
        elsewhere.map(|pod| of(&pod)).collect()
    }

    fn pid(&self, prefix: &str) -> u32 {
        let output = self.cluster.command(&["status"]).output().expect("the binary runs");
        let status = text(&output.stdout);
        let line =
            status.lines().find(|line| line.starts_with(prefix)).unwrap_or_else(|| panic!("{prefix} in {status}"));
        let mut words = line.split(' ').skip_while(|word| *word != "pid");
        words.nth(1).and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("a pid in {line}"))
    }

    /// As if its plug were pulled, with nobody there to start it again.
    fn kill(&self, node: &str) {
        for pid in [self.pid("supervisor: "), self.pid(&format!("node:       {node} "))] {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        }
    }

    async fn scale(&self, replicas: usize) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let key = Key::new("default", "web");
        self.client.patch_object(&Deployment::GVR, &key, "", &patch).await.expect("scaled");
    }

    /// Waits until so many pods of the nodes that live are ready.
    async fn ready(&self, replicas: usize, but: &str) -> i64 {
        let began = now_ms();
        loop {
            let pods = self.client.list_all(&Pod::GVR, "default", &ListQuery::default()).await;
            let pods = pods.map(|page| page.items).unwrap_or_default();
            let trees = pods.iter().filter_map(|pod| pod.tree().ok()).filter(|pod| pod["spec"]["nodeName"] != but);
            let ready = trees.filter(|pod| pod["status"]["containerStatuses"][0]["ready"] == true).count();
            if ready >= replicas {
                return now_ms() - began;
            }
            assert!(now_ms() - began < SCALE_MAX_SECS * 1000, "{ready} of {replicas} pods are ready");
            tokio::time::sleep(BETWEEN * 5).await;
        }
    }

    /// `returned` came back just now: the containers that died with it may only now be started again.
    async fn round(&self, round: usize, victim: &str, returned: &str) {
        let steady = self.containers(&[victim, returned]).await;
        let before = self.containers(&[victim]).await.len();
        let probe = Probe::start(&self.client, round);
        self.kill(victim);
        // New pods on living nodes: the scheduler, the controllers, and the agent, whose API server may be the dead one.
        let agent = format!("{}-m04", self.cluster.name);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("on-agent-{round}")},
            "spec": {"nodeName": agent, "containers": [
                {"name": "c", "image": "nginx:alpine", "imagePullPolicy": "IfNotPresent"},
            ]},
        });
        while self.client.create_object(&Pod::GVR, "default", &pod).await.is_err() {
            tokio::time::sleep(BETWEEN).await;
        }
        let on_agent = self.ready(before + 1, victim).await;
        self.cluster.kubectl(&["cordon", victim]);
        self.scale(6 + 2 * (round + 1)).await;
        let scaled = self.ready(before + 3, victim).await;
        let [reads, writes] = probe.end();
        eprintln!(
            "{victim} dead: no read for {reads} ms, no write for {writes} ms; a pod on the agent after {on_agent} ms, \
             two more replicas after {scaled} ms"
        );
        assert!(reads < SILENCE_MAX_MS && writes < SILENCE_MAX_MS, "no read for {reads} ms, no write for {writes} ms");
        let after = self.containers(&[victim]).await;
        for (pod, was) in &steady {
            assert_eq!(after.get(pod), Some(was), "{pod} was disturbed");
        }
        let began = now_ms();
        self.cluster.ironclad(&["start"]);
        self.cluster.kubectl(&["uncordon", victim]);
        eprintln!("{victim} back after {} ms", now_ms() - began);
    }

    /// A control plane that the others do not reach leaves the host's connections to them.
    async fn cut_off(&self, node: &str) {
        let nft = |rules| self.cluster.ironclad(&["ssh", node, "--", "nft", rules]);
        nft("table inet cut { chain in { type filter hook input priority -300; iifname eth0 drop; }; \
             chain out { type filter hook output priority -300; oifname eth0 drop; }; }");
        let began = now_ms();
        let mut answered = 0;
        // Each call has a connection of its own.
        while answered < 20 {
            let output = self.cluster.kubectl_command(&["get", "nodes", "--request-timeout=2s"]).output();
            answered = if output.is_ok_and(|output| output.status.success()) { answered + 1 } else { 0 };
            assert!(
                now_ms() - began < SCALE_MAX_SECS * 1000,
                "a control plane that is cut off still takes connections"
            );
        }
        eprintln!("{node} cut off: all calls are answered by the others after {} ms at most", now_ms() - began);
        nft("delete table inet cut");
        self.cluster.kubectl(&["wait", "--for=condition=Ready", &format!("node/{node}"), WAIT]);
    }

    /// Waits until the service `kubernetes` leads to so many API servers: each adds itself once it serves.
    async fn lead_to(&self, servers: usize) {
        let began = now_ms();
        let path = "jsonpath={.endpoints[*].addresses[0]}";
        loop {
            let found = self.cluster.kubectl(&["get", "endpointslice", "kubernetes", "-o", path]);
            let count = found.split_whitespace().count();
            if count == servers {
                return;
            }
            assert!(now_ms() - began < SCALE_MAX_SECS * 1000, "{count} of {servers} API servers: {found}");
            tokio::time::sleep(BETWEEN * 5).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_control_plane_may_die_once_the_last_one_is_back() {
    if !has_etcd() {
        return;
    }
    let flags = ["--control-planes", "3", "--datastore", "etcd", "--nodes", "4"];
    let began = now_ms();
    let Some(cluster) = Cluster::start("planes", &flags) else { return };
    eprintln!("started in {} ms", now_ms() - began);
    cluster.load_images();
    let kubeconfig = Kubeconfig::load(&cluster.kubeconfig(), None).expect("readable");
    let client = Client::new(Arc::new(kubeconfig.transport().expect("usable")), "planes");
    cluster.kubectl(&["create", "deployment", "web", "--image=nginx:alpine", "--replicas=6"]);
    cluster.kubectl(&["rollout", "status", "deployment/web", WAIT]);
    let names = "jsonpath={range .items[*]}{.metadata.name}={.spec.holderIdentity} {end}";
    let leases = cluster.kubectl(&["get", "lease", "-n", "kube-system", "-o", names]);
    for lease in ["kube-scheduler=", "kube-controller-manager=", "apiserver-"] {
        assert!(leases.contains(lease), "{lease} in {leases}");
    }
    let planes = Planes { cluster, client };
    planes.lead_to(3).await;
    // The one that the agent prefers, then the one that leads.
    let second = format!("{}-m02", planes.cluster.name);
    planes.round(0, &second, "").await;
    let holder =
        ["get", "lease", "kube-controller-manager", "-n", "kube-system", "-o", "jsonpath={.spec.holderIdentity}"];
    let leader = planes.cluster.kubectl(&holder);
    planes.round(1, &leader, &second).await;
    planes.cut_off(&format!("{}-m03", planes.cluster.name)).await;
    // The whole of it stops and comes back, with everything in it.
    planes.cluster.ironclad(&["stop"]);
    planes.cluster.ironclad(&["start"]);
    planes.cluster.kubectl(&["get", "deployment", "web"]);
    planes.cluster.kubectl(&["wait", "--for=condition=Ready", "node", "--all", WAIT]);
    planes.lead_to(3).await;
}

#[test]
fn control_planes_that_cannot_be_are_refused() {
    let Some(cluster) = Cluster::prepare("planes-flags") else { return };
    let refused = |flags: &[&str]| cluster.ironclad_fails(&[&["start"], flags].concat()).1;
    let said = refused(&["--control-planes", "3"]);
    assert!(
        said.contains("3 control planes cannot share the embedded store") && said.contains("--datastore etcd"),
        "{said}"
    );
    let said = refused(&["--control-planes", "9", "--datastore", "etcd"]);
    assert!(said.starts_with("ironclad: a cluster cannot have 9 control planes\n"), "{said}");
    let said = refused(&["--datastore", "redis"]);
    assert!(said.starts_with("ironclad: \"redis\" is no datastore\n"), "{said}");
    let said = refused(&["--datastore", "https://127.0.0.1:2379"]);
    assert!(said.contains("--etcd-cafile"), "{said}");
}
