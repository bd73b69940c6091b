//! The Container Runtime Interface: the kubelet's only way to containers.
//!
//! The messages are CRI's own (generated into `gen/` from the published proto by `cargo xtask codegen`); the trait has
//! one method for each call that the kubelet makes. The built-in runtime implements it in-process, so does the fake of
//! [`fake`]; a gRPC client for other runtimes speaks the same messages.

/// CRI v1's messages.
#[allow(clippy::all, clippy::pedantic, rust_2018_idioms)]
#[rustfmt::skip]
#[path = "gen/v1.rs"]
pub mod v1;

pub mod fake;
pub mod suite;

use async_trait::async_trait;

/// A failed call, with gRPC's codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    pub code: Code,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Unimplemented,
    Internal,
    Unavailable,
}

impl RuntimeError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, message.to_string())
    }
}

pub type Result<T> = std::result::Result<T, RuntimeError>;

/// Tells the kubelet that something about a container or sandbox changed, so that it need not poll.
#[async_trait]
pub trait EventStream: Send {
    /// `None` when the stream broke: list everything and subscribe again.
    async fn next(&mut self) -> Option<v1::ContainerEventResponse>;
}

/// RuntimeService and ImageService of CRI v1. Every call may be repeated safely, as CRI asks.
#[async_trait]
pub trait Runtime: Send + Sync {
    async fn version(&self) -> Result<v1::VersionResponse>;
    async fn status(&self, request: v1::StatusRequest) -> Result<v1::StatusResponse>;
    async fn update_runtime_config(&self, request: v1::UpdateRuntimeConfigRequest) -> Result<()>;

    async fn run_pod_sandbox(&self, request: v1::RunPodSandboxRequest) -> Result<v1::RunPodSandboxResponse>;
    async fn stop_pod_sandbox(&self, request: v1::StopPodSandboxRequest) -> Result<()>;
    async fn remove_pod_sandbox(&self, request: v1::RemovePodSandboxRequest) -> Result<()>;
    async fn pod_sandbox_status(&self, request: v1::PodSandboxStatusRequest) -> Result<v1::PodSandboxStatusResponse>;
    async fn list_pod_sandbox(&self, request: v1::ListPodSandboxRequest) -> Result<v1::ListPodSandboxResponse>;

    async fn create_container(&self, request: v1::CreateContainerRequest) -> Result<v1::CreateContainerResponse>;
    async fn start_container(&self, request: v1::StartContainerRequest) -> Result<()>;
    async fn stop_container(&self, request: v1::StopContainerRequest) -> Result<()>;
    async fn remove_container(&self, request: v1::RemoveContainerRequest) -> Result<()>;
    async fn list_containers(&self, request: v1::ListContainersRequest) -> Result<v1::ListContainersResponse>;
    async fn container_status(&self, request: v1::ContainerStatusRequest) -> Result<v1::ContainerStatusResponse>;
    async fn update_container_resources(&self, request: v1::UpdateContainerResourcesRequest) -> Result<()>;
    async fn reopen_container_log(&self, request: v1::ReopenContainerLogRequest) -> Result<()>;
    async fn container_stats(&self, request: v1::ContainerStatsRequest) -> Result<v1::ContainerStatsResponse>;
    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse>;

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse>;
    /// The three streaming calls answer with the URL of a streaming server, as in CRI.
    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse>;
    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse>;
    async fn port_forward(&self, request: v1::PortForwardRequest) -> Result<v1::PortForwardResponse>;

    async fn events(&self) -> Result<Box<dyn EventStream>>;

    async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse>;
    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse>;
    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse>;
    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<()>;
    async fn image_fs_info(&self, request: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse>;
}
