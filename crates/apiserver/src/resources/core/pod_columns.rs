//! `kubectl get pods`: above all the Status column, which sums up phase, conditions and containers.

use jiff::Timestamp;
use serde_json::Value;

use crate::output::age;
use crate::resource::Column;
use crate::resources::cells;
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
    Column::text("IP", "io.k8s.api.core.v1.PodStatus.podIP", |pod, _| cells::or_none(pod_ip(pod)).into()).wide(),
    Column::text("Node", "io.k8s.api.core.v1.PodSpec.nodeName", |pod, _| {
        cells::text_or(pod, "spec.nodeName", cells::NONE)
    })
    .wide(),
    Column::text("Nominated Node", "io.k8s.api.core.v1.PodStatus.nominatedNodeName", |pod, _| {
        cells::text_or(pod, "status.nominatedNodeName", cells::NONE)
    })
    .wide(),
    Column::text("Readiness Gates", "io.k8s.api.core.v1.PodSpec.readinessGates", |pod, _| gates(pod).into()).wide(),
];

fn pod_ip(pod: &Value) -> &str {
    match tree::list(pod, "status.podIPs").first() {
        Some(first) => tree::text(first, "ip"),
        None => tree::text(pod, "status.podIP"),
    }
}

fn gates(pod: &Value) -> String {
    let gates = tree::list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return cells::NONE.to_owned();
    }
    let fulfilled = |gate: &&Value| condition(pod, tree::text(gate, "conditionType"));
    format!("{}/{}", gates.iter().filter(fulfilled).count(), gates.len())
}

fn condition(pod: &Value, kind: &str) -> bool {
    let all = tree::list(pod, "status.conditions");
    all.iter().any(|condition| tree::text(condition, "type") == kind && tree::text(condition, "status") == "True")
}

#[derive(Default)]
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

/// How often containers were restarted, and when the last that was had ended.
#[derive(Clone, Default)]
struct Restarts {
    count: i64,
    last: String,
}

impl Restarts {
    fn note(&mut self, status: &Value) {
        self.count += tree::int(status, "restartCount").unwrap_or_default();
        let ended = tree::text(status, "lastState.terminated.finishedAt");
        if ended > self.last.as_str() {
            ended.clone_into(&mut self.last);
        }
    }
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = tree::text(pod, "status.phase");
        let reason = tree::text(pod, "status.reason");
        let reason = if reason.is_empty() { phase } else { reason };
        let mut summary =
            Self { total: tree::list(pod, "spec.containers").len(), reason: reason.to_owned(), ..Self::default() };
        let gated = |condition: &Value| {
            tree::text(condition, "type") == "PodScheduled" && tree::text(condition, "reason") == "SchedulingGated"
        };
        if tree::list(pod, "status.conditions").iter().any(gated) {
            summary.reason = "SchedulingGated".to_owned();
        }
        let (initializing, sidecars) = summary.init_containers(pod);
        if !initializing || condition(pod, "Initialized") {
            summary.restarts = sidecars;
            summary.containers(pod);
        }
        summary.deletion(pod, phase);
        summary
    }

    /// Whether an init container is what the pod waits for, and the restarts of those that keep running.
    fn init_containers(&mut self, pod: &Value) -> (bool, Restarts) {
        let specs = tree::list(pod, "spec.initContainers");
        let is_sidecar = |spec: &&Value| tree::text(spec, "restartPolicy") == "Always";
        self.total += specs.iter().filter(is_sidecar).count();
        let mut sidecars = Restarts::default();
        for (i, status) in tree::list(pod, "status.initContainerStatuses").iter().enumerate() {
            self.restarts.note(status);
            let side = specs.iter().filter(is_sidecar).any(|spec| spec.get("name") == status.get("name"));
            if side {
                sidecars.note(status);
            }
            let exit = tree::int(status, "state.terminated.exitCode");
            if exit == Some(0) {
                continue;
            }
            if side && tree::flag(status, "started") {
                self.ready += usize::from(tree::flag(status, "ready"));
                continue;
            }
            self.reason = match (exit, tree::text(status, "state.waiting.reason")) {
                (Some(_), _) => format!("Init:{}", terminated(status)),
                (None, "" | "PodInitializing") => format!("Init:{i}/{}", specs.len()),
                (None, reason) => format!("Init:{reason}"),
            };
            return (true, sidecars);
        }
        (false, sidecars)
    }

    fn containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in tree::list(pod, "status.containerStatuses").iter().rev() {
            self.restarts.note(status);
            let waiting = tree::text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
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
    let Restarts { count, last } = Summary::of(pod).restarts;
    if count == 0 || last.is_empty() {
        return count.to_string();
    }
    format!("{count} ({} ago)", age::since(&last, now))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    /// Ready, Status and Restarts of a pod of one container, one init container and one sidecar.
    fn check(status: Value, expected: Expect) {
        let pod = json!({
            "metadata": {}, "status": status,
            "spec": {
                "containers": [{"name": "c"}],
                "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
            },
        });
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let cells: Vec<Value> = COLUMNS[..3].iter().map(|column| (column.cell)(&pod, now)).collect();
        expected.assert_eq(&json!(cells).to_string());
    }

    #[test]
    fn a_pods_status_is_that_of_what_it_waits_for() {
        let side = json!({"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}}});
        let done = json!({"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}});
        let both = json!([side, done]);
        check(json!({"phase": "Pending"}), expect![[r#"["0/2","Pending","0"]"#]]);
        let waits = |state: Value| json!({"phase": "Pending", "initContainerStatuses": [side, {"name": "i", "restartCount": 2, "state": state}]});
        check(waits(json!({"running": {}})), expect![[r#"["1/2","Init:1/2","3 (5m ago)"]"#]]);
        check(
            waits(json!({"waiting": {"reason": "PodInitializing"}})),
            expect![[r#"["1/2","Init:1/2","3 (5m ago)"]"#]],
        );
        check(
            waits(json!({"waiting": {"reason": "CrashLoopBackOff"}})),
            expect![[r#"["1/2","Init:CrashLoopBackOff","3 (5m ago)"]"#]],
        );
        check(waits(json!({"terminated": {"exitCode": 3}})), expect![[r#"["1/2","Init:ExitCode:3","3 (5m ago)"]"#]]);
        check(
            waits(json!({"terminated": {"exitCode": 3, "signal": 9}})),
            expect![[r#"["1/2","Init:Signal:9","3 (5m ago)"]"#]],
        );
        let runs = |state: Value, ready: bool| {
            json!({"phase": "Running", "initContainerStatuses": both,
            "containerStatuses": [{"name": "c", "ready": ready, "restartCount": 3, "state": state}]})
        };
        check(runs(json!({"running": {}}), true), expect![[r#"["2/2","Running","4 (5m ago)"]"#]]);
        check(
            runs(json!({"waiting": {"reason": "ImagePullBackOff"}}), false),
            expect![[r#"["1/2","ImagePullBackOff","4 (5m ago)"]"#]],
        );
        check(
            runs(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}), false),
            expect![[r#"["1/2","Completed","4 (5m ago)"]"#]],
        );
        check(json!({"phase": "Running", "reason": "Evicted"}), expect![[r#"["0/2","Evicted","0"]"#]]);
        check(
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            expect![[r#"["0/2","SchedulingGated","0"]"#]],
        );
    }
}
