//! The node's own object and lease: registered at once, kept true from then on.
//!
//! ```text
//! start -> register (create, or take over) -> status (Ready as soon as the runtime is) -> lease every 10 s
//!             status again: on a change of what was measured, and every 5 min
//! ```

mod lease;
mod register;
pub mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::typed::{Node, Typed};
use api::{Key, Revision};
use cache::Note;
use cache::controller::{About, NoteKind};
use client::query::Patch;
use cri::v1;
use serde_json::{Value, json};
use stdx::Backoff;
use tokio::sync::watch;

use crate::config::Gauges;
use crate::gc;
use crate::shared::Shared;
use client::follow::{Follow, View};

const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(7));
/// How often what has no event of its own (memory, disk, processes) is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// How often the status is written when it stays the same.
const REPORT_EVERY: Duration = Duration::from_secs(300);
const IMAGES_MAX: usize = 50;

/// Keeps the node's object true.
pub async fn run(shared: Arc<Shared>, node: Arc<Follow>) {
    note(&shared, "Starting", "Starting kubelet.".to_owned());
    let mut failures = 0;
    while let Err(error) = register::register(&shared).await {
        failures += 1;
        tracing::debug!("cannot register the node: {error}");
        tokio::time::sleep(RETRY.delay(failures)).await;
    }
    let beat = lease::keep(Arc::clone(&shared));
    let tell = keep_status(&shared, node.subscribe());
    tokio::join!(beat, tell);
}

/// Records an event about the node.
fn note(shared: &Shared, reason: &'static str, message: String) {
    let name = &shared.config.node_name;
    let about = About {
        api_version: String::new().into(),
        kind: "Node".into(),
        key: Key::cluster(name),
        uid: name.as_str().into(),
        field_path: None,
    };
    shared.recorder.record(Note { about, kind: NoteKind::Normal, reason: reason.into(), message });
}

