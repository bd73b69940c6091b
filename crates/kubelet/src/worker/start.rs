//! Starts one container: image, config, create, start, postStart hook; each failure with upstream's reason and event.

use cache::controller::NoteKind;
use cri::v1;

use super::Worker;
use super::steps::{Done, Stopped};
use crate::create::{self, ContainerInput};
use crate::env;
use crate::hook;
use crate::pod::{ContainerRef, Role};

impl Worker {
    pub(super) async fn start_container(&mut self, name: &str, role: Role, attempt: u32) -> Done {
        let pod = self.pod.clone();
        let ephemeral = (role == Role::Ephemeral).then(|| pod.ephemeral_container(name)).flatten();
        let found = match &ephemeral {
            Some(spec) => Some(ContainerRef { spec, role }),
            None => pod.container(name),
        };
        let Some(container) = found else { return Err(Stopped::Interrupted) };
        match Box::pin(self.try_start(&container, attempt)).await {
            // One container's trouble does not keep the others from starting.
            Err(Stopped::Retry(_)) if role != Role::Init && role != Role::Sidecar => self.go_on(),
            done => done,
        }
    }

    async fn try_start(&mut self, container: &ContainerRef<'_>, attempt: u32) -> Done {
        let name = container.name();
        let referred = match self.referred().await {
            Ok(referred) => referred,
            Err(error) => return Err(self.failed(container, "CreateContainerConfigError", error.to_string())),
        };
        let image = self.image(container, &referred).await?;
        self.go_on()?;
        // The addresses are known once the sandbox is: look again before variables name them.
        if let Ok(observed) = crate::observed::observe(&*self.shared.deps.runtime, self.pod.uid()).await {
            self.observed = observed;
        }
        let id = self.create(container, attempt, &image, &referred).await?;
        self.shared.tell(&self.pod, Some(container), NoteKind::Normal, "Created", "Container created".to_owned());
        let ended = self.observed.container(name).map(|seen| crate::status::container::time(seen.status.finished_at));
        let now = self.shared.now();
        if let Some(ended) = ended {
            self.crash.next(name, ended.map_or(now, |time| time.0), now);
        }
        let request = v1::StartContainerRequest { container_id: id.clone() };
        if let Err(error) = self.shared.deps.runtime.start_container(request).await {
            return Err(self.failed(container, "RunContainerError", error.to_string()));
        }
        self.shared.tell(&self.pod, Some(container), NoteKind::Normal, "Started", "Container started".to_owned());
        self.waiting.remove(name);
        self.held.remove(name);
        self.post_start(container, &id).await
    }

    async fn create(
        &mut self,
        container: &ContainerRef<'_>,
        attempt: u32,
        image: &v1::Image,
        referred: &crate::references::Referred,
    ) -> Result<String, Stopped> {
        // Every pod is told of the kubernetes service: wait until services are known.
        if let Err(error) = self.shared.services.synced().await {
            let message = format!("services have not yet been read at least once, cannot construct envvars: {error}");
            return Err(self.failed(container, "CreateContainerConfigError", message));
        }
        let config = match self.config(container, attempt, image, referred) {
            Ok(config) => config,
            Err(error) => return Err(self.failed(container, "CreateContainerConfigError", error.to_string())),
        };
        let sandbox = self.observed.ready_sandboxes().next();
        let Some(sandbox_id) = sandbox.map(|sandbox| sandbox.id.clone()) else { return Err(Stopped::Interrupted) };
        let sandbox_attempt = sandbox.and_then(|s| s.metadata.as_ref()).map_or(0, |m| m.attempt);
        let resolv = self.shared.node_resolv_conf();
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox_id,
            config: Some(config),
            sandbox_config: Some(create::sandbox(&self.pod, sandbox_attempt, &self.shared.config, &resolv)),
        };
        match self.shared.deps.runtime.create_container(request).await {
            Ok(answer) => Ok(answer.container_id),
            Err(error) => Err(self.failed(container, "CreateContainerError", error.to_string())),
        }
    }

    fn config(
        &self,
        container: &ContainerRef<'_>,
        attempt: u32,
        image: &v1::Image,
        referred: &crate::references::Referred,
    ) -> Result<v1::ContainerConfig, env::ConfigError> {
        let services = self.shared.services();
        let addresses =
            if self.pod.is_host_network() { self.shared.config.node_ips.clone() } else { self.observed.addresses() };
        let facts = self.shared.env_facts(addresses);
        let input =
            env::Input { pod: &self.pod, container: container.spec, referred, services: &services, facts: &facts };
        let vars = env::env(&input)?;
        let logs = self.shared.config.pod_log_dir(self.pod.namespace(), self.pod.name(), self.pod.uid());
        std::fs::create_dir_all(logs.join(container.name())).map_err(|error| env::ConfigError(error.to_string()))?;
        create::container(ContainerInput {
            pod: &self.pod,
            container,
            attempt,
            env: &input,
            image,
            mounts: self.mounts(container.spec, attempt, &vars)?,
            node_memory_bytes: self.shared.machine.memory_bytes,
            seccomp_default: self.shared.config.seccomp_default,
            target: self.target(container)?,
        })
    }

    fn target(&self, container: &ContainerRef<'_>) -> Result<Option<String>, env::ConfigError> {
        let Some(target) = self.pod.target_of(container.name()) else { return Ok(None) };
        let found = self.observed.container(target).map(|seen| seen.id().to_owned());
        found.map(Some).ok_or_else(|| env::ConfigError(format!("unable to find target container {target}")))
    }

    fn failed(&mut self, container: &ContainerRef<'_>, reason: &str, message: String) -> Stopped {
        self.shared.tell(&self.pod, Some(container), NoteKind::Warning, "Failed", format!("Error: {message}"));
        self.refused_with = self.shared.references.revisions(&crate::references::of_pod(&self.pod));
        self.hold(container.name(), reason, message)
    }

    async fn post_start(&mut self, container: &ContainerRef<'_>, id: &str) -> Done {
        let handler = container.spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else { return Ok(()) };
        let ran = hook::run(&*self.shared.deps.runtime, handler, container.spec, id, &self.observed.addresses()).await;
        let Err(why) = ran else { return Ok(()) };
        tracing::debug!(pod = %self.pod.key(), "postStart hook failed: {why}");
        let message = "PostStartHook failed".to_owned();
        self.shared.tell(&self.pod, Some(container), NoteKind::Warning, "FailedPostStartHook", message);
        let grace = self.pod.grace_period_secs();
        self.stop_container(id, container.name(), "FailedPostStartHook", grace).await;
        Err(self.hold(container.name(), "PostStartHookError", format!("PostStartHook failed: {why}")))
    }
}
