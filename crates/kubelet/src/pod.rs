//! A pod as the kubelet reads it: the typed object, and what its spec means.
//!
//! Pure. Container kinds are told apart once, here: init containers, sidecars (init containers with restartPolicy
//! Always), containers, ephemeral containers.

use std::sync::Arc;

use api::typed::Pod;
use k8s_openapi::api::core::v1 as core;
use sha2::{Digest, Sha256};

/// Labels and annotations on sandboxes and containers by which a restarted kubelet knows its pods again.
pub mod label {
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    pub const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
    pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
    pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
    pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
    pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
}

const GRACE_DEFAULT_SECS: i64 = 30;

/// A pod of this node. Cloning clones a pointer.
#[derive(Clone, Debug)]
pub struct PodRef(Arc<Pod>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Init,
    Sidecar,
    App,
    Ephemeral,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// One container of a spec with its role and its place.
#[derive(Clone, Copy, Debug)]
pub struct ContainerRef<'a> {
    pub spec: &'a core::Container,
    pub role: Role,
}

impl ContainerRef<'_> {
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The fieldPath of events about the container.
    pub fn field_path(&self) -> String {
        let list = match self.role {
            Role::Init | Role::Sidecar => "spec.initContainers",
            Role::App => "spec.containers",
            Role::Ephemeral => "spec.ephemeralContainers",
        };
        format!("{list}{{{}}}", self.spec.name)
    }

    /// Changes when the container must be made anew: upstream hashes what it must not change in place (name and image).
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.spec.name.as_bytes());
        hash.update([0]);
        hash.update(self.spec.image.as_deref().unwrap_or_default().as_bytes());
        hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PodRef {
    pub fn new(pod: Pod) -> Self {
        Self(Arc::new(pod))
    }

    pub fn get(&self) -> &Pod {
        &self.0
    }

    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.0.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Zero for a static pod, which the API does not number.
    pub fn revision(&self) -> api::Revision {
        let text = self.0.metadata.resource_version.as_deref().unwrap_or_default();
        text.parse().unwrap_or(api::Revision::ZERO)
    }

    pub fn key(&self) -> api::Key {
        api::Key::new(self.namespace(), self.name())
    }

    /// `name_namespace(uid)`, as messages name a pod.
    pub fn described(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    pub fn spec(&self) -> &core::PodSpec {
        static EMPTY: std::sync::LazyLock<core::PodSpec> = std::sync::LazyLock::new(core::PodSpec::default);
        self.0.spec.as_ref().unwrap_or(&EMPTY)
    }

    pub fn status(&self) -> Option<&core::PodStatus> {
        self.0.status.as_ref()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub fn is_deleting(&self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }

    /// Whether the API object only shows a static pod.
    pub fn is_mirror(&self) -> bool {
        self.annotation(label::CONFIG_MIRROR).is_some()
    }

    /// Whether the pod comes from a manifest of this node.
    pub fn is_static(&self) -> bool {
        self.annotation(label::CONFIG_SOURCE).is_some_and(|source| source != "api")
    }

    pub fn is_host_network(&self) -> bool {
        self.spec().host_network.unwrap_or(false)
    }

    pub fn phase_is_final(&self) -> bool {
        self.status().and_then(|status| status.phase.as_deref()).is_some_and(is_final_phase)
    }

    pub fn restart_policy(&self) -> RestartPolicy {
        match self.spec().restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }

    /// How long the pod's containers may take to stop: what its deletion says, or its spec.
    pub fn grace_period_secs(&self) -> i64 {
        let of_deletion = self.is_deleting().then_some(self.0.metadata.deletion_grace_period_seconds).flatten();
        of_deletion.or(self.spec().termination_grace_period_seconds).unwrap_or(GRACE_DEFAULT_SECS)
    }

    /// Init containers and sidecars, in order.
    pub fn init_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.spec().init_containers.iter().flatten().map(|spec| {
            let sidecar = spec.restart_policy.as_deref() == Some("Always");
            ContainerRef { spec, role: if sidecar { Role::Sidecar } else { Role::Init } }
        })
    }

    pub fn app_containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.spec().containers.iter().map(|spec| ContainerRef { spec, role: Role::App })
    }

    /// Init containers, then containers: all that the spec says at creation.
    pub fn containers(&self) -> impl Iterator<Item = ContainerRef<'_>> {
        self.init_containers().chain(self.app_containers())
    }

    pub fn container(&self, name: &str) -> Option<ContainerRef<'_>> {
        self.containers().find(|container| container.name() == name)
    }

    pub fn ephemeral_names(&self) -> impl Iterator<Item = &str> {
        self.spec().ephemeral_containers.iter().flatten().map(|container| container.name.as_str())
    }

    /// The container whose processes an ephemeral one is to see.
    pub fn target_of(&self, name: &str) -> Option<&str> {
        let found = self.spec().ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
        found.target_container_name.as_deref().filter(|target| !target.is_empty())
    }

    /// An ephemeral container read as a container, whose fields it shares.
    pub fn ephemeral_container(&self, name: &str) -> Option<core::Container> {
        let found = self.spec().ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
        let e = found.clone();
        Some(core::Container {
            name: e.name,
            image: e.image,
            command: e.command,
            args: e.args,
            working_dir: e.working_dir,
            env: e.env,
            env_from: e.env_from,
            image_pull_policy: e.image_pull_policy,
            security_context: e.security_context,
            stdin: e.stdin,
            stdin_once: e.stdin_once,
            tty: e.tty,
            termination_message_path: e.termination_message_path,
            termination_message_policy: e.termination_message_policy,
            volume_mounts: e.volume_mounts,
            ..core::Container::default()
        })
    }
}

pub fn is_final_phase(phase: &str) -> bool {
    phase == "Succeeded" || phase == "Failed"
}
