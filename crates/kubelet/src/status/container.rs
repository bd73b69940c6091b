//! One container's status: state, last state, restarts, readiness.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Input;
use crate::observed::{RunState, Seen};
use crate::plan::{has_started, restarts};
use crate::pod::{ContainerRef, Role};

/// The scheme of container ids in status.
const SCHEME: &str = "ironclad";

pub struct Context<'a> {
    pub input: &'a Input<'a>,
    /// The pod has init containers, so waiting containers are said to be initializing.
    pub initializing: bool,
}

impl Context<'_> {
    pub fn status(&self, container: &ContainerRef<'_>) -> core::ContainerStatus {
        let name = container.name();
        let mut history = self.input.observed.history(name);
        let (newest, older) = (history.next(), history.find(|seen| seen.state() == RunState::Exited));
        let told = self.told_before(name);
        let mut status = core::ContainerStatus {
            name: name.to_owned(),
            image: container.spec.image.clone().unwrap_or_default(),
            restart_count: newest.map_or(0, |seen| i32::try_from(seen.restart_count()).unwrap_or(i32::MAX)),
            allocated_resources: container.spec.resources.as_ref().and_then(|r| r.requests.clone()),
            resources: container.spec.resources.clone(),
            volume_mounts: mounts(container.spec),
            started: Some(false),
            ..core::ContainerStatus::default()
        };
        match newest {
            Some(seen) => self.fill(&mut status, seen),
            None => match told {
                // The runtime lost it, or the pod has ended and was cleaned up: what was told stands.
                Some(told) if told.container_id.is_some() => return self.lost(told.clone()),
                _ => status.state = Some(waiting(self.waiting_by_default(), None)),
            },
        }
        status.last_state = older.map(|seen| self.state(seen)).or_else(|| told.and_then(|t| t.last_state.clone()));
        self.wait(container, newest, &mut status);
        self.probe(container, newest, &mut status);
        status
    }

    pub fn ephemeral(&self, name: &str) -> Option<core::ContainerStatus> {
        let spec = self.input.pod.ephemeral_container(name)?;
        let mut status = self.status(&ContainerRef { spec: &spec, role: Role::Ephemeral });
        (status.started, status.ready, status.allocated_resources) = (None, false, None);
        Some(status)
    }

    fn told_before(&self, name: &str) -> Option<&core::ContainerStatus> {
        let previous = self.input.previous?;
        let lists = [
            previous.init_container_statuses.as_ref(),
            previous.container_statuses.as_ref(),
            previous.ephemeral_container_statuses.as_ref(),
        ];
        lists.into_iter().flatten().flatten().find(|told| told.name == name)
    }

    /// What was told of the container's end before; its words are not on disk for ever.
    fn told_end(&self, seen: &Seen) -> Option<&core::ContainerStateTerminated> {
        let told = self.told_before(seen.name())?;
        let ends = [told.state.as_ref(), told.last_state.as_ref()].into_iter().flatten();
        ends.filter_map(|state| state.terminated.as_ref())
            .find(|end| end.container_id.as_deref().is_some_and(|id| id.ends_with(seen.id())))
    }

    fn waiting_by_default(&self) -> &'static str {
        if self.initializing { "PodInitializing" } else { "ContainerCreating" }
    }

    fn fill(&self, status: &mut core::ContainerStatus, seen: &Seen) {
        let image = seen.status.image.as_ref().map(|image| image.image.clone());
        // A container is made of an image's id: its name is the spec's.
        let image = image.filter(|image| !image.is_empty() && !image.starts_with("sha256:"));
        if let Some(image) = image {
            status.image = image;
        }
        status.image_id = seen.status.image_ref.clone();
        status.container_id = Some(format!("{SCHEME}://{}", seen.id()));
        status.state = Some(self.state(seen));
        status.user = seen.status.user.as_ref().and_then(|user| user.linux.as_ref()).map(|user| core::ContainerUser {
            linux: Some(core::LinuxContainerUser {
                uid: user.uid,
                gid: user.gid,
                supplemental_groups: Some(user.supplemental_groups.clone()).filter(|groups| !groups.is_empty()),
            }),
        });
    }

    fn state(&self, seen: &Seen) -> core::ContainerState {
        match seen.state() {
            RunState::Running => core::ContainerState {
                running: Some(core::ContainerStateRunning { started_at: time(seen.status.started_at) }),
                ..core::ContainerState::default()
            },
            RunState::Exited => {
                let status = &seen.status;
                let told = self.told_end(seen).and_then(|told| told.message.as_ref());
                let words = self.input.last_words.get(seen.id()).filter(|words| !words.is_empty());
                let message = words.or(told).unwrap_or(&status.message);
                core::ContainerState {
                    terminated: Some(core::ContainerStateTerminated {
                        exit_code: status.exit_code,
                        reason: Some(exit_reason(&status.reason, status.exit_code)),
                        message: Some(message.clone()).filter(|message| !message.is_empty()),
                        started_at: time(status.started_at),
                        finished_at: time(status.finished_at),
                        container_id: Some(format!("{SCHEME}://{}", seen.id())),
                        signal: None,
                    }),
                    ..core::ContainerState::default()
                }
            }
            RunState::Created | RunState::Unknown => waiting(self.waiting_by_default(), None),
        }
    }

    /// A container that was told of, and of which the runtime knows nothing any more.
    fn lost(&self, mut told: core::ContainerStatus) -> core::ContainerStatus {
        let state = told.state.take().unwrap_or_default();
        if state.running.is_some() {
            told.last_state = None;
            told.state = Some(core::ContainerState {
                terminated: Some(core::ContainerStateTerminated {
                    exit_code: 137,
                    reason: Some("ContainerStatusUnknown".to_owned()),
                    message: Some("The container could not be located when the pod was terminated".to_owned()),
                    ..core::ContainerStateTerminated::default()
                }),
                ..core::ContainerState::default()
            });
        } else {
            told.state = Some(state);
        }
        told.ready = told.ready && self.input.pod.init_containers().any(|c| c.name() == told.name);
        told.started = Some(false);
        told
    }

    /// Puts the reason for waiting in place of the end of the life before.
    fn wait(&self, container: &ContainerRef<'_>, newest: Option<&Seen>, status: &mut core::ContainerStatus) {
        let Some((reason, message)) = self.input.waiting.get(container.name()) else { return };
        if self.input.terminating || newest.is_some_and(|seen| seen.is_running()) {
            return;
        }
        if newest.is_some_and(|seen| seen.state() == RunState::Exited && !restarts(self.input.pod, container, seen)) {
            return;
        }
        if let Some(state) = status.state.take().filter(|state| state.terminated.is_some()) {
            status.last_state = Some(state);
        }
        status.state = Some(waiting(reason, Some(message.clone())));
    }

    fn probe(&self, container: &ContainerRef<'_>, newest: Option<&Seen>, status: &mut core::ContainerStatus) {
        let Some(seen) = newest else { return };
        let started = has_started(container, seen, self.input.health);
        status.started = Some(started);
        status.ready = match container.role {
            Role::Init => seen.succeeded(),
            Role::Ephemeral => false,
            Role::Sidecar | Role::App => {
                let passed = container.spec.readiness_probe.is_none() || self.input.health.ready.contains(seen.id());
                started && passed
            }
        };
    }
}

