//! A fake node: it registers, renews its Lease, and answers for its pods after a while of its own choosing, as a kubelet
//! with a container runtime would.

use std::collections::BTreeSet;
use std::time::Duration;

use api::typed::{Lease, Node, Pod, Typed};
use api::{Key, Object};
use client::hub::Selection;
use client::{Client, DeleteOptions, Env, Hub, News, Patch};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LEASES: &str = "kube-node-lease";
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Between tries of a call that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Starting and stopping a pod takes up to this long.
const WORK_MS_MAX: u64 = 3000;
const STOP_MS_MAX: u64 = 5000;

#[derive(Clone)]
struct Agent {
    name: String,
    number: u64,
    client: Client,
    env: Env,
}

/// Runs the node until it is dropped, which is its death.
pub(crate) async fn run(name: String, number: u64, client: Client, env: Env) {
    let agent = Agent { name, number, client, env };
    agent.register().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(agent.clone().heartbeat());
    agent.work().await;
}

impl Agent {
    fn now(&self) -> String {
        self.env.clock.now().to_string()
    }

    async fn register(&self) {
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
        });
        loop {
            let made = self.client.create_object(&Node::GVR, "", &node).await;
            if made.is_ok() || made.is_err_and(|error| error.is_already_exists()) {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Posts the status when it differs from what the API shows, and renews the Lease for ever.
    async fn heartbeat(self) {
        loop {
            let posted = self.post_status().await;
            let renewed = self.renew().await;
            let wait = if posted && renewed { HEARTBEAT } else { RETRY };
            tokio::time::sleep(wait).await;
        }
    }

    async fn post_status(&self) -> bool {
        let Ok(node) = self.client.read(&Node::GVR, &Key::cluster(&self.name)).await else { return false };
        let conditions = node.tree().map(|tree| tree["status"]["conditions"].clone()).unwrap_or_default();
        let conditions = conditions.as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True") {
            return true;
        }
        let now = seconds(self.env.clock.now());
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now,
                "reason": "Simulated", "message": "simulated"})
        };
        let resources = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        let patch = json!({"status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [
                condition("Ready", "True"),
                condition("MemoryPressure", "False"),
                condition("DiskPressure", "False"),
                condition("PIDPressure", "False"),
            ],
        }});
        self.client.patch_object(&Node::GVR, &node.key(), "status", &Patch::Strategic(patch)).await.is_ok()
    }

    async fn renew(&self) -> bool {
        let spec = json!({"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": micros(&self.now())});
        let patch = Patch::Merge(json!({"spec": spec}));
        let key = Key::new(LEASES, &self.name);
        match self.client.patch_object(&Lease::GVR, &key, "", &patch).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": LEASES},
                    "spec": spec,
                });
                self.client.create_object(&Lease::GVR, LEASES, &lease).await.is_ok()
            }
            Err(_) => false,
        }
    }

    /// Starts pods that are new and stops those that are being deleted.
    async fn work(&self) {
        let fields = format!("spec.nodeName={}", self.name);
        let hub = Hub::builder(self.client.clone())
            .select(Pod::GVR, Selection { fields, ..Selection::default() })
            .start(&self.env);
        let mut changes = hub.changes();
        let (mut starting, mut stopping) = (BTreeSet::new(), BTreeSet::new());
        let mut tasks = JoinSet::new();
        loop {
            match changes.next().await {
                News::Resync => {
                    for pod in hub.snapshot().list(&Pod::GVR, None) {
                        self.take(pod, &mut starting, &mut stopping, &mut tasks);
                    }
                }
                News::Changed(change) => {
                    let (_, change) = &*change;
                    if let Some(pod) = &change.after {
                        self.take(pod, &mut starting, &mut stopping, &mut tasks);
                    }
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    fn take(
        &self,
        pod: &Object,
        starting: &mut BTreeSet<String>,
        stopping: &mut BTreeSet<String>,
        tasks: &mut JoinSet<()>,
    ) {
        if pod.is_deleting() {
            if stopping.insert(pod.uid().to_owned()) {
                tasks.spawn(self.clone().stop(pod.clone()));
            }
        } else if starting.insert(pod.uid().to_owned()) {
            tasks.spawn(self.clone().start(pod.clone()));
        }
    }

    async fn start(self, pod: Object) {
        tokio::time::sleep(Duration::from_millis(self.env.rng.below(WORK_MS_MAX))).await;
        let ip = format!("10.244.{}.{}", self.number, 2 + self.env.rng.below(250));
        let now = seconds(self.env.clock.now());
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let status = json!({
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"$patch": "replace"}, {"ip": ip}],
            "startTime": now,
            "conditions": [condition("Initialized"), condition("ContainersReady"), condition("Ready"), condition("PodScheduled")],
        });
        if self.say(&pod, status).await
            && let Some(code) = exit_code(&pod)
        {
            self.end(&pod, code).await;
        }
    }

    /// The pod's container ends by itself after a while.
    async fn end(&self, pod: &Object, code: i64) {
        tokio::time::sleep(Duration::from_millis(self.env.rng.below(WORK_MS_MAX))).await;
        let now = seconds(self.env.clock.now());
        let unready = |kind: &str| json!({"type": kind, "status": "False", "lastTransitionTime": now});
        let ended = json!({"exitCode": code, "startedAt": now, "finishedAt": now, "reason": "Simulated"});
        let container = json!({"name": "c", "image": "exit", "imageID": "exit", "ready": false, "restartCount": 0,
            "state": {"terminated": ended}});
        let status = json!({
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            "conditions": [unready("ContainersReady"), unready("Ready")],
            "containerStatuses": [container],
        });
        self.say(pod, status).await;
    }

    /// Writes a pod's status, as often as it takes. Whether the pod is still there.
    async fn say(&self, pod: &Object, status: Value) -> bool {
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status}));
        while let Err(error) = self.client.patch_object(&Pod::GVR, &pod.key(), "status", &patch).await {
            if error.is_not_found() || error.is_conflict() {
                return false;
            }
            tokio::time::sleep(RETRY).await;
        }
        true
    }

    async fn stop(self, pod: Object) {
        tokio::time::sleep(Duration::from_millis(self.env.rng.below(STOP_MS_MAX))).await;
        let options =
            DeleteOptions { uid: Some(pod.uid().to_owned()), grace_period_secs: Some(0), ..DeleteOptions::default() };
        while let Err(error) = self.client.delete_object(&Pod::GVR, &pod.key(), &options).await {
            if error.is_not_found() || error.is_conflict() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// An image `exit:CODE` is a program that does nothing and ends with that code; all others run for ever.
fn exit_code(pod: &Object) -> Option<i64> {
    let tree = pod.tree().ok()?;
    tree.pointer("/spec/containers/0/image")?.as_str()?.strip_prefix("exit:")?.parse().ok()
}

fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// The API's MicroTime.
fn micros(at: &str) -> Value {
    let at: Timestamp = at.parse().unwrap_or_default();
    json!(at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}
