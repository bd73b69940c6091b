//! CRI, call by call: each does what its room's function does.

use std::sync::Arc;

use async_trait::async_trait;
use cri::{Code, EventStream, Result, RuntimeError, v1};
use stdx::{Clock, Rng};
use tokio::sync::broadcast;

use crate::core::{Config, Core, Event};
use crate::image;
use crate::network::PodNetwork;
use crate::streaming::{Server, Wanted};
use crate::{container, exec, sandbox, stats};

/// The runtime, in this process. Containers outlive it.
pub struct Builtin {
    core: Arc<Core>,
    streams: Server,
    listener: tokio::task::JoinHandle<()>,
}

impl Builtin {
    /// Opens the runtime's state and takes over what runs.
    pub async fn open(
        config: Config,
        network: Arc<dyn PodNetwork>,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> std::result::Result<Self, String> {
        let (core, news) = Core::open(config, network, clock, rng)?;
        let core = Arc::new(core);
        let listener = tokio::spawn(core.clone().listen(news));
        core.recover().await?;
        let streams = Server::start(core.clone()).await.map_err(|error| format!("start streaming server: {error}"))?;
        Ok(Self { core, streams, listener })
    }

    /// The image store, for `ironclad image load`.
    pub fn images(&self) -> Arc<image::Store> {
        self.core.images.clone()
    }

    fn running(&self, id: &str) -> Result<()> {
        match self.core.container(id)?.is_running() {
            true => Ok(()),
            false => Err(RuntimeError::new(Code::FailedPrecondition, format!("container {id} is not running"))),
        }
    }

    fn image(record: image::Record) -> v1::Image {
        let user = record.config.user.split(':').next().unwrap_or_default().to_owned();
        let uid = if user.is_empty() { Some(0) } else { user.parse().ok() };
        v1::Image {
            id: record.id,
            repo_tags: record.tags.into_iter().collect(),
            repo_digests: record.digests.into_iter().collect(),
            size: record.size_bytes,
            uid: uid.map(|value| v1::Int64Value { value }),
            username: if uid.is_some() { String::new() } else { user },
            spec: None,
            pinned: false,
        }
    }
}

impl Drop for Builtin {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

struct Events {
    core: Arc<Core>,
    receiver: broadcast::Receiver<Event>,
}

#[async_trait]
impl EventStream for Events {
    async fn next(&mut self) -> Option<v1::ContainerEventResponse> {
        let event = self.receiver.recv().await.ok()?;
        let of_pod = self.core.containers_of(&event.sandbox);
        Some(v1::ContainerEventResponse {
            container_id: event.container,
            container_event_type: event.kind as i32,
            created_at: event.at_nanos,
            pod_sandbox_status: self.core.sandbox(&event.sandbox).ok().map(|sandbox| sandbox::status(&sandbox)),
            containers_statuses: of_pod.iter().map(|container| container::status(container)).collect(),
        })
    }
}

#[async_trait]
impl cri::Runtime for Builtin {
    async fn version(&self) -> Result<v1::VersionResponse> {
        Ok(v1::VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "ironclad".into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn status(&self, _request: v1::StatusRequest) -> Result<v1::StatusResponse> {
        let network = self.core.network.ready().await;
        let condition = |kind: &str, ready: std::result::Result<(), String>, reason: &str| v1::RuntimeCondition {
            r#type: kind.into(),
            status: ready.is_ok(),
            reason: if ready.is_ok() { String::new() } else { reason.into() },
            message: ready.err().unwrap_or_default(),
        };
        let conditions =
            vec![condition("RuntimeReady", Ok(()), ""), condition("NetworkReady", network, "NetworkPluginNotReady")];
        let handler = v1::RuntimeHandler {
            name: String::new(),
            features: Some(v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false }),
        };
        Ok(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions }),
            info: Default::default(),
            runtime_handlers: vec![handler],
            features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true }),
        })
    }

    async fn update_runtime_config(&self, request: v1::UpdateRuntimeConfigRequest) -> Result<()> {
        let network = request.runtime_config.and_then(|config| config.network_config).unwrap_or_default();
        if network.pod_cidr.is_empty() {
            return Ok(());
        }
        self.core.network.set_pod_cidr(&network.pod_cidr).await.map_err(RuntimeError::internal)
    }

    async fn run_pod_sandbox(&self, request: v1::RunPodSandboxRequest) -> Result<v1::RunPodSandboxResponse> {
        if !request.runtime_handler.is_empty() {
            let message = format!("no runtime for {:?} is configured", request.runtime_handler);
            return Err(RuntimeError::new(Code::InvalidArgument, message));
        }
        let pod_sandbox_id = sandbox::run(&self.core, request.config.unwrap_or_default()).await?;
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(&self, request: v1::StopPodSandboxRequest) -> Result<()> {
        sandbox::stop(&self.core, &request.pod_sandbox_id).await
    }

    async fn remove_pod_sandbox(&self, request: v1::RemovePodSandboxRequest) -> Result<()> {
        sandbox::remove(&self.core, &request.pod_sandbox_id).await
    }

    async fn pod_sandbox_status(&self, request: v1::PodSandboxStatusRequest) -> Result<v1::PodSandboxStatusResponse> {
        let found = self.core.sandbox(&request.pod_sandbox_id)?;
        let containers = self.core.containers_of(&found.id);
        Ok(v1::PodSandboxStatusResponse {
            status: Some(sandbox::status(&found)),
            info: Default::default(),
            containers_statuses: containers.iter().map(|container| container::status(container)).collect(),
            timestamp: self.core.now_nanos(),
        })
    }

    async fn list_pod_sandbox(&self, request: v1::ListPodSandboxRequest) -> Result<v1::ListPodSandboxResponse> {
        let items = sandbox::list(&self.core, &request.filter.unwrap_or_default());
        Ok(v1::ListPodSandboxResponse { items })
    }

    async fn create_container(&self, request: v1::CreateContainerRequest) -> Result<v1::CreateContainerResponse> {
        let container_id = container::create(&self.core, request).await?;
        Ok(v1::CreateContainerResponse { container_id })
    }

    async fn start_container(&self, request: v1::StartContainerRequest) -> Result<()> {
        container::start(&self.core, &request.container_id).await
    }

    async fn stop_container(&self, request: v1::StopContainerRequest) -> Result<()> {
        match self.core.container(&request.container_id) {
            Ok(found) => container::stop(&self.core, &found, request.timeout).await,
            Err(_) => Ok(()),
        }
    }

    async fn remove_container(&self, request: v1::RemoveContainerRequest) -> Result<()> {
        container::remove(&self.core, &request.container_id).await
    }

    async fn list_containers(&self, request: v1::ListContainersRequest) -> Result<v1::ListContainersResponse> {
        let containers = container::list(&self.core, &request.filter.unwrap_or_default());
        Ok(v1::ListContainersResponse { containers })
    }

    async fn container_status(&self, request: v1::ContainerStatusRequest) -> Result<v1::ContainerStatusResponse> {
        let found = self.core.container(&request.container_id)?;
        let status = Some(container::status(&found));
        Ok(v1::ContainerStatusResponse { status, info: Default::default() })
    }

    async fn update_container_resources(&self, request: v1::UpdateContainerResourcesRequest) -> Result<()> {
        container::update_resources(&self.core, request).await
    }

    async fn reopen_container_log(&self, request: v1::ReopenContainerLogRequest) -> Result<()> {
        container::reopen_log(&self.core, &request.container_id).await
    }

    async fn container_stats(&self, request: v1::ContainerStatsRequest) -> Result<v1::ContainerStatsResponse> {
        let found = self.core.container(&request.container_id)?;
        Ok(v1::ContainerStatsResponse { stats: Some(stats::container(&self.core, &found).await) })
    }

    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse> {
        let filter = request.filter.unwrap_or_default();
        let running: Vec<_> = self.core.containers().values().filter(|found| found.is_running()).cloned().collect();
        let mut all = Vec::new();
        for found in running {
            let wanted = (filter.id.is_empty() || found.id.starts_with(&filter.id))
                && (filter.pod_sandbox_id.is_empty() || found.sandbox_id.starts_with(&filter.pod_sandbox_id))
                && filter.label_selector.iter().all(|(key, value)| found.config.labels.get(key) == Some(value));
            if wanted {
                all.push(stats::container(&self.core, &found).await);
            }
        }
        Ok(v1::ListContainerStatsResponse { stats: all })
    }

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse> {
        exec::sync(&self.core, request).await
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse> {
        self.running(&request.container_id)?;
        if request.tty && request.stderr {
            return Err(RuntimeError::new(Code::InvalidArgument, "tty and stderr cannot both be true"));
        }
        Ok(v1::ExecResponse { url: self.streams.url(Wanted::Exec(request))? })
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse> {
        self.running(&request.container_id)?;
        if request.tty && request.stderr {
            return Err(RuntimeError::new(Code::InvalidArgument, "tty and stderr cannot both be true"));
        }
        Ok(v1::AttachResponse { url: self.streams.url(Wanted::Attach(request))? })
    }

    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<v1::PortForwardResponse> {
        let found = self.core.sandbox(&request.pod_sandbox_id)?;
        if !found.record().ready {
            let message = format!("sandbox container {:?} is not running", found.id);
            return Err(RuntimeError::new(Code::FailedPrecondition, message));
        }
        Ok(v1::PortForwardResponse { url: self.streams.url(Wanted::PortForward(request))? })
    }

    async fn events(&self) -> Result<Box<dyn EventStream>> {
        Ok(Box::new(Events { core: self.core.clone(), receiver: self.core.events.subscribe() }))
    }

    async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse> {
        let wanted = request.filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
        let records = match wanted.as_str() {
            "" => self.core.images.list(),
            name => self.core.images.find(name).into_iter().collect(),
        };
        Ok(v1::ListImagesResponse { images: records.into_iter().map(Self::image).collect() })
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse> {
        let found = self.core.images.find(&request.image.unwrap_or_default().image);
        Ok(v1::ImageStatusResponse { image: found.map(Self::image), info: Default::default() })
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse> {
        let image = request.image.unwrap_or_default().image;
        let record = image::pull::pull(self.core.images.clone(), &image, request.auth.as_ref()).await?;
        Ok(v1::PullImageResponse { image_ref: record.id })
    }

    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<()> {
        let name = request.image.unwrap_or_default().image;
        let Some(record) = self.core.images.find(&name) else { return Ok(()) };
        let user = self.core.containers().values().find(|user| user.fixed.image_id == record.id).cloned();
        if let Some(user) = user {
            let message = format!("image {name:?} is in use by container {}", user.id);
            return Err(RuntimeError::new(Code::FailedPrecondition, message));
        }
        let (images, layers_used) = (self.core.images.clone(), self.core.layers_used());
        tokio::task::spawn_blocking(move || images.remove(&record.id, &layers_used))
            .await
            .map_err(RuntimeError::internal)?
            .map_err(RuntimeError::internal)
    }

    async fn image_fs_info(&self, _request: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse> {
        let (images, containers) = (self.core.images.dir().to_owned(), self.core.config.root.join("containers"));
        let at = self.core.now_nanos();
        let count = move || {
            let usage = |dir: std::path::PathBuf| stats::usage_message(at, dir.clone(), stats::usage(&dir));
            (usage(images), usage(containers))
        };
        let (images, containers) = tokio::task::spawn_blocking(count).await.map_err(RuntimeError::internal)?;
        Ok(v1::ImageFsInfoResponse { image_filesystems: vec![images], container_filesystems: vec![containers] })
    }
}
