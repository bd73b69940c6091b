//! What the container runtime says about one pod, and the calls that ask it.

use std::collections::BTreeMap;

use cri::{Runtime, v1};

use crate::pod::label;

/// The sandboxes and containers of one pod, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub sandboxes: Vec<v1::PodSandboxStatus>,
    pub containers: Vec<Seen>,
}

/// A container with the sandbox that it is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub sandbox: String,
    pub status: v1::ContainerStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    Created,
    Running,
    Exited,
    Unknown,
}

impl Seen {
    pub fn name(&self) -> &str {
        let labelled = self.status.labels.get(label::CONTAINER_NAME).map(String::as_str);
        labelled.or_else(|| self.status.metadata.as_ref().map(|m| m.name.as_str())).unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        &self.status.id
    }

    pub fn state(&self) -> RunState {
        match v1::ContainerState::try_from(self.status.state) {
            Ok(v1::ContainerState::ContainerCreated) => RunState::Created,
            Ok(v1::ContainerState::ContainerRunning) => RunState::Running,
            Ok(v1::ContainerState::ContainerExited) => RunState::Exited,
            Ok(v1::ContainerState::ContainerUnknown) | Err(_) => RunState::Unknown,
        }
    }

    pub fn is_running(&self) -> bool {
        self.state() == RunState::Running
    }

    pub fn restart_count(&self) -> u32 {
        let annotated = self.status.annotations.get(label::RESTART_COUNT).and_then(|count| count.parse().ok());
        annotated.or_else(|| self.status.metadata.as_ref().map(|m| m.attempt)).unwrap_or(0)
    }

    pub fn hash(&self) -> Option<&str> {
        self.status.annotations.get(label::CONTAINER_HASH).map(String::as_str)
    }

    pub fn succeeded(&self) -> bool {
        self.state() == RunState::Exited && self.status.exit_code == 0
    }
}

impl Observed {
    pub fn sandbox(&self) -> Option<&v1::PodSandboxStatus> {
        self.sandboxes.first()
    }

    pub fn ready_sandboxes(&self) -> impl Iterator<Item = &v1::PodSandboxStatus> {
        self.sandboxes.iter().filter(|s| s.state == v1::PodSandboxState::SandboxReady as i32)
    }

    /// The newest container of that name.
    pub fn container(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name() == name)
    }

    /// All containers of that name, newest first.
    pub fn history<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.containers.iter().filter(move |seen| seen.name() == name)
    }

    pub fn running(&self) -> impl Iterator<Item = &Seen> {
        self.containers.iter().filter(|seen| seen.is_running())
    }

    pub fn is_gone(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }

    /// The pod's addresses: those of the newest ready sandbox.
    pub fn addresses(&self) -> Vec<String> {
        let network = self.ready_sandboxes().next().and_then(|sandbox| sandbox.network.as_ref());
        let Some(network) = network else { return Vec::new() };
        let more = network.additional_ips.iter().map(|ip| ip.ip.clone());
        std::iter::once(network.ip.clone()).chain(more).filter(|ip| !ip.is_empty()).collect()
    }
}

/// Asks the runtime for everything about the pod of that UID.
pub async fn observe(runtime: &dyn Runtime, uid: &str) -> cri::Result<Observed> {
    let labels: BTreeMap<String, String> = [(label::POD_UID.to_owned(), uid.to_owned())].into();
    let filter = v1::PodSandboxFilter { label_selector: labels.clone(), ..v1::PodSandboxFilter::default() };
    let listed = runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await?;
    let mut observed = Observed::default();
    for item in listed.items {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: item.id, verbose: false };
        match runtime.pod_sandbox_status(request).await {
            Ok(answer) => observed.sandboxes.extend(answer.status),
            Err(error) if error.code == cri::Code::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let filter = v1::ContainerFilter { label_selector: labels, ..v1::ContainerFilter::default() };
    let listed = runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await?;
    for item in listed.containers {
        let request = v1::ContainerStatusRequest { container_id: item.id, verbose: false };
        match runtime.container_status(request).await {
            Ok(answer) => {
                let seen = answer.status.map(|status| Seen { sandbox: item.pod_sandbox_id, status });
                observed.containers.extend(seen);
            }
            Err(error) if error.code == cri::Code::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let attempt = |s: &v1::PodSandboxStatus| s.metadata.as_ref().map_or(0, |m| m.attempt);
    observed.sandboxes.sort_by_key(|s| std::cmp::Reverse((s.created_at, attempt(s))));
    observed.containers.sort_by_key(|c| std::cmp::Reverse((c.status.created_at, c.restart_count())));
    Ok(observed)
}
