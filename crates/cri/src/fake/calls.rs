//! The CRI calls of the fake: thin steps over its state.

use std::time::Duration;

use async_trait::async_trait;

use super::script::Pull;
use super::state::{Container, image_id, image_message, selects};
use super::{FakeRuntime, normal};
use crate::{Code, EventStream, Result, Runtime, RuntimeError, v1};

const STREAMING: &str = "http://127.0.0.1:0";

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<v1::VersionResponse> {
        Ok(v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "fake".to_owned(),
            runtime_version: "1.0.0".to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn status(&self, _: v1::StatusRequest) -> Result<v1::StatusResponse> {
        let mut state = self.lock();
        state.fault("status")?;
        let condition = |kind: &str, status: bool| v1::RuntimeCondition {
            r#type: kind.to_owned(),
            status,
            reason: if status { String::new() } else { "NetworkPluginNotReady".to_owned() },
            message: if status { String::new() } else { "the network is down".to_owned() },
        };
        let conditions = vec![condition("RuntimeReady", true), condition("NetworkReady", !state.network_down)];
        Ok(v1::StatusResponse { status: Some(v1::RuntimeStatus { conditions }), ..v1::StatusResponse::default() })
    }

    async fn update_runtime_config(&self, request: v1::UpdateRuntimeConfigRequest) -> Result<()> {
        let network = request.runtime_config.and_then(|config| config.network_config);
        self.lock().pod_cidr = network.map(|n| n.pod_cidr).unwrap_or_default();
        Ok(())
    }

    async fn run_pod_sandbox(&self, request: v1::RunPodSandboxRequest) -> Result<v1::RunPodSandboxResponse> {
        let config = request.config.ok_or_else(|| invalid("a sandbox needs a config"))?;
        let metadata = config.metadata.clone().ok_or_else(|| invalid("a sandbox needs metadata"))?;
        let now = self.now_nanos();
        let id = {
            let mut state = self.lock();
            state.note(format!("run_pod_sandbox {}/{} {}", metadata.namespace, metadata.name, metadata.attempt));
            state.fault("run_pod_sandbox")?;
            let same = |s: &&v1::PodSandboxStatus| s.metadata.as_ref() == Some(&metadata);
            if let Some(found) = state.sandboxes.values().find(same) {
                let name = format!("{}_{}_{}", metadata.name, metadata.namespace, metadata.attempt);
                return Err(RuntimeError::new(
                    Code::AlreadyExists,
                    format!("name {name:?} is reserved for {:?}", found.id),
                ));
            }
            let security = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
            let options = security.and_then(|s| s.namespace_options.clone()).unwrap_or_default();
            let host = options.network == v1::NamespaceMode::Node as i32;
            let ip = if host { String::new() } else { state.next_address() };
            let id = state.next_id();
            let status = v1::PodSandboxStatus {
                id: id.clone(),
                metadata: Some(metadata),
                state: v1::PodSandboxState::SandboxReady as i32,
                created_at: now,
                network: Some(v1::PodSandboxNetworkStatus { ip, additional_ips: Vec::new() }),
                linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options: Some(options) }) }),
                labels: config.labels,
                annotations: config.annotations,
                runtime_handler: request.runtime_handler,
            };
            state.sandboxes.insert(id.clone(), status);
            id
        };
        self.tell(&id, v1::ContainerEventType::ContainerCreatedEvent);
        self.tell(&id, v1::ContainerEventType::ContainerStartedEvent);
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id: id })
    }

    async fn stop_pod_sandbox(&self, request: v1::StopPodSandboxRequest) -> Result<()> {
        self.lock().fault("stop_pod_sandbox")?;
        self.end_sandbox(&request.pod_sandbox_id);
        Ok(())
    }

    async fn remove_pod_sandbox(&self, request: v1::RemovePodSandboxRequest) -> Result<()> {
        self.end_sandbox(&request.pod_sandbox_id);
        self.tell(&request.pod_sandbox_id, v1::ContainerEventType::ContainerDeletedEvent);
        let mut state = self.lock();
        state.containers.retain(|_, container| container.sandbox != request.pod_sandbox_id);
        state.sandboxes.remove(&request.pod_sandbox_id);
        Ok(())
    }

    async fn pod_sandbox_status(&self, request: v1::PodSandboxStatusRequest) -> Result<v1::PodSandboxStatusResponse> {
        let state = self.lock();
        let id = &request.pod_sandbox_id;
        let status = state.sandboxes.get(id).cloned();
        let status = status.ok_or_else(|| RuntimeError::not_found(format!("sandbox {id:?}: not found")))?;
        Ok(v1::PodSandboxStatusResponse { status: Some(status), ..v1::PodSandboxStatusResponse::default() })
    }

    async fn list_pod_sandbox(&self, request: v1::ListPodSandboxRequest) -> Result<v1::ListPodSandboxResponse> {
        let filter = request.filter.unwrap_or_default();
        let state = self.lock();
        let fits = |s: &&v1::PodSandboxStatus| {
            (filter.id.is_empty() || s.id == filter.id)
                && filter.state.is_none_or(|wanted| s.state == wanted.state)
                && selects(&filter.label_selector, &s.labels)
        };
        let item = |s: &v1::PodSandboxStatus| v1::PodSandbox {
            id: s.id.clone(),
            metadata: s.metadata.clone(),
            state: s.state,
            created_at: s.created_at,
            labels: s.labels.clone(),
            annotations: s.annotations.clone(),
            runtime_handler: s.runtime_handler.clone(),
        };
        Ok(v1::ListPodSandboxResponse { items: state.sandboxes.values().filter(fits).map(item).collect() })
    }

    async fn create_container(&self, request: v1::CreateContainerRequest) -> Result<v1::CreateContainerResponse> {
        let config = request.config.ok_or_else(|| invalid("a container needs a config"))?;
        let id = {
            let mut state = self.lock();
            let metadata = config.metadata.clone().unwrap_or_default();
            state.note(format!("create_container {} {}", metadata.name, metadata.attempt));
            state.fault("create_container")?;
            let ready = v1::PodSandboxState::SandboxReady as i32;
            if state.sandboxes.get(&request.pod_sandbox_id).is_none_or(|s| s.state != ready) {
                return Err(RuntimeError::not_found(format!("sandbox {:?} is not running", request.pod_sandbox_id)));
            }
            let image = config.image.clone().unwrap_or_default();
            let Some(found) = state.image(&image.image) else {
                return Err(RuntimeError::not_found(format!("image {:?}: not found", image.image)));
            };
            let id = state.next_id();
            let full = found.repo_tags.first().or(found.repo_digests.first()).cloned().unwrap_or_default();
            let status = v1::ContainerStatus {
                id: id.clone(),
                metadata: Some(metadata),
                state: v1::ContainerState::ContainerCreated as i32,
                created_at: self.now_nanos(),
                image: Some(v1::ImageSpec { image: full.clone(), ..image }),
                image_ref: found.repo_digests.first().cloned().unwrap_or_default(),
                image_id: found.id,
                labels: config.labels,
                annotations: config.annotations,
                mounts: config.mounts,
                log_path: config.log_path,
                ..v1::ContainerStatus::default()
            };
            let container = Container { sandbox: request.pod_sandbox_id, status, image: full, end: None };
            state.containers.insert(id.clone(), container);
            id
        };
        self.tell(&id, v1::ContainerEventType::ContainerCreatedEvent);
        Ok(v1::CreateContainerResponse { container_id: id })
    }

    async fn start_container(&self, request: v1::StartContainerRequest) -> Result<()> {
        let id = request.container_id;
        let run = {
            let mut state = self.lock();
            let (name, run) = {
                let container = state.container(&id)?;
                (container.name().to_owned(), state.behaviour(&container.image).run(container.attempt()))
            };
            state.note(format!("start_container {name}"));
            state.fault("start_container")?;
            let now = self.now_nanos();
            let Some(container) = state.containers.get_mut(&id) else {
                return Err(RuntimeError::not_found("the container is gone"));
            };
            if container.status.state != v1::ContainerState::ContainerCreated as i32 {
                return Err(RuntimeError::new(Code::FailedPrecondition, "the container has been started before"));
            }
            container.status.state = v1::ContainerState::ContainerRunning as i32;
            container.status.started_at = now;
            run
        };
        self.tell(&id, v1::ContainerEventType::ContainerStartedEvent);
        if let Some(lasts) = run.lasts {
            let (fake, ends) = (self.clone(), id.clone());
            let task = tokio::spawn(async move {
                tokio::time::sleep(lasts).await;
                fake.finish(&ends, run.exit_code, &run.reason, &run.message);
            });
            if let Some(container) = self.lock().containers.get_mut(&id) {
                container.end = Some(task.abort_handle());
            }
        }
        Ok(())
    }

    async fn stop_container(&self, request: v1::StopContainerRequest) -> Result<()> {
        let stops_after = {
            let mut state = self.lock();
            state.fault("stop_container")?;
            let Some(container) = state.containers.get(&request.container_id) else { return Ok(()) };
            if !container.is_running() {
                return Ok(());
            }
            let stops_after = state.behaviour(&container.image).stops_after;
            let line = format!("stop_container {} {}", container.name(), request.timeout);
            state.note(line);
            stops_after
        };
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        match stops_after {
            Some(takes) if takes < grace => {
                tokio::time::sleep(takes).await;
                self.finish(&request.container_id, 143, "Error", "");
            }
            _ => {
                tokio::time::sleep(grace).await;
                self.finish(&request.container_id, 137, "Error", "");
            }
        }
        Ok(())
    }

    async fn remove_container(&self, request: v1::RemoveContainerRequest) -> Result<()> {
        self.finish(&request.container_id, 137, "Error", "");
        let id = &request.container_id;
        if self.lock().containers.contains_key(id) {
            self.tell(id, v1::ContainerEventType::ContainerDeletedEvent);
        }
        let mut state = self.lock();
        state.containers.remove(id);
        Ok(())
    }

    async fn list_containers(&self, request: v1::ListContainersRequest) -> Result<v1::ListContainersResponse> {
        let filter = request.filter.unwrap_or_default();
        let state = self.lock();
        let fits = |c: &&Container| {
            (filter.id.is_empty() || c.status.id == filter.id)
                && (filter.pod_sandbox_id.is_empty() || c.sandbox == filter.pod_sandbox_id)
                && filter.state.is_none_or(|wanted| c.status.state == wanted.state)
                && selects(&filter.label_selector, &c.status.labels)
        };
        let item = |c: &Container| v1::Container {
            id: c.status.id.clone(),
            pod_sandbox_id: c.sandbox.clone(),
            metadata: c.status.metadata.clone(),
            image: c.status.image.clone(),
            image_ref: c.status.image_ref.clone(),
            state: c.status.state,
            created_at: c.status.created_at,
            labels: c.status.labels.clone(),
            annotations: c.status.annotations.clone(),
            image_id: c.status.image_id.clone(),
        };
        Ok(v1::ListContainersResponse { containers: state.containers.values().filter(fits).map(item).collect() })
    }

    async fn container_status(&self, request: v1::ContainerStatusRequest) -> Result<v1::ContainerStatusResponse> {
        let status = self.lock().container(&request.container_id)?.status.clone();
        Ok(v1::ContainerStatusResponse { status: Some(status), ..v1::ContainerStatusResponse::default() })
    }

    async fn update_container_resources(&self, request: v1::UpdateContainerResourcesRequest) -> Result<()> {
        self.lock().container(&request.container_id).map(drop)
    }

    async fn reopen_container_log(&self, request: v1::ReopenContainerLogRequest) -> Result<()> {
        self.lock().container(&request.container_id).map(drop)
    }

    async fn container_stats(&self, request: v1::ContainerStatsRequest) -> Result<v1::ContainerStatsResponse> {
        let stats = stats(self.lock().container(&request.container_id)?, self.now_nanos());
        Ok(v1::ContainerStatsResponse { stats: Some(stats) })
    }

    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse> {
        let filter = request.filter.unwrap_or_default();
        let now = self.now_nanos();
        let state = self.lock();
        let fits = |c: &&Container| {
            (filter.id.is_empty() || c.status.id == filter.id)
                && (filter.pod_sandbox_id.is_empty() || c.sandbox == filter.pod_sandbox_id)
                && selects(&filter.label_selector, &c.status.labels)
        };
        Ok(v1::ListContainerStatsResponse { stats: state.running().filter(fits).map(|c| stats(c, now)).collect() })
    }

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse> {
        let exec = {
            let mut state = self.lock();
            state.fault("exec_sync")?;
            let container = state.container(&request.container_id)?;
            if !container.is_running() {
                return Err(RuntimeError::new(Code::FailedPrecondition, "the container is not running"));
            }
            let exec = state.behaviour(&container.image).exec;
            let line = format!("exec_sync {} {}", container.name(), request.cmd.join(" "));
            state.note(line);
            exec
        };
        let (exit_code, output) = exec(&request.cmd);
        Ok(v1::ExecSyncResponse { stdout: output.into_bytes(), stderr: Vec::new(), exit_code })
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse> {
        self.lock().container(&request.container_id)?;
        Ok(v1::ExecResponse { url: format!("{STREAMING}/exec/{}", request.container_id) })
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse> {
        self.lock().container(&request.container_id)?;
        Ok(v1::AttachResponse { url: format!("{STREAMING}/attach/{}", request.container_id) })
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<v1::PortForwardResponse> {
        Ok(v1::PortForwardResponse { url: format!("{STREAMING}/portforward/{}", request.pod_sandbox_id) })
    }

    async fn events(&self) -> Result<Box<dyn EventStream>> {
        self.lock().fault("events")?;
        Ok(self.subscribe())
    }

    async fn list_images(&self, _: v1::ListImagesRequest) -> Result<v1::ListImagesResponse> {
        let state = self.lock();
        let images = state.images.iter().map(|(name, size)| image_message(name, *size)).collect();
        Ok(v1::ListImagesResponse { images })
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse> {
        let name = request.image.map(|image| image.image).unwrap_or_default();
        Ok(v1::ImageStatusResponse { image: self.lock().image(&name), ..v1::ImageStatusResponse::default() })
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse> {
        let full = normal(&request.image.map(|image| image.image).unwrap_or_default());
        let pull = {
            let mut state = self.lock();
            state.note(format!("pull_image {full}"));
            state.fault("pull_image")?;
            let served = state.every_image || state.images.contains_key(&full);
            state.pulls.get(&full).cloned().unwrap_or_else(|| match served {
                true => Pull::Succeeds { after: Duration::ZERO, size: 1 << 20 },
                false => Pull::Fails {
                    after: Duration::ZERO,
                    message: format!("failed to resolve reference {full:?}: {full}: not found"),
                },
            })
        };
        match pull {
            Pull::Succeeds { after, size } => {
                tokio::time::sleep(after).await;
                let image_ref = image_id(&full);
                self.lock().images.insert(full, size);
                Ok(v1::PullImageResponse { image_ref })
            }
            Pull::Fails { after, message } => {
                tokio::time::sleep(after).await;
                Err(RuntimeError::not_found(message))
            }
        }
    }

    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<()> {
        let name = request.image.map(|image| image.image).unwrap_or_default();
        self.lock().images.retain(|full, _| *full != normal(&name) && image_id(full) != name);
        Ok(())
    }

    async fn image_fs_info(&self, _: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse> {
        let used = self.lock().images.values().sum();
        let usage = v1::FilesystemUsage {
            timestamp: self.now_nanos(),
            used_bytes: Some(v1::UInt64Value { value: used }),
            ..v1::FilesystemUsage::default()
        };
        Ok(v1::ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() })
    }
}

fn invalid(why: &str) -> RuntimeError {
    RuntimeError::new(Code::InvalidArgument, why)
}

fn stats(container: &Container, now: i64) -> v1::ContainerStats {
    let some = |value| Some(v1::UInt64Value { value });
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            id: container.status.id.clone(),
            metadata: container.status.metadata.clone(),
            labels: container.status.labels.clone(),
            annotations: container.status.annotations.clone(),
        }),
        cpu: Some(v1::CpuUsage { timestamp: now, usage_core_nano_seconds: some(0), usage_nano_cores: some(0) }),
        memory: Some(v1::MemoryUsage {
            timestamp: now,
            working_set_bytes: some(1 << 20),
            ..v1::MemoryUsage::default()
        }),
        ..v1::ContainerStats::default()
    }
}
