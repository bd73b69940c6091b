//! What the kubelet tells about a pod: a pure function of spec, observation and probes.
//!
//! Texts and reasons are upstream's. The phase never goes back from a final one, and the transition times of
//! conditions move only with their status.

pub mod conditions;
pub mod container;
pub mod diff;
pub mod writer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::observed::Observed;
use crate::plan::{Health, restarts};
use crate::pod::{PodRef, Role, is_final_phase};
use crate::qos;
use container::Context;

/// A reason that overrides what containers say: a deadline, an eviction, a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: String,
    pub message: String,
}

pub struct Input<'a> {
    pub pod: &'a PodRef,
    pub observed: &'a Observed,
    pub health: &'a Health,
    /// Reason and message of containers that wait, by name.
    pub waiting: &'a BTreeMap<String, (String, String)>,
    /// What the containers left as their termination message, by container id.
    pub last_words: &'a BTreeMap<String, String>,
    pub previous: Option<&'a core::PodStatus>,
    pub verdict: Option<&'a Verdict>,
    /// The pod is being stopped, or has been: what has no state now will not get one.
    pub terminating: bool,
    pub host_ips: &'a [String],
    pub now: Timestamp,
}

pub fn status(input: &Input<'_>) -> core::PodStatus {
    let pod = input.pod;
    if let Some(refusal) = refusal(input) {
        return refusal;
    }
    let context = Context { input, initializing: pod.init_containers().next().is_some() };
    let init: Vec<_> = pod.init_containers().map(|c| context.status(&c)).collect();
    let apps: Vec<_> = pod.app_containers().map(|c| context.status(&c)).collect();
    let ephemeral: Vec<_> = pod.ephemeral_names().filter_map(|name| context.ephemeral(name)).collect();
    let phase = final_phase(input, phase(input, &init, &apps));
    let addresses = addresses(input);
    let mut status = core::PodStatus {
        observed_generation: pod.get().metadata.generation,
        start_time: Some(input.previous.and_then(|p| p.start_time.clone()).unwrap_or(Time(input.now))),
        qos_class: Some(qos::class(pod).to_owned()),
        host_ip: input.host_ips.first().cloned(),
        host_ips: some_list(input.host_ips.iter().map(|ip| core::HostIP { ip: ip.clone() }).collect()),
        pod_ip: addresses.first().cloned(),
        pod_ips: some_list(addresses.into_iter().map(|ip| core::PodIP { ip }).collect()),
        init_container_statuses: some_list(init),
        container_statuses: some_list(apps),
        ephemeral_container_statuses: some_list(ephemeral),
        phase: Some(phase),
        ..core::PodStatus::default()
    };
    if let Some(verdict) = input.verdict {
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
    } else if let Some(previous) = input.previous.filter(|p| p.phase.as_deref().is_some_and(is_final_phase)) {
        status.reason.clone_from(&previous.reason);
        status.message.clone_from(&previous.message);
    }
    status.conditions = Some(conditions::conditions(input, &status));
    status
}

