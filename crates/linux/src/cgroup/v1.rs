//! Version 1: one hierarchy per controller (or few), each with its own directory tree.

use std::path::{Path, PathBuf};

use super::{Layout, Limits, Stats, field, number, write, write_if_there};
use crate::{During, Result};

/// The value that version 1 shows for "no limit" is near i64::MAX, cut to pages.
const UNLIMITED: u64 = 1 << 62;

pub(super) fn create(mount: &Path, relative: &str, is_cpuset: bool) -> Result<()> {
    let mut dir = mount.to_owned();
    for part in relative.split('/').filter(|part| !part.is_empty()) {
        let parent = dir.clone();
        dir.push(part);
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other.during(|| format!("make cgroup {}", dir.display()))?,
        }
        if is_cpuset {
            // A new cpuset is empty, and nothing can run in an empty one.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = std::fs::read_to_string(parent.join(file)).during(|| format!("read {file}"))?;
                write(&dir.join(file), value.trim())?;
            }
        }
    }
    Ok(())
}

pub(super) fn set(layout: &Layout, relative: &str, limits: &Limits) -> Result<()> {
    let dir = |controller: &str| layout.v1.get(controller).map(|mount| mount.join(relative));
    if let Some(memory) = dir("memory") {
        set_memory(&memory, limits)?;
    }
    if let Some(cpu) = dir("cpu") {
        if let Some(shares) = limits.cpu_shares {
            write_if_there(&cpu.join("cpu.shares"), &shares.to_string())?;
        }
        if let Some(period) = limits.cpu_period_micros {
            write_if_there(&cpu.join("cpu.cfs_period_us"), &period.to_string())?;
        }
        if let Some(quota) = limits.cpu_quota_micros {
            write_if_there(&cpu.join("cpu.cfs_quota_us"), &quota.to_string())?;
        }
    }
    if let (Some(pids), Some(max)) = (dir("pids"), limits.pids) {
        let max = if max <= 0 { "max".to_owned() } else { max.to_string() };
        write_if_there(&pids.join("pids.max"), &max)?;
    }
    if let Some(cpuset) = dir("cpuset") {
        if let Some(cpus) = &limits.cpuset_cpus {
            write_if_there(&cpuset.join("cpuset.cpus"), cpus)?;
        }
        if let Some(mems) = &limits.cpuset_mems {
            write_if_there(&cpuset.join("cpuset.mems"), mems)?;
        }
    }
    Ok(())
}

/// The limit on memory may never exceed that on memory and swap, so a raise sets the latter first.
fn set_memory(dir: &Path, limits: &Limits) -> Result<()> {
    let (memory, swap) = (dir.join("memory.limit_in_bytes"), dir.join("memory.memsw.limit_in_bytes"));
    let raises = match (limits.memory_swap_bytes, number(&swap)) {
        (Some(new), Some(old)) => new < 0 || new.unsigned_abs() > old,
        _ => false,
    };
    let mut writes: Vec<(PathBuf, Option<i64>)> = vec![(memory, limits.memory_bytes), (swap, limits.memory_swap_bytes)];
    if raises {
        writes.reverse();
    }
    for (path, value) in writes {
        if let Some(value) = value {
            write_if_there(&path, &value.to_string())?;
        }
    }
    Ok(())
}

pub(super) fn stats(layout: &Layout, relative: &str, stats: &mut Stats) {
    let dir = |controller: &str| layout.v1.get(controller).map(|mount| mount.join(relative));
    if let Some(cpuacct) = dir("cpuacct") {
        stats.cpu_nanos = number(&cpuacct.join("cpuacct.usage")).unwrap_or_default();
    }
    if let Some(memory) = dir("memory") {
        let stat = memory.join("memory.stat");
        stats.memory_usage_bytes = number(&memory.join("memory.usage_in_bytes")).unwrap_or_default();
        stats.memory_working_set_bytes = stats.memory_usage_bytes.saturating_sub(field(&stat, "total_inactive_file"));
        stats.memory_rss_bytes = field(&stat, "total_rss");
        stats.page_faults = field(&stat, "total_pgfault");
        stats.major_page_faults = field(&stat, "total_pgmajfault");
        stats.memory_limit_bytes = number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < UNLIMITED);
    }
    if let Some(pids) = dir("pids") {
        stats.pids = number(&pids.join("pids.current")).unwrap_or_default();
    }
}
