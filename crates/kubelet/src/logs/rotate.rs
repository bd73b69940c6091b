//! Keeps logs small: a log that has grown too large is moved aside and the runtime told to begin a new one.

use std::io;
use std::path::{Path, PathBuf};

use cri::{Runtime, v1};
use jiff::Timestamp;

/// Upstream's defaults: 10 MiB a file, 5 files a container.
const SIZE_MAX_BYTES: u64 = 10 << 20;
const FILES_MAX: usize = 5;

/// Rotates the logs of all running containers that need it. `path_of` says where a container's log is.
pub async fn rotate(runtime: &dyn Runtime, path_of: impl Fn(&v1::Container) -> Option<PathBuf>, now: Timestamp) {
    let running = v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning as i32 };
    let filter = v1::ContainerFilter { state: Some(running), ..v1::ContainerFilter::default() };
    let listed = runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await.unwrap_or_default();
    for container in listed.containers {
        let Some(path) = path_of(&container) else { continue };
        if !std::fs::metadata(&path).is_ok_and(|found| found.len() > SIZE_MAX_BYTES) {
            continue;
        }
        if let Err(error) = rotate_one(runtime, &container.id, &path, now).await {
            tracing::warn!(path = %path.display(), "cannot rotate the log: {error}");
        }
    }
}

async fn rotate_one(runtime: &dyn Runtime, id: &str, path: &Path, now: Timestamp) -> io::Result<()> {
    let stamp = now.strftime("%Y%m%d-%H%M%S").to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = path.with_file_name(format!("{name}.{stamp}"));
    std::fs::rename(path, &aside)?;
    let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
    if let Err(error) = runtime.reopen_container_log(request).await {
        // The runtime still writes to the old file: put it back.
        std::fs::rename(&aside, path)?;
        return Err(io::Error::other(error));
    }
    remove_oldest(path, &name)
}

fn remove_oldest(path: &Path, name: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut old = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let of_log = entry.file_name().to_string_lossy().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        if of_log {
            old.push(entry.path());
        }
    }
    old.sort();
    let excess = old.len().saturating_sub(FILES_MAX - 1);
    old.iter().take(excess).try_for_each(std::fs::remove_file)
}
