//! Containers: created (a record, directories and a compiled spec), started by the pod's shim, stopped, removed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cri::{Code, Result, RuntimeError, v1};

use crate::client::CallError;
use crate::compile::{self, Inputs};
use crate::core::Core;
use crate::image;
use crate::proto::{Answer, Exit, Request, write_json};
use crate::spec::{Rootfs, Spec};
use crate::state::{Container, ContainerRecord, Life, Sandbox};

/// How long SIGKILL may take. Only a process stuck in the kernel needs longer.
const KILL_SECS_MAX: u64 = 30;
/// As containerd reports what could not be started.
const START_FAILED: i32 = 128;

pub async fn create(core: &Core, request: v1::CreateContainerRequest) -> Result<String> {
    let config = request.config.unwrap_or_default();
    let sandbox = core.sandbox(&request.pod_sandbox_id)?;
    if !sandbox.record().ready {
        let message = format!("sandbox {} is not ready", sandbox.id);
        return Err(RuntimeError::new(Code::FailedPrecondition, message));
    }
    let metadata = config.metadata.clone().unwrap_or_default();
    if metadata.name.is_empty() {
        return Err(RuntimeError::new(Code::InvalidArgument, "container config must include metadata with a name"));
    }
    let known =
        core.containers_of(&sandbox.id).into_iter().find(|known| known.config.metadata.as_ref() == Some(&metadata));
    if let Some(known) = known {
        return Ok(known.id.clone());
    }
    let wanted = config.image.clone().unwrap_or_default().image;
    let image = core.images.find(&wanted);
    let image =
        image.ok_or_else(|| RuntimeError::not_found(format!("failed to resolve image {wanted:?}: not found")))?;
    let id = core.new_id();
    let log_directory = sandbox.config.log_directory.as_str();
    let parent = sandbox.config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default();
    let parent = if parent.is_empty() { "/ironclad" } else { parent };
    let fixed = ContainerRecord {
        sandbox_id: sandbox.id.clone(),
        created_at_nanos: core.now_nanos(),
        image_ref: image.digests.first().unwrap_or(&image.id).clone(),
        image_id: image.id.clone(),
        image_name: image_name(config.image.as_ref(), &image),
        layers: image.layers.clone(),
        stop_signal: signal_number(&image.config.stop_signal).unwrap_or(libc::SIGTERM),
        cgroup: format!("{}/{id}", parent.trim_end_matches('/')),
        log_path: (!log_directory.is_empty() && !config.log_path.is_empty())
            .then(|| Path::new(log_directory).join(&config.log_path)),
    };
    let dir = core.config.root.join("containers").join(&id);
    let container = Arc::new(Container::new(id.clone(), config, dir, sandbox.pod.container(&id), fixed, Life::Created));
    let spec = compile(core, &sandbox, &container, &image)
        .map_err(|error| RuntimeError::internal(format!("failed to generate container {id:?} spec: {error}")))?;
    let made = container.clone();
    let done = tokio::task::spawn_blocking(move || make(&made, &spec)).await.map_err(RuntimeError::internal)?;
    if let Err(error) = done {
        clear(&container);
        return Err(RuntimeError::internal(error));
    }
    core.containers().insert(id.clone(), container.clone());
    core.tell(&container, v1::ContainerEventType::ContainerCreatedEvent);
    Ok(id)
}

fn compile(
    core: &Core,
    sandbox: &Sandbox,
    container: &Container,
    image: &image::Record,
) -> std::result::Result<Spec, String> {
    let files = sandbox.files();
    let privileged = container
        .config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref())
        .is_some_and(|security| security.privileged);
    let node_devices = if privileged { node_devices() } else { Vec::new() };
    let hostname = std::fs::read_to_string(&files.hostname).unwrap_or_default();
    compile::compile(&Inputs {
        config: &container.config,
        pod: &sandbox.config,
        image: &image.config,
        rootfs: Rootfs {
            layers: core.images.lower_dirs(image),
            upper: container.dir.join("upper"),
            work: container.dir.join("work"),
            readonly: false,
        },
        files: &files,
        cgroup: container.fixed.cgroup.clone(),
        cgroup_dirs: core.layout.group(&container.fixed.cgroup).dirs(),
        available_caps: core.available_caps,
        node_devices: &node_devices,
        localhost_profile: crate::seccomp::localhost(&container.config)?,
        uts_hostname: hostname.trim().to_owned(),
    })
}

