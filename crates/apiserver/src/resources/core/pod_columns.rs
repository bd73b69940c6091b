//! `kubectl get pods`: above all the Status column, which sums up phase, conditions and containers.

use jiff::Timestamp;
use serde_json::Value;

use crate::output::age;
use crate::resource::Column;
use crate::tree;

pub const COLUMNS: &[Column] = &[
    Column::text("Ready", "The aggregate readiness state of this pod for accepting traffic.", |pod, _| {
        let summary = Summary::of(pod);
        format!("{}/{}", summary.ready, summary.total).into()
    }),
    Column::text("Status", "The aggregate status of the containers in this pod.", |pod, _| {
        Summary::of(pod).reason.into()
    }),
    Column::text(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        |pod, now| restarts(pod, now).into(),
    ),
    Column::age(),
    Column::text("IP", "The address allocated to the pod.", |pod, _| or_none(pod_ip(pod)).into()).wide(),
    Column::text("Node", "The node that this pod runs on.", |pod, _| or_none(tree::text(pod, "spec.nodeName")).into())
        .wide(),
    Column::text("Nominated Node", "The node that is being made free for this pod.", |pod, _| {
        or_none(tree::text(pod, "status.nominatedNodeName")).into()
    })
    .wide(),
    Column::text("Readiness Gates", "The readiness gates that are fulfilled, of all.", |pod, _| gates(pod).into())
        .wide(),
];

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn pod_ip(pod: &Value) -> &str {
    match tree::list(pod, "status.podIPs").first() {
        Some(first) => tree::text(first, "ip"),
        None => tree::text(pod, "status.podIP"),
    }
}

fn gates(pod: &Value) -> String {
    let gates = tree::list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let fulfilled = |gate: &&Value| condition(pod, tree::text(gate, "conditionType"));
    format!("{}/{}", gates.iter().filter(fulfilled).count(), gates.len())
}

fn condition(pod: &Value, kind: &str) -> bool {
    let all = tree::list(pod, "status.conditions");
    all.iter().any(|condition| tree::text(condition, "type") == kind && tree::text(condition, "status") == "True")
}

struct Summary {
    ready: usize,
    total: usize,
    restarts: i64,
    /// When the last container that was restarted had ended.
    restarted: String,
    reason: String,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = tree::text(pod, "status.phase");
        let reason = tree::text(pod, "status.reason");
        let reason = if reason.is_empty() { phase } else { reason };
        let mut summary = Self {
            ready: 0,
            total: tree::list(pod, "spec.containers").len(),
            restarts: 0,
            restarted: String::new(),
            reason: reason.to_owned(),
        };
        let gated = |condition: &&Value| {
            tree::text(condition, "type") == "PodScheduled" && tree::text(condition, "reason") == "SchedulingGated"
        };
        if tree::list(pod, "status.conditions").iter().any(|condition| gated(&condition)) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let initializing = summary.init_containers(pod);
        if !initializing || condition(pod, "Initialized") {
            summary.containers(pod, initializing);
        }
        summary.deletion(pod, phase);
        summary
    }

    /// True while an init container is what the pod waits for.
    fn init_containers(&mut self, pod: &Value) -> bool {
        let specs = tree::list(pod, "spec.initContainers");
        let sidecar = |name: &str| {
            specs.iter().any(|spec| tree::text(spec, "name") == name && tree::text(spec, "restartPolicy") == "Always")
        };
        self.total += specs.iter().filter(|spec| tree::text(spec, "restartPolicy") == "Always").count();
        let (mut regular, mut waiting) = (0, false);
        for (i, status) in tree::list(pod, "status.initContainerStatuses").iter().enumerate() {
            let count = tree::int(status, "restartCount").unwrap_or_default();
            let side = sidecar(tree::text(status, "name"));
            if side && tree::flag(status, "ready") {
                self.ready += 1;
            }
            if waiting {
                continue;
            }
            regular += count;
            self.note_restart(status);
            if side {
                self.restarts += count;
            }
            let exit = tree::int(status, "state.terminated.exitCode");
            if exit == Some(0) || (side && tree::flag(status, "started")) {
                continue;
            }
            self.reason = match exit {
                Some(_) => format!("Init:{}", terminated(status)),
                None => match tree::text(status, "state.waiting.reason") {
                    "" | "PodInitializing" => format!("Init:{i}/{}", specs.len()),
                    reason => format!("Init:{reason}"),
                },
            };
            waiting = true;
        }
        if waiting {
            self.restarts = regular;
        }
        waiting
    }

    fn containers(&mut self, pod: &Value, initializing: bool) {
        if initializing {
            self.restarts = 0;
        }
        let mut running = false;
        for status in tree::list(pod, "status.containerStatuses").iter().rev() {
            self.restarts += tree::int(status, "restartCount").unwrap_or_default();
            self.note_restart(status);
            let waiting = tree::text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if tree::is_set(status, "state.terminated") {
                self.reason = terminated(status);
            } else if tree::flag(status, "ready") && tree::is_set(status, "state.running") {
                running = true;
                self.ready += 1;
            }
        }
        // Some containers have completed while others still run.
        if self.reason == "Completed" && running {
            self.reason = if condition(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn note_restart(&mut self, status: &Value) {
        let ended = tree::text(status, "lastState.terminated.finishedAt");
        if ended > self.restarted.as_str() {
            self.restarted = ended.to_owned();
        }
    }

    fn deletion(&mut self, pod: &Value, phase: &str) {
        if !tree::is_set(pod, "metadata.deletionTimestamp") {
            return;
        }
        if tree::text(pod, "status.reason") == "NodeLost" {
            self.reason = "Unknown".to_owned();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            self.reason = "Terminating".to_owned();
        }
    }
}

fn terminated(status: &Value) -> String {
    let reason = tree::text(status, "state.terminated.reason");
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match tree::int(status, "state.terminated.signal").filter(|signal| *signal != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!("ExitCode:{}", tree::int(status, "state.terminated.exitCode").unwrap_or_default()),
    }
}

fn restarts(pod: &Value, now: Timestamp) -> String {
    let summary = Summary::of(pod);
    if summary.restarts == 0 || summary.restarted.is_empty() {
        return summary.restarts.to_string();
    }
    format!("{} ({} ago)", summary.restarts, age::since(&summary.restarted, now))
}