async fn keep_status(shared: &Shared, mut node: watch::Receiver<View>) {
    let mut told: Option<Value> = None;
    let mut pod_cidr = String::new();
    let mut reported = tokio::time::Instant::now();
    let mut written = Revision::ZERO;
    let (mut failures, mut unready) = (0, 0);
    loop {
        let cidr = cidr_of(&node.borrow_and_update(), &shared.config.node_name);
        hand_over_cidr(shared, cidr, &mut pod_cidr).await;
        if is_contradicted(&node.borrow(), &shared.config.node_name, told.as_ref(), written) {
            told = None;
        }
        let status = measure(shared, told.as_ref()).await;
        // The runtime has no event for becoming ready: a node that starts looks again soon, then less and less often.
        unready = if is_ready(&status) { 0 } else { unready + 1 };
        let due = told.as_ref() != Some(&status) || reported.elapsed() >= REPORT_EVERY;
        if due {
            match write(shared, &status).await {
                Ok(revision) => {
                    announce(shared, told.as_ref(), &status);
                    written = revision;
                    (told, reported, failures) = (Some(status), tokio::time::Instant::now(), 0);
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!("cannot write the node's status: {error}");
                }
            }
        }
        let wait = match failures.max(unready) {
            0 => MEASURE_EVERY,
            tries => RETRY.delay(tries),
        };
        gc::images(shared).await;
        let changed = async {
            loop {
                if node.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let view = node.borrow();
                let name = &shared.config.node_name;
                if cidr_of(&view, name) != pod_cidr || is_contradicted(&view, name, told.as_ref(), written) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn is_ready(status: &Value) -> bool {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn cidr_of(view: &View, name: &str) -> String {
    let node = view.table.get(&Key::cluster(name)).and_then(|object| object.typed::<Node>().ok());
    node.and_then(|node| node.spec?.pod_cidr).unwrap_or_default()
}

/// Whether somebody has said otherwise since we wrote: the node lifecycle controller makes conditions Unknown while a
/// node is silent, and they are ours again as soon as it is back.
fn is_contradicted(view: &View, name: &str, told: Option<&Value>, written: Revision) -> bool {
    let (Some(told), Some(node)) = (told, view.table.get(&Key::cluster(name))) else { return false };
    // What is older than our write says nothing about it.
    if node.revision() <= written {
        return false;
    }
    let seen = node.tree().map(|tree| statuses(&tree["status"])).unwrap_or_default();
    statuses(told).iter().any(|(kind, status)| seen.get(kind).is_some_and(|seen| seen != status))
}

/// Conditions' statuses by type.
fn statuses(status: &Value) -> BTreeMap<String, String> {
    let list = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let text = |condition: &Value, key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    list.map(|condition| (text(condition, "type"), text(condition, "status"))).collect()
}

/// Tells the runtime the node's pod CIDR once it is assigned.
async fn hand_over_cidr(shared: &Shared, cidr: String, told: &mut String) {
    if cidr.is_empty() || cidr == *told {
        return;
    }
    let network_config = Some(v1::NetworkConfig { pod_cidr: cidr.clone() });
    let request = v1::UpdateRuntimeConfigRequest { runtime_config: Some(v1::RuntimeConfig { network_config }) };
    match shared.deps.runtime.update_runtime_config(request).await {
        Ok(()) => *told = cidr,
        Err(error) => tracing::warn!("the runtime does not take the pod CIDR: {error}"),
    }
}

/// The status as it is now; times of what did not change are kept from `told`.
async fn measure(shared: &Shared, told: Option<&Value>) -> Value {
    let runtime = &*shared.deps.runtime;
    let gauges: Gauges = shared.deps.machine.gauges(&shared.config.root).unwrap_or_else(|error| {
        tracing::debug!("cannot measure the machine: {error}");
        Gauges::default()
    });
    let runtime_status = runtime.status(v1::StatusRequest { verbose: false }).await;
    let version = runtime.version().await.unwrap_or_default();
    let images = runtime.list_images(v1::ListImagesRequest { filter: None }).await.unwrap_or_default().images;
    status::status(&status::Input {
        config: &shared.config,
        facts: &shared.machine,
        gauges: &gauges,
        runtime: runtime_status.as_ref(),
        version: &version,
        images: &images,
        images_max: IMAGES_MAX,
        allocatable_millis: &shared.allocatable_millis,
        told,
        now: shared.now(),
    })
}

/// The revision that the write made.
async fn write(shared: &Shared, status: &Value) -> client::Result<Revision> {
    let mut status = status.clone();
    let now = json!(crate::status::conditions::whole_seconds(shared.now()).to_string());
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        condition["lastHeartbeatTime"] = now.clone();
    }
    // Addresses merge by type upstream; the whole list is meant.
    if let Some(addresses) = status.get_mut("addresses").and_then(Value::as_array_mut) {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    let patch = Patch::Strategic(json!({"status": status}));
    let key = Key::cluster(&shared.config.node_name);
    match shared.client.patch_object(&Node::GVR, &key, "status", &patch).await {
        Err(error) if error.is_not_found() => register::register(shared).await.map(|()| Revision::ZERO),
        Err(error) => Err(error),
        Ok(node) => Ok(node.revision()),
    }
}

/// Events of conditions that changed, as upstream tells them.
fn announce(shared: &Shared, told: Option<&Value>, now: &Value) {
    let before = told.map(statuses).unwrap_or_default();
    for (kind, status) in statuses(now) {
        let was = before.get(&kind);
        if was == Some(&status) {
            continue;
        }
        let name = &shared.config.node_name;
        let reason = match (kind.as_str(), status.as_str()) {
            ("Ready", "True") => "NodeReady",
            ("Ready", _) if was.is_some() => "NodeNotReady",
            ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
            ("MemoryPressure", _) => "NodeHasSufficientMemory",
            ("DiskPressure", "True") => "NodeHasDiskPressure",
            ("DiskPressure", _) => "NodeHasNoDiskPressure",
            ("PIDPressure", "True") => "NodeHasInsufficientPID",
            ("PIDPressure", _) => "NodeHasSufficientPID",
            _ => continue,
        };
        note(shared, reason, format!("Node {name} status is now: {reason}"));
    }
}