/// Device files of the node's /dev, one level of directories deep.
fn node_devices() -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let mut found = Vec::new();
    let mut todo = vec![(PathBuf::from("/dev"), 0)];
    while let Some((dir, depth)) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let skip = ["pts", "shm", "mqueue", "fd", "console", "ptmx"];
            if kind.is_dir() && depth < 1 && !skip.contains(&entry.file_name().to_string_lossy().as_ref()) {
                todo.push((entry.path(), depth + 1));
            } else if (kind.is_char_device() || kind.is_block_device())
                && !skip.contains(&entry.file_name().to_string_lossy().as_ref())
            {
                found.push(entry.path());
            }
        }
    }
    found
}

fn make(container: &Container, spec: &Spec) -> std::result::Result<(), String> {
    for dir in [&spec.rootfs.upper, &spec.rootfs.work, &container.run.rootfs()] {
        std::fs::create_dir_all(dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
    }
    for mount in &container.config.mounts {
        // What a volume wants to see exists, if only as an empty directory, as other runtimes have it.
        if !Path::new(&mount.host_path).exists() {
            std::fs::create_dir_all(&mount.host_path).map_err(|error| format!("make {}: {error}", mount.host_path))?;
        }
    }
    write_json(&container.run.spec(), spec).map_err(|error| format!("write container spec: {error}"))?;
    container.save().map_err(|error| format!("write container record: {error}"))
}

pub async fn start(core: &Core, id: &str) -> Result<()> {
    let container = core.container(id)?;
    let _lifecycle = container.lifecycle.lock().await;
    match container.life() {
        Life::Created => {}
        Life::Running { .. } => return Ok(()),
        Life::Exited { .. } => {
            let message = format!("container {id} is in CONTAINER_EXITED state");
            return Err(RuntimeError::new(Code::FailedPrecondition, message));
        }
    }
    let sandbox = core.sandbox(&container.sandbox_id)?;
    let _starting = container.starting.lock().await;
    let cgroup = core.layout.group(&container.fixed.cgroup);
    let resources = container.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let limits = compile::limits(&resources);
    let grouped = cgroup.create().and_then(|()| cgroup.set(&limits)).map_err(|error| error.to_string());
    let started = match grouped {
        Ok(()) => core.shim(&sandbox).await?.call(Request::Start { container: container.id.clone() }, &[]).await,
        Err(error) => Err(CallError::Failed(error)),
    };
    match started {
        Ok((Answer::Started { .. }, mut fds)) => {
            *container.terminal.lock().unwrap_or_else(PoisonError::into_inner) = fds.pop().map(Arc::new);
            container.started(core.now_nanos());
            container.hold_stdin();
            core.tell(&container, v1::ContainerEventType::ContainerStartedEvent);
            Ok(())
        }
        Ok((answer, _)) => Err(RuntimeError::internal(format!("unexpected answer of the shim: {answer:?}"))),
        Err(CallError::Failed(error)) => {
            let message = format!("failed to start container: unable to start container process: {error}");
            let exit = Exit {
                code: START_FAILED,
                finished_at_nanos: core.now_nanos(),
                oom_killed: false,
                start_error: Some(message.clone()),
            };
            if container.ended(exit) {
                core.tell(&container, v1::ContainerEventType::ContainerStoppedEvent);
            }
            Err(RuntimeError::internal(message))
        }
        Err(error) => Err(RuntimeError::new(Code::Unavailable, error.to_string())),
    }
}

/// The image's stop signal, then, `timeout_secs` later, SIGKILL to all of its processes.
pub async fn stop(core: &Core, container: &Arc<Container>, timeout_secs: i64) -> Result<()> {
    let _lifecycle = container.lifecycle.lock().await;
    if !container.is_running() {
        return Ok(());
    }
    let sandbox = core.sandbox(&container.sandbox_id)?;
    if timeout_secs > 0 {
        let signal = container.fixed.stop_signal;
        let request = Request::Signal { container: container.id.clone(), signal };
        match core.shim(&sandbox).await?.tell(request).await {
            Ok(()) | Err(CallError::NotFound | CallError::Gone) => {}
            Err(CallError::Failed(error)) => return Err(RuntimeError::internal(error)),
        }
        let timeout = Duration::from_secs(timeout_secs.unsigned_abs());
        if tokio::time::timeout(timeout, exited(container)).await.is_ok() {
            return Ok(());
        }
    }
    let request = Request::Signal { container: container.id.clone(), signal: libc::SIGKILL };
    // The group's kill below does the same; this reaches a process that left its group.
    let _ = core.shim(&sandbox).await?.tell(request).await;
    let cgroup = core.layout.group(&container.fixed.cgroup);
    tokio::task::spawn_blocking(move || cgroup.kill())
        .await
        .map_err(RuntimeError::internal)?
        .map_err(RuntimeError::internal)?;
    match tokio::time::timeout(Duration::from_secs(KILL_SECS_MAX), exited(container)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(RuntimeError::new(
            Code::DeadlineExceeded,
            format!("container {} did not end {KILL_SECS_MAX} s after SIGKILL", container.id),
        )),
    }
}

pub async fn exited(container: &Container) {
    let mut life = container.life.subscribe();
    // The sender lives as long as the container.
    let _ = life.wait_for(|life| matches!(life, Life::Exited { .. })).await;
}

pub async fn remove(core: &Core, id: &str) -> Result<()> {
    let Ok(container) = core.container(id) else { return Ok(()) };
    stop(core, &container, 0).await?;
    let _lifecycle = container.lifecycle.lock().await;
    if let Ok(sandbox) = core.sandbox(&container.sandbox_id)
        && sandbox.record().ready
    {
        // A shim that is gone has nothing to forget.
        let _ = core.shim(&sandbox).await?.tell(Request::Forget { container: container.id.clone() }).await;
    }
    let cgroup = core.layout.group(&container.fixed.cgroup);
    let gone = container.clone();
    let clear = move || {
        clear(&gone);
        cgroup.remove()
    };
    let removed = tokio::task::spawn_blocking(clear).await.map_err(RuntimeError::internal)?;
    if let Err(error) = removed {
        // The last process may still be on its way out; the pod's group goes with the pod.
        tracing::debug!(container = container.id, %error, "cannot remove the container's cgroup yet");
    }
    core.containers().remove(&container.id);
    core.tell(&container, v1::ContainerEventType::ContainerDeletedEvent);
    Ok(())
}

/// The record goes first: without it there is no container.
fn clear(container: &Container) {
    let _ = std::fs::remove_file(container.dir.join("record.json"));
    for path in [&container.dir, &container.run.0] {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove what a container left");
            }
            _ => {}
        }
    }
}

