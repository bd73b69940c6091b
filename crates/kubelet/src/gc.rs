//! What is left over and taken away: directories and cgroups of pods that nobody knows, and images that nothing uses
//! when the disk runs full. Also the cgroups of the QoS classes, which no pod owns.

use std::collections::BTreeSet;
use std::path::Path;

use cri::v1;

use crate::config::CgroupLimits;
use crate::shared::Shared;
use crate::volumes;

/// Once images go, they go until the disk is less full than this (in percent), as upstream.
const DISK_USED_LOW_PERCENT: u64 = 80;
const CLASSES: [&str; 2] = ["burstable", "besteffort"];

/// Makes the cgroups under which pods' cgroups are. Best effort: a machine may lack controllers.
pub fn make_classes(shared: &Shared) {
    let root = &shared.config.cgroup_root;
    let classes = [(root.clone(), 1024), (format!("{root}/burstable"), 2), (format!("{root}/besteffort"), 2)];
    for (path, cpu_shares) in classes {
        let limits = CgroupLimits { cpu_shares, ..CgroupLimits::default() };
        if let Err(error) = shared.deps.cgroups.ensure(&path, &limits) {
            tracing::warn!("cannot make the cgroup {path}: {error}");
        }
    }
}

/// Removes what pods left behind whose UIDs are not among `known`.
pub fn sweep(shared: &Shared, known: &BTreeSet<&str>) {
    for uid in names(&shared.config.root.join("pods")) {
        if !known.contains(uid.as_str())
            && let Err(error) = volumes::tear_down(&shared.config.pod_dir(&uid), &*shared.deps.mounts)
        {
            tracing::warn!("cannot remove what the pod {uid} left: {error}");
        }
    }
    // NAMESPACE_NAME_UID
    for name in names(&shared.config.logs) {
        let uid = name.rsplit('_').next().unwrap_or_default();
        if name.split('_').count() == 3
            && !known.contains(uid)
            && let Err(error) = std::fs::remove_dir_all(shared.config.logs.join(&name))
        {
            tracing::debug!("cannot remove old logs: {error}");
        }
    }
    let root = &shared.config.cgroup_root;
    for parent in std::iter::once(root.clone()).chain(CLASSES.iter().map(|class| format!("{root}/{class}"))) {
        for name in shared.deps.cgroups.children(&parent).unwrap_or_default() {
            let uid = name.strip_prefix("pod");
            if uid.is_some_and(|uid| !known.contains(uid))
                && let Err(error) = shared.deps.cgroups.remove(&format!("{parent}/{name}"))
            {
                tracing::debug!("cannot remove an old cgroup: {error}");
            }
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Removes images that no container uses while the disk is too full.
pub async fn images(shared: &Shared) {
    let Ok(gauges) = shared.deps.machine.gauges(&shared.config.root) else { return };
    let used = gauges.disk_capacity_bytes.saturating_sub(gauges.disk_available_bytes);
    let percent = |percent: u64| gauges.disk_capacity_bytes / 100 * percent;
    if gauges.disk_capacity_bytes == 0 || used <= percent(shared.config.image_gc_high_percent) {
        return;
    }
    let mut excess = used - percent(DISK_USED_LOW_PERCENT);
    let runtime = &shared.deps.runtime;
    let listed = runtime.list_images(v1::ListImagesRequest { filter: None }).await.unwrap_or_default();
    let Ok(containers) = runtime.list_containers(v1::ListContainersRequest { filter: None }).await else { return };
    let mut in_use = BTreeSet::new();
    for container in containers.containers {
        in_use.extend([container.image_id, container.image_ref, container.image.unwrap_or_default().image]);
    }
    for image in listed.images {
        let named = image.repo_tags.iter().chain(&image.repo_digests).chain(std::iter::once(&image.id));
        if image.pinned || named.into_iter().any(|name| in_use.contains(name)) {
            continue;
        }
        let spec = v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() };
        match runtime.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await {
            Ok(()) => tracing::info!(image = image.id, "removed an image that nothing uses: the disk is too full"),
            Err(error) => tracing::warn!(image = image.id, "cannot remove an image: {error}"),
        }
        excess = excess.saturating_sub(image.size);
        if excess == 0 {
            return;
        }
    }
}
