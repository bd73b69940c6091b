//! What every container runtime must keep: one suite, run against the fake and the built-in runtime by their tests.
//!
//! It asserts, as a test does; no product code calls it. The image given must hold a container that runs until it is
//! stopped, with no command of ours.

use crate::{Code, Runtime, v1};

/// Runs the suite against `runtime` with containers of `image`, which must be in its store.
pub async fn check(runtime: &dyn Runtime, image: &str) {
    let pod = sandbox("suite", 0);
    let sandbox_id = a_sandbox_becomes_ready_and_is_listed(runtime, &pod).await;
    let container = a_container_is_created_started_and_stopped(runtime, &sandbox_id, &pod, image).await;
    what_is_gone_stays_gone(runtime, &sandbox_id, &container).await;
    a_container_of_an_unknown_image_is_not_found(runtime).await;
}

fn labels(pod: &str) -> std::collections::BTreeMap<String, String> {
    [("io.kubernetes.pod.uid".to_owned(), format!("uid-{pod}"))].into()
}

fn sandbox(name: &str, attempt: u32) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            namespace: "default".to_owned(),
            attempt,
        }),
        hostname: name.to_owned(),
        labels: labels(name),
        linux: Some(v1::LinuxPodSandboxConfig::default()),
        ..v1::PodSandboxConfig::default()
    }
}

fn container(name: &str, image: &str) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() }),
        labels: labels("suite"),
        ..v1::ContainerConfig::default()
    }
}

async fn a_sandbox_becomes_ready_and_is_listed(runtime: &dyn Runtime, pod: &v1::PodSandboxConfig) -> String {
    let request = v1::RunPodSandboxRequest { config: Some(pod.clone()), runtime_handler: String::new() };
    let id = runtime.run_pod_sandbox(request).await.expect("invariant: a sandbox runs").pod_sandbox_id;
    let status = runtime
        .pod_sandbox_status(v1::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false })
        .await
        .expect("invariant: a sandbox that runs has a status")
        .status
        .unwrap_or_default();
    assert_eq!(status.state, v1::PodSandboxState::SandboxReady as i32);
    assert_eq!(status.metadata, pod.metadata);
    let filter = v1::PodSandboxFilter { label_selector: pod.labels.clone(), ..v1::PodSandboxFilter::default() };
    let listed = runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await;
    let listed = listed.map(|answer| answer.items.into_iter().map(|item| item.id).collect::<Vec<_>>());
    assert_eq!(listed, Ok(vec![id.clone()]));
    id
}

async fn state(runtime: &dyn Runtime, id: &str) -> v1::ContainerStatus {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    runtime.container_status(request).await.ok().and_then(|answer| answer.status).unwrap_or_default()
}

async fn a_container_is_created_started_and_stopped(
    runtime: &dyn Runtime,
    sandbox_id: &str,
    pod: &v1::PodSandboxConfig,
    image: &str,
) -> String {
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox_id.to_owned(),
        config: Some(container("main", image)),
        sandbox_config: Some(pod.clone()),
    };
    let id = runtime.create_container(request).await.expect("invariant: a container is created").container_id;
    assert_eq!(state(runtime, &id).await.state, v1::ContainerState::ContainerCreated as i32);
    let mut events = runtime.events().await.expect("invariant: a runtime tells its events");
    let start = v1::StartContainerRequest { container_id: id.clone() };
    runtime.start_container(start).await.expect("invariant: a created container starts");
    assert_eq!(state(runtime, &id).await.state, v1::ContainerState::ContainerRunning as i32);
    let event = events.next().await.unwrap_or_default();
    assert_eq!(event.container_event_type, v1::ContainerEventType::ContainerStartedEvent as i32);
    assert_eq!(event.container_id, id);
    for _ in 0..2 {
        let stop = v1::StopContainerRequest { container_id: id.clone(), timeout: 1 };
        runtime.stop_container(stop).await.expect("invariant: stopping twice is fine");
    }
    let status = state(runtime, &id).await;
    assert_eq!(status.state, v1::ContainerState::ContainerExited as i32);
    assert!(status.finished_at >= status.started_at, "a container ends after it started");
    let event = events.next().await.unwrap_or_default();
    assert_eq!(event.container_event_type, v1::ContainerEventType::ContainerStoppedEvent as i32);
    id
}

async fn what_is_gone_stays_gone(runtime: &dyn Runtime, sandbox_id: &str, container: &str) {
    for _ in 0..2 {
        let stop = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox_id.to_owned() };
        runtime.stop_pod_sandbox(stop).await.expect("invariant: stopping a sandbox twice is fine");
    }
    for _ in 0..2 {
        let remove = v1::RemoveContainerRequest { container_id: container.to_owned() };
        runtime.remove_container(remove).await.expect("invariant: removing a container twice is fine");
    }
    for _ in 0..2 {
        let remove = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox_id.to_owned() };
        runtime.remove_pod_sandbox(remove).await.expect("invariant: removing a sandbox twice is fine");
    }
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox_id.to_owned(), verbose: false };
    let gone = runtime.pod_sandbox_status(request).await.map(drop).map_err(|error| error.code);
    assert_eq!(gone, Err(Code::NotFound));
    let request = v1::ContainerStatusRequest { container_id: container.to_owned(), verbose: false };
    let gone = runtime.container_status(request).await.map(drop).map_err(|error| error.code);
    assert_eq!(gone, Err(Code::NotFound));
}

async fn a_container_of_an_unknown_image_is_not_found(runtime: &dyn Runtime) {
    let image = v1::ImageSpec { image: "unknown.invalid/none:1".to_owned(), ..v1::ImageSpec::default() };
    let request = v1::ImageStatusRequest { image: Some(image), verbose: false };
    let found = runtime.image_status(request).await.map(|answer| answer.image);
    assert_eq!(found, Ok(None));
}