pub async fn update_resources(core: &Core, request: v1::UpdateContainerResourcesRequest) -> Result<()> {
    let container = core.container(&request.container_id)?;
    let _lifecycle = container.lifecycle.lock().await;
    let Some(resources) = request.linux else { return Ok(()) };
    if !container.is_running() {
        return Err(RuntimeError::new(Code::FailedPrecondition, format!("container {} is not running", container.id)));
    }
    let cgroup = core.layout.group(&container.fixed.cgroup);
    cgroup.set(&compile::limits(&resources)).map_err(RuntimeError::internal)
}

pub async fn reopen_log(core: &Core, id: &str) -> Result<()> {
    let container = core.container(id)?;
    if !container.is_running() {
        return Err(RuntimeError::new(Code::FailedPrecondition, format!("container {id} is not running")));
    }
    let sandbox = core.sandbox(&container.sandbox_id)?;
    let shim = core.shim(&sandbox).await?;
    shim.tell(Request::ReopenLog { container: container.id.clone() }).await.map_err(RuntimeError::internal)
}

pub fn status(container: &Container) -> v1::ContainerStatus {
    let mut status = v1::ContainerStatus {
        id: container.id.clone(),
        metadata: container.config.metadata.clone(),
        created_at: container.fixed.created_at_nanos,
        image: Some(v1::ImageSpec {
            image: container.fixed.image_name.clone(),
            ..container.config.image.clone().unwrap_or_default()
        }),
        image_ref: container.fixed.image_ref.clone(),
        image_id: container.fixed.image_id.clone(),
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        mounts: container.config.mounts.clone(),
        log_path: log_path(container),
        resources: container
            .config
            .linux
            .as_ref()
            .map(|linux| v1::ContainerResources { linux: linux.resources.clone(), windows: None }),
        ..v1::ContainerStatus::default()
    };
    match container.life() {
        Life::Created => status.state = v1::ContainerState::ContainerCreated as i32,
        Life::Running { started_at_nanos } => {
            status.state = v1::ContainerState::ContainerRunning as i32;
            status.started_at = started_at_nanos;
        }
        Life::Exited { started_at_nanos, exit } => {
            status.state = v1::ContainerState::ContainerExited as i32;
            status.started_at = started_at_nanos;
            status.finished_at = exit.finished_at_nanos;
            status.exit_code = exit.code;
            status.reason = reason(&exit).to_owned();
            status.message = exit.start_error.unwrap_or_default();
        }
    }
    status
}