/// A pod that the node never took says why, and nothing about containers: there were none.
fn refusal(input: &Input<'_>) -> Option<core::PodStatus> {
    let verdict = input.verdict.filter(|_| input.observed.is_gone())?;
    let previous = input.previous.cloned().unwrap_or_default();
    if previous.container_statuses.is_some() || previous.init_container_statuses.is_some() {
        return None;
    }
    Some(core::PodStatus {
        observed_generation: input.pod.get().metadata.generation,
        start_time: Some(previous.start_time.unwrap_or(Time(input.now))),
        qos_class: Some(qos::class(input.pod).to_owned()),
        phase: Some("Failed".to_owned()),
        reason: Some(verdict.reason.clone()),
        message: Some(verdict.message.clone()),
        conditions: previous.conditions,
        ..core::PodStatus::default()
    })
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The pod's addresses; those that it had are kept once its sandbox is gone.
fn addresses(input: &Input<'_>) -> Vec<String> {
    if input.pod.is_host_network() {
        return input.host_ips.to_vec();
    }
    let now = input.observed.addresses();
    if !now.is_empty() {
        return now;
    }
    let told = input.previous.and_then(|p| p.pod_ips.as_ref());
    told.into_iter().flatten().map(|ip| ip.ip.clone()).collect()
}

fn final_phase(input: &Input<'_>, computed: &'static str) -> String {
    let before = input.previous.and_then(|p| p.phase.as_deref()).filter(|phase| is_final_phase(phase));
    match (before, input.verdict) {
        (Some(before), _) => before.to_owned(),
        (None, Some(_)) => "Failed".to_owned(),
        (None, None) => computed.to_owned(),
    }
}

#[derive(Default)]
struct Count {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
}

/// The phase as the containers' states say it.
fn phase(input: &Input<'_>, init: &[core::ContainerStatus], apps: &[core::ContainerStatus]) -> &'static str {
    let pod = input.pod;
    let (pending_init, failed_init) = count_init(pod, init);
    let mut count = Count::default();
    for (container, told) in pod.app_containers().zip(apps) {
        let state = told.state.as_ref();
        if state.is_some_and(|s| s.running.is_some()) {
            count.running += 1;
        } else if let Some(ended) = state.and_then(|s| s.terminated.as_ref()) {
            count.stopped += 1;
            count.succeeded += usize::from(ended.exit_code == 0);
        } else if state.is_some_and(|s| s.waiting.is_some()) {
            let before = told.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
            let seen = input.observed.container(container.name());
            let ended_for_good = seen.is_some_and(|seen| !restarts(pod, &container, seen)) && !seen_running(input);
            if before || ended_for_good { count.stopped += 1 } else { count.waiting += 1 }
        } else {
            count.unknown += 1;
        }
    }
    let never = pod.restart_policy() == crate::pod::RestartPolicy::Never;
    let always = pod.restart_policy() == crate::pod::RestartPolicy::Always;
    if failed_init > 0 && never {
        return "Failed";
    }
    if pending_init > 0 || count.waiting > 0 {
        return "Pending";
    }
    let may_restart = |told: &core::ContainerStatus| {
        let seen = input.observed.container(&told.name);
        let container = pod.container(&told.name);
        container.zip(seen).is_some_and(|(container, seen)| restarts(pod, &container, seen))
    };
    match () {
        () if count.running > 0 && count.unknown == 0 => "Running",
        () if count.running == 0 && count.stopped > 0 && count.unknown == 0 => {
            if always && !input.terminating {
                "Running"
            } else if count.stopped == count.succeeded {
                "Succeeded"
            } else if !input.terminating && apps.iter().any(may_restart) {
                "Running"
            } else {
                "Failed"
            }
        }
        () => "Pending",
    }
}

fn seen_running(input: &Input<'_>) -> bool {
    input.observed.running().next().is_some()
}

/// How many init containers have not done their part, and how many failed.
fn count_init(pod: &PodRef, init: &[core::ContainerStatus]) -> (usize, usize) {
    let (mut pending, mut failed) = (0, 0);
    for (container, told) in pod.init_containers().zip(init) {
        let ended = told.state.as_ref().and_then(|s| s.terminated.as_ref());
        let ended_before = told.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        match container.role {
            Role::Sidecar => {
                pending += usize::from(ended.is_none() && told.started != Some(true) && ended_before.is_none())
            }
            _ => match ended {
                Some(ended) if ended.exit_code == 0 => {}
                Some(_) => failed += 1,
                None if ended_before.is_some_and(|ended| ended.exit_code != 0) => {
                    failed += 1;
                    pending += 1;
                }
                None => pending += 1,
            },
        }
    }
    (pending + usize::from(failed > 0 && pending == 0), failed)
}