fn waiting(reason: &str, message: Option<String>) -> core::ContainerState {
    core::ContainerState {
        waiting: Some(core::ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: message.filter(|message| !message.is_empty()),
        }),
        ..core::ContainerState::default()
    }
}

fn exit_reason(reason: &str, exit_code: i32) -> String {
    match (reason.is_empty(), exit_code) {
        (false, _) => reason.to_owned(),
        (true, 0) => "Completed".to_owned(),
        (true, _) => "Error".to_owned(),
    }
}

/// A runtime's nanoseconds as a time; none for zero.
pub fn time(nanos: i64) -> Option<Time> {
    if nanos == 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(nanos)).ok().map(Time)
}

fn mounts(spec: &core::Container) -> Option<Vec<core::VolumeMountStatus>> {
    let mounts = spec.volume_mounts.as_ref()?;
    let mut seen = BTreeMap::new();
    for mount in mounts {
        let read_only = mount.read_only.filter(|read_only| *read_only);
        seen.insert(
            mount.mount_path.clone(),
            core::VolumeMountStatus {
                name: mount.name.clone(),
                mount_path: mount.mount_path.clone(),
                read_only,
                recursive_read_only: read_only.map(|_| "Disabled".to_owned()),
                volume_status: None,
            },
        );
    }
    let listed: Vec<_> = mounts.iter().filter_map(|mount| seen.remove(&mount.mount_path)).collect();
    (!listed.is_empty()).then_some(listed)
}