fn image_name(spec: Option<&v1::ImageSpec>, image: &image::Record) -> String {
    let spec = spec.cloned().unwrap_or_default();
    let wanted = image::reference::Reference::parse(&spec.user_specified_image).map(|name| name.to_string());
    let tagged = wanted.ok().filter(|name| image.tags.contains(name));
    tagged.or_else(|| image.tags.first().cloned()).unwrap_or(spec.image)
}

/// Upstream's words, which end up in the pod's status.
fn reason(exit: &Exit) -> &'static str {
    match exit {
        Exit { start_error: Some(_), .. } => "StartError",
        Exit { oom_killed: true, .. } => "OOMKilled",
        Exit { code: 0, .. } => "Completed",
        Exit { .. } => "Error",
    }
}

fn log_path(container: &Container) -> String {
    container.fixed.log_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
}

pub fn list(core: &Core, filter: &v1::ContainerFilter) -> Vec<v1::Container> {
    let containers: Vec<_> = core.containers().values().cloned().collect();
    let items = containers.iter().map(|container| {
        let status = status(container);
        v1::Container {
            id: status.id,
            pod_sandbox_id: container.sandbox_id.clone(),
            metadata: status.metadata,
            image: status.image,
            image_ref: status.image_ref,
            state: status.state,
            created_at: status.created_at,
            labels: status.labels,
            annotations: status.annotations,
            image_id: status.image_id,
        }
    });
    let wanted = |item: &v1::Container| {
        (filter.id.is_empty() || item.id.starts_with(&filter.id))
            && (filter.pod_sandbox_id.is_empty() || item.pod_sandbox_id.starts_with(&filter.pod_sandbox_id))
            && filter.state.as_ref().is_none_or(|state| state.state == item.state)
            && filter.label_selector.iter().all(|(key, value)| item.labels.get(key) == Some(value))
    };
    items.filter(wanted).collect()
}

/// A signal by name or number, as an image's STOPSIGNAL gives it.
fn signal_number(text: &str) -> Option<i32> {
    const NAMES: [(&str, i32); 14] = [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("KILL", libc::SIGKILL),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("PIPE", libc::SIGPIPE),
        ("ALRM", libc::SIGALRM),
        ("TERM", libc::SIGTERM),
        ("CONT", libc::SIGCONT),
        ("STOP", libc::SIGSTOP),
        ("TSTP", libc::SIGTSTP),
        ("WINCH", libc::SIGWINCH),
        ("ABRT", libc::SIGABRT),
    ];
    if let Ok(number) = text.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse::<i32>().ok().map(|offset| 34 + offset).filter(|number| *number <= 64);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_read_by_name_and_number() {
        let cases = [
            ("SIGQUIT", Some(3)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("", None),
            ("99", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(signal_number(text), wanted, "{text}");
        }
    }
}
