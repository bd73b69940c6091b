//! What must be done so that a pod runs as its spec says: a pure function of the spec and what the runtime observed.
//!
//! ```text
//! sandbox missing or dead -> (stop what is left) -> create it
//! init containers, one after another; sidecars among them must have started
//! containers: start what should run, stop what is unhealthy or changed
//! nothing runs and nothing will -> the pod is done
//! ```
//! Invariants: no step is planned for a container that waits for its back-off; the same input gives the same steps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use crate::crash::{Waits, go_duration};
use crate::observed::{Observed, RunState, Seen};
use crate::pod::{ContainerRef, PodRef, RestartPolicy, Role};

/// What the probes found, by container id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Containers whose startup probe succeeded. Those without one have started when they run.
    pub started: BTreeSet<String>,
    pub ready: BTreeSet<String>,
    /// Containers that must be stopped, with the probe that says so.
    pub failed: BTreeMap<String, FailedProbe>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedProbe {
    Startup,
    Liveness,
}

pub struct Input<'a> {
    pub pod: &'a PodRef,
    pub observed: &'a Observed,
    pub health: &'a Health,
    pub crash: &'a Waits,
    /// How long a container whose start failed (image, config, hook) waits, by name.
    pub held: &'a BTreeMap<String, Timestamp>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stops every container and sandbox that is left of an earlier life.
    ClearPod,
    CreateSandbox {
        attempt: u32,
    },
    Stop {
        id: String,
        name: String,
        message: String,
        /// From the probe that failed, instead of the pod's.
        grace_period_secs: Option<i64>,
    },
    Start {
        name: String,
        role: Role,
        attempt: u32,
    },
    /// Removes a dead container that no status needs any more.
    Remove {
        id: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Why a container is not started now: reason and message of its waiting state.
    pub waiting: BTreeMap<String, (&'static str, String)>,
    pub wake_at: Option<Timestamp>,
    /// Nothing runs, and nothing will: the pod's phase is final.
    pub done: bool,
}

impl Plan {
    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

pub fn plan(input: &Input<'_>) -> Plan {
    let mut plan = Plan::default();
    if let Some(attempt) = sandbox_attempt(input) {
        plan_sandbox(input, attempt, &mut plan);
        return plan;
    }
    plan_ephemeral(input, &mut plan);
    match plan_init(input, &mut plan) {
        Init::Done => plan_apps(input, &mut plan),
        Init::Underway => {}
        Init::Failed => plan.done = true,
    }
    plan_removals(input, &mut plan);
    plan
}

/// The attempt of the sandbox to create, or `None` when the newest one serves.
fn sandbox_attempt(input: &Input<'_>) -> Option<u32> {
    let Some(newest) = input.observed.sandbox() else { return Some(0) };
    let next = newest.metadata.as_ref().map_or(0, |m| m.attempt) + 1;
    let ready = input.observed.ready_sandboxes().count();
    let lacks_address = !input.pod.is_host_network() && input.observed.addresses().is_empty();
    let serves = ready == 1 && newest.state == cri::v1::PodSandboxState::SandboxReady as i32 && !lacks_address;
    (!serves).then_some(next)
}

fn plan_sandbox(input: &Input<'_>, attempt: u32, plan: &mut Plan) {
    let pod = input.pod;
    let ran = !input.observed.containers.is_empty();
    if ran && (all_done(input) || (pod.restart_policy() == RestartPolicy::Never && attempt > 0)) {
        plan.done = true;
        return;
    }
    if attempt > 0 {
        plan.steps.push(Step::ClearPod);
    }
    plan.steps.push(Step::CreateSandbox { attempt });
}

/// Whether every container has come to its own end and may not run again.
fn all_done(input: &Input<'_>) -> bool {
    input.pod.app_containers().all(|container| {
        let seen = input.observed.container(container.name());
        seen.is_some_and(|seen| seen.state() == RunState::Exited && !restarts(input.pod, &container, seen))
    })
}

enum Init {
    Done,
    Underway,
    Failed,
}

fn plan_init(input: &Input<'_>, plan: &mut Plan) -> Init {
    let sandbox = input.observed.sandbox().map_or("", |s| s.id.as_str());
    let in_sandbox = |name: &str| input.observed.container(name).filter(|seen| seen.sandbox == sandbox);
    let initialized = input.pod.app_containers().any(|c| in_sandbox(c.name()).is_some());
    for container in input.pod.init_containers() {
        let seen = in_sandbox(container.name());
        let passed = match container.role {
            Role::Sidecar => plan_sidecar(input, &container, seen, plan),
            _ if initialized => true,
            _ => match seen {
                Some(seen) if seen.succeeded() => true,
                Some(seen) if seen.is_running() => false,
                Some(seen) if seen.state() == RunState::Exited && !restarts(input.pod, &container, seen) => {
                    return Init::Failed;
                }
                _ => {
                    start(input, &container, plan);
                    false
                }
            },
        };
        if !passed && !initialized {
            return Init::Underway;
        }
    }
    Init::Done
}

/// Keeps a sidecar running; true when it has started.
fn plan_sidecar(input: &Input<'_>, container: &ContainerRef<'_>, seen: Option<&Seen>, plan: &mut Plan) -> bool {
    match seen {
        Some(seen) if seen.is_running() => {
            if stop_if_unfit(input, container, seen, plan) {
                return false;
            }
            has_started(container, seen, input.health)
        }
        _ if input.pod.restart_policy() != RestartPolicy::Always && seen.is_some() && apps_ended(input) => true,
        _ => {
            start(input, container, plan);
            false
        }
    }
}

fn apps_ended(input: &Input<'_>) -> bool {
    all_done(input)
}

fn plan_apps(input: &Input<'_>, plan: &mut Plan) {
    let mut alive = 0;
    for container in input.pod.app_containers() {
        match input.observed.container(container.name()) {
            Some(seen) if seen.is_running() => {
                alive += 1;
                stop_if_unfit(input, &container, seen, plan);
            }
            Some(seen) if !restarts(input.pod, &container, seen) => {}
            _ => {
                alive += 1;
                start(input, &container, plan);
            }
        }
    }
    plan.done = alive == 0;
}

fn plan_ephemeral(input: &Input<'_>, plan: &mut Plan) {
    for name in input.pod.ephemeral_names() {
        if input.observed.container(name).is_none() && !held(input, name, plan) {
            plan.steps.push(Step::Start { name: name.to_owned(), role: Role::Ephemeral, attempt: 0 });
        }
    }
}

/// Whether the start of `name` failed a moment ago, so that it must wait.
fn held(input: &Input<'_>, name: &str, plan: &mut Plan) -> bool {
    match input.held.get(name) {
        Some(until) if *until > input.now => {
            plan.wake_by(*until);
            true
        }
        _ => false,
    }
}

fn start(input: &Input<'_>, container: &ContainerRef<'_>, plan: &mut Plan) {
    if held(input, container.name(), plan) {
        return;
    }
    let last = input.observed.container(container.name());
    if let Some(ended) = last.filter(|seen| seen.state() == RunState::Exited) {
        let since = Timestamp::from_nanosecond(i128::from(ended.status.finished_at)).unwrap_or(input.now);
        if let Some((delay, over)) = input.crash.waiting(container.name(), since, input.now) {
            let message = back_off_message(delay, container.name(), input.pod);
            plan.waiting.insert(container.name().to_owned(), ("CrashLoopBackOff", message));
            plan.wake_by(over);
            return;
        }
    }
    let known = input.pod.status().and_then(|status| known_restarts(status, container.name()));
    let attempt = last.map(|seen| seen.restart_count() + 1).or(known).unwrap_or(0);
    plan.steps.push(Step::Start { name: container.name().to_owned(), role: container.role, attempt });
}

pub fn back_off_message(delay: Duration, container: &str, pod: &PodRef) -> String {
    format!("back-off {} restarting failed container={container} pod={}", go_duration(delay), pod.described())
}

/// The next restart count of a container whose traces the runtime has lost, from the status that was last told.
fn known_restarts(status: &core::PodStatus, name: &str) -> Option<u32> {
    let lists = [status.init_container_statuses.as_ref(), status.container_statuses.as_ref()];
    let told = lists.into_iter().flatten().flatten().find(|told| told.name == name)?;
    let ran = told.container_id.as_ref().is_some_and(|id| !id.is_empty());
    ran.then(|| u32::try_from(told.restart_count).unwrap_or(0) + 1)
}

/// Plans to stop a running container that is unhealthy, or that the spec no longer means.
fn stop_if_unfit(input: &Input<'_>, container: &ContainerRef<'_>, seen: &Seen, plan: &mut Plan) -> bool {
    let name = container.name();
    let (message, probe) = match input.health.failed.get(seen.id()) {
        _ if seen.hash().is_some_and(|hash| hash != container.hash()) => {
            (format!("Container {name} definition changed"), None)
        }
        Some(FailedProbe::Liveness) => {
            (format!("Container {name} failed liveness probe"), container.spec.liveness_probe.as_ref())
        }
        Some(FailedProbe::Startup) => {
            (format!("Container {name} failed startup probe"), container.spec.startup_probe.as_ref())
        }
        None => return false,
    };
    let again = container.role == Role::Sidecar || policy(input.pod, container) != RestartPolicy::Never;
    plan.steps.push(Step::Stop {
        id: seen.id().to_owned(),
        name: name.to_owned(),
        message: if again { format!("{message}, will be restarted") } else { message },
        grace_period_secs: probe.and_then(|probe| probe.termination_grace_period_seconds),
    });
    true
}

/// Dead containers: the newest and the one before it are kept, for state and lastState.
fn plan_removals(input: &Input<'_>, plan: &mut Plan) {
    let mut kept: BTreeMap<&str, u32> = BTreeMap::new();
    for seen in &input.observed.containers {
        let count = kept.entry(seen.name()).or_default();
        *count += 1;
        if *count > 2 && !seen.is_running() {
            plan.steps.push(Step::Remove { id: seen.id().to_owned() });
        }
    }
}

/// Whether a running container counts as started: by its startup probe, where it has one.
pub fn has_started(container: &ContainerRef<'_>, seen: &Seen, health: &Health) -> bool {
    seen.is_running() && (container.spec.startup_probe.is_none() || health.started.contains(seen.id()))
}

/// The restart policy of one container: its own, or the pod's.
fn policy(pod: &PodRef, container: &ContainerRef<'_>) -> RestartPolicy {
    match (container.role, container.spec.restart_policy.as_deref()) {
        (Role::Ephemeral, _) => RestartPolicy::Never,
        (_, Some("Always")) => RestartPolicy::Always,
        (_, Some("OnFailure")) => RestartPolicy::OnFailure,
        (_, Some("Never")) => RestartPolicy::Never,
        // An init container that succeeded is not run again under Always.
        (Role::Init, _) if pod.restart_policy() == RestartPolicy::Always => RestartPolicy::OnFailure,
        _ => pod.restart_policy(),
    }
}

/// Whether a container that does not run should be started (again).
pub fn restarts(pod: &PodRef, container: &ContainerRef<'_>, seen: &Seen) -> bool {
    if matches!(seen.state(), RunState::Created | RunState::Unknown) {
        return true;
    }
    let rules = container.spec.restart_policy_rules.iter().flatten();
    for rule in rules.filter_map(|rule| rule.exit_codes.as_ref()) {
        let listed = rule.values.iter().flatten().any(|code| *code == seen.status.exit_code);
        if listed == (rule.operator == "In") {
            return true;
        }
    }
    match policy(pod, container) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => seen.status.exit_code != 0,
        RestartPolicy::Never => false,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClearPod => f.write_str("clear pod"),
            Self::CreateSandbox { attempt } => write!(f, "create sandbox {attempt}"),
            Self::Stop { name, message, grace_period_secs, .. } => {
                write!(f, "stop {name}: {message}")?;
                grace_period_secs.map_or(Ok(()), |secs| write!(f, " (in {secs}s)"))
            }
            Self::Start { name, role, attempt } => write!(f, "start {role:?} {name} {attempt}"),
            Self::Remove { id } => write!(f, "remove {id}"),
        }
    }
}

#[cfg(test)]
mod tests;
