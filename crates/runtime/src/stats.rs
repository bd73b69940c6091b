//! What containers use: processor and memory from their cgroups, disk from their writable layer.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use cri::v1;

use crate::core::Core;
use crate::state::Container;

/// Files of a writable layer that are counted; a larger one is told as this much.
const FILES_MAX: u64 = 1_000_000;

pub async fn container(core: &Core, container: &Container) -> v1::ContainerStats {
    let at = core.now_nanos();
    let stats = core.layout.group(&container.fixed.cgroup).stats();
    let upper = container.dir.join("upper");
    let disk = tokio::task::spawn_blocking(move || usage(&upper)).await.unwrap_or_default();
    let value = |value: u64| Some(v1::UInt64Value { value });
    let available = stats.memory_limit_bytes.map(|limit| limit.saturating_sub(stats.memory_working_set_bytes));
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            id: container.id.clone(),
            metadata: container.config.metadata.clone(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
        }),
        cpu: Some(v1::CpuUsage {
            timestamp: at,
            usage_core_nano_seconds: value(stats.cpu_nanos),
            usage_nano_cores: nano_cores(container, at, stats.cpu_nanos).and_then(value),
        }),
        memory: Some(v1::MemoryUsage {
            timestamp: at,
            working_set_bytes: value(stats.memory_working_set_bytes),
            available_bytes: available.and_then(value),
            usage_bytes: value(stats.memory_usage_bytes),
            rss_bytes: value(stats.memory_rss_bytes),
            page_faults: value(stats.page_faults),
            major_page_faults: value(stats.major_page_faults),
        }),
        writable_layer: Some(usage_message(at, container.dir.join("upper"), disk)),
        swap: None,
    }
}

/// The rate since the last question; unknown at the first.
fn nano_cores(container: &Container, at: i64, used: u64) -> Option<u64> {
    let mut sample = container.cpu_sample.lock().unwrap_or_else(PoisonError::into_inner);
    let (before, used_before) = sample.replace((at, used))?;
    let passed = u64::try_from(at - before).ok().filter(|passed| *passed > 0)?;
    let rate = u128::from(used.checked_sub(used_before)?) * 1_000_000_000 / u128::from(passed);
    u64::try_from(rate).ok()
}

pub fn usage_message(at: i64, path: PathBuf, (bytes, inodes): (u64, u64)) -> v1::FilesystemUsage {
    v1::FilesystemUsage {
        timestamp: at,
        fs_id: Some(v1::FilesystemIdentifier { mountpoint: path.display().to_string() }),
        used_bytes: Some(v1::UInt64Value { value: bytes }),
        inodes_used: Some(v1::UInt64Value { value: inodes }),
    }
}

/// Bytes on disk and inodes of a directory tree.
pub fn usage(dir: &Path) -> (u64, u64) {
    let (mut bytes, mut inodes) = (0, 0);
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            inodes += 1;
            if meta.is_dir() {
                todo.push(entry.path());
            }
            if inodes >= FILES_MAX {
                return (bytes, inodes);
            }
        }
    }
    (bytes, inodes)
}
