//! A pod's conditions as the kubelet owns them: PodReadyToStartContainers, Initialized, Ready, ContainersReady,
//! PodScheduled. Those of others (readiness gates) are read, never written.

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Input;
use crate::pod::Role;

struct Finding {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Finding {
    fn is(status: bool) -> Self {
        Self { status, reason: None, message: None }
    }

    fn lacks(reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: false, reason: Some(reason), message: Some(message).filter(|message| !message.is_empty()) }
    }
}

pub fn conditions(input: &Input<'_>, status: &core::PodStatus) -> Vec<core::PodCondition> {
    let phase = status.phase.as_deref().unwrap_or_default();
    let containers = containers_ready(input, status, phase);
    let ready = ready(input, &containers);
    let network = input.pod.is_host_network() || !input.observed.addresses().is_empty();
    let sandbox = Finding::is(input.observed.ready_sandboxes().next().is_some() && network);
    [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(input, status, phase)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Finding::is(true)),
    ]
    .into_iter()
    .map(|(kind, finding)| condition(input, kind, finding))
    .collect()
}

fn condition(input: &Input<'_>, kind: &str, finding: Finding) -> core::PodCondition {
    let status = if finding.status { "True" } else { "False" };
    let old = told(input.previous, kind).filter(|old| old.status == status);
    core::PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.map(str::to_owned),
        message: finding.message,
        last_transition_time: old.and_then(|old| old.last_transition_time.clone()).or(Some(Time(input.now))),
        last_probe_time: None,
        observed_generation: input.pod.get().metadata.generation,
    }
}

fn told<'a>(status: Option<&'a core::PodStatus>, kind: &str) -> Option<&'a core::PodCondition> {
    status?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn initialized(input: &Input<'_>, status: &core::PodStatus, phase: &str) -> Finding {
    let statuses = status.init_container_statuses.iter().flatten();
    let open: Vec<&str> = input
        .pod
        .init_containers()
        .zip(statuses)
        .filter(|(container, told)| match container.role {
            Role::Sidecar => told.started != Some(true),
            _ => !told.ready,
        })
        .map(|(_, told)| told.name.as_str())
        .collect();
    if phase == "Succeeded" {
        return Finding { status: true, reason: Some("PodCompleted"), message: None };
    }
    let app_started = status.container_statuses.iter().flatten().any(|told| told.container_id.is_some());
    if open.is_empty() || app_started {
        return Finding::is(true);
    }
    Finding::lacks("ContainersNotInitialized", format!("containers with incomplete status: [{}]", open.join(" ")))
}

fn containers_ready(input: &Input<'_>, status: &core::PodStatus, phase: &str) -> Finding {
    match phase {
        "Succeeded" => return Finding::lacks("PodCompleted", ""),
        "Failed" => return Finding::lacks("PodFailed", ""),
        _ => {}
    }
    let statuses = status.init_container_statuses.iter().flatten();
    let sidecars = input.pod.init_containers().zip(statuses).filter(|(container, _)| container.role == Role::Sidecar);
    let watched = sidecars.map(|(_, told)| told).chain(status.container_statuses.iter().flatten());
    let unready: Vec<&str> = watched.filter(|told| !told.ready).map(|told| told.name.as_str()).collect();
    if unready.is_empty() {
        return Finding::is(true);
    }
    Finding::lacks("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn ready(input: &Input<'_>, containers: &Finding) -> Finding {
    if !containers.status {
        let message = containers.message.clone().unwrap_or_default();
        return Finding::lacks(containers.reason.unwrap_or("ContainersNotReady"), message);
    }
    let mut lacking = Vec::new();
    for gate in input.pod.spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match told(input.pod.status(), kind) {
            None => lacking.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
            Some(found) if found.status != "True" => {
                lacking.push(format!("the status of pod readiness gate {kind:?} is not \"True\", but {}", found.status))
            }
            Some(_) => {}
        }
    }
    if lacking.is_empty() {
        return Finding::is(true);
    }
    Finding::lacks("ReadinessGatesNotReady", lacking.join(", "))
}

/// The seconds-precise form that a time has once it has been through the API, so that comparing does not see changes.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
