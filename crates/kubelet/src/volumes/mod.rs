//! The volumes of a pod: directories below `pods/UID/volumes`, made before its containers and removed after them.
//!
//! One file a kind, one line in [`KINDS`]. A kind prepares: it says what the volume holds ([`Prepared`]), from objects
//! that were read before; [`set_up`] does it. Invariant: setting up again what is set up changes nothing but content.

pub mod atomic;
mod config_map;
mod downward;
mod empty_dir;
mod host_path;
mod projected;
mod secret;
pub mod subpath;
pub mod token;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1 as core;

use crate::config::Mounts;
use crate::env::ConfigError;
use crate::env::field::Facts;
use crate::pod::PodRef;
use crate::references::Referred;
pub use atomic::{Payload, PayloadFile};

/// What a volume needs to be prepared.
pub struct Input<'a> {
    pub pod: &'a PodRef,
    pub volume: &'a core::Volume,
    pub referred: &'a Referred,
    pub facts: &'a Facts,
    /// Service account tokens of the volume's sources, by their position.
    pub tokens: &'a BTreeMap<usize, String>,
}

/// What a volume is.
pub enum Prepared {
    /// An empty directory of the pod's own; a tmpfs where `memory` is set.
    Dir { memory: bool, size_bytes: Option<u64> },
    /// Files that are kept up to date.
    Files(Payload),
    /// Something of the node's.
    Host(PathBuf),
}

/// A kind of volume.
pub struct Kind {
    /// Upstream's plugin name with `~` for `/`, as it stands in paths.
    pub plugin: &'static str,
    pub claims: fn(&core::Volume) -> bool,
    pub prepare: fn(&Input<'_>) -> Result<Prepared, ConfigError>,
}

const KINDS: [&Kind; 6] =
    [&config_map::KIND, &downward::KIND, &empty_dir::KIND, &host_path::KIND, &projected::KIND, &secret::KIND];

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("volume kind is not supported by this kubelet")]
    Unsupported,
}

/// Where each volume is on the node, by its name.
pub type Mounted = BTreeMap<String, PathBuf>;

/// Makes the volume, or brings its content up to date; its place on the node.
pub fn set_up(input: &Input<'_>, pod_dir: &Path, mounts: &dyn Mounts) -> Result<PathBuf, VolumeError> {
    let kind = KINDS.iter().find(|kind| (kind.claims)(input.volume)).ok_or(VolumeError::Unsupported)?;
    let dir = pod_dir.join("volumes").join(kind.plugin).join(&input.volume.name);
    let fs_group = input.pod.spec().security_context.as_ref().and_then(|context| context.fs_group);
    match (kind.prepare)(input)? {
        Prepared::Host(path) => return Ok(path),
        Prepared::Dir { memory, size_bytes } => {
            let fresh = !dir.exists();
            std::fs::create_dir_all(&dir)?;
            if memory && !is_mount_point(&dir)? {
                mounts.tmpfs(&dir, size_bytes)?;
            }
            if fresh {
                std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777))?;
            }
            if let Some(group) = fs_group {
                own_dir(&dir, group)?;
            }
        }
        Prepared::Files(payload) => {
            std::fs::create_dir_all(&dir)?;
            let fresh = std::fs::symlink_metadata(dir.join("..data")).is_err() && !is_mount_point(&dir)?;
            if fresh && kind.plugin != "kubernetes.io~downward-api" && kind.plugin != "kubernetes.io~configmap" {
                // Secrets do not touch a disk; where a tmpfs cannot be had the directory serves.
                if let Err(error) = mounts.tmpfs(&dir, None) {
                    tracing::debug!(volume = %input.volume.name, "no tmpfs for the volume: {error}");
                }
            }
            atomic::write(&dir, &payload, fs_group)?;
        }
    }
    Ok(dir)
}

/// Whether a volume's content must follow what it refers to.
pub fn is_live(volume: &core::Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// Unmounts and removes all volumes and other files of a pod.
pub fn tear_down(pod_dir: &Path, mounts: &dyn Mounts) -> io::Result<()> {
    if !pod_dir.exists() {
        return Ok(());
    }
    mounts.unmount_all(pod_dir)?;
    std::fs::remove_dir_all(pod_dir)
}

fn is_mount_point(dir: &Path) -> io::Result<bool> {
    let parent = dir.parent().unwrap_or(dir);
    Ok(std::fs::metadata(dir)?.dev() != std::fs::metadata(parent)?.dev())
}

/// Gives a directory to the pod's fsGroup: group-writable, and what is made in it inherits the group.
fn own_dir(dir: &Path, group: i64) -> io::Result<()> {
    let gid = u32::try_from(group).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let before = std::fs::metadata(dir)?;
    if before.gid() == gid && before.mode() & 0o2770 == 0o2770 {
        return Ok(());
    }
    std::os::unix::fs::chown(dir, None, Some(gid))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(before.mode() & 0o7777 | 0o2770))
}

/// Chooses the files of a map volume: all keys, or the listed items with their paths and modes.
pub(crate) fn select(
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&Vec<core::KeyToPath>>,
    default_mode: u32,
    optional: bool,
) -> Result<Payload, ConfigError> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let file =
            |(key, bytes): (&String, &Vec<u8>)| (key.clone(), PayloadFile { bytes: bytes.clone(), mode: default_mode });
        return Ok(data.iter().map(file).collect());
    };
    let mut payload = Payload::new();
    for item in items {
        let Some(bytes) = data.get(&item.key) else {
            if optional {
                continue;
            }
            return Err(ConfigError(format!("references non-existent config key: {}", item.key)));
        };
        let mode = item.mode.map_or(default_mode, mode);
        payload.insert(item.path.clone(), PayloadFile { bytes: bytes.clone(), mode });
    }
    Ok(payload)
}

/// A mode as the API gives it; files are 0644 where it says nothing.
pub(crate) fn mode(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0o644) & 0o777
}

#[cfg(test)]
mod tests;
