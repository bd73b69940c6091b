//! Version 2: the unified hierarchy. A controller works in a group once its parent's `cgroup.subtree_control` has it.

use std::path::Path;

use super::{Limits, Stats, field, number, write_if_there};
use crate::{During, Result};

const CONTROLLERS: [&str; 6] = ["cpu", "memory", "pids", "cpuset", "io", "hugetlb"];

pub(super) fn create(mount: &Path, relative: &str) -> Result<()> {
    let mut dir = mount.to_owned();
    for part in relative.split('/').filter(|part| !part.is_empty()) {
        delegate(&dir);
        dir.push(part);
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other.during(|| format!("make cgroup {}", dir.display()))?,
        }
    }
    Ok(())
}

/// Gives the group's controllers to its children, each by itself: one that is refused (a group with processes of its
/// own) must not hold back the others, and its files are then simply missing below.
fn delegate(dir: &Path) {
    let read = |file| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    let (there, given) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    for controller in CONTROLLERS {
        let has = |list: &str| list.split_whitespace().any(|name| name == controller);
        if has(&there) && !has(&given) {
            let _ = std::fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

pub(super) fn set(dir: &Path, limits: &Limits) -> Result<()> {
    for (file, value) in files(limits) {
        write_if_there(&dir.join(file), &value)?;
    }
    Ok(())
}

/// What to write where, as version 2 counts.
fn files(limits: &Limits) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut put = |file: &str, value: String| files.push((file.to_owned(), value));
    let bytes = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    if let Some(memory) = limits.memory_bytes {
        put("memory.max", bytes(memory));
        if let Some(swap) = limits.memory_swap_bytes {
            // Version 2 limits swap alone.
            put("memory.swap.max", bytes(if swap < 0 || memory < 0 { -1 } else { (swap - memory).max(0) }));
        }
    }
    if let Some(shares) = limits.cpu_shares {
        put("cpu.weight", weight(shares).to_string());
    }
    if limits.cpu_quota_micros.is_some() || limits.cpu_period_micros.is_some() {
        let quota = limits.cpu_quota_micros.filter(|quota| *quota > 0).map_or("max".to_owned(), |q| q.to_string());
        put("cpu.max", format!("{quota} {}", limits.cpu_period_micros.unwrap_or(100_000)));
    }
    if let Some(pids) = limits.pids {
        put("pids.max", if pids <= 0 { "max".to_owned() } else { pids.to_string() });
    }
    if let Some(cpus) = &limits.cpuset_cpus {
        put("cpuset.cpus", cpus.clone());
    }
    if let Some(mems) = &limits.cpuset_mems {
        put("cpuset.mems", mems.clone());
    }
    for (file, value) in &limits.unified {
        put(file, value.clone());
    }
    files
}

/// Shares 2..262144 onto weights 1..10000 (KEP-2254).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

pub(super) fn stats(dir: &Path, stats: &mut Stats) {
    stats.cpu_nanos = field(&dir.join("cpu.stat"), "usage_usec") * 1_000;
    let stat = dir.join("memory.stat");
    stats.memory_usage_bytes = number(&dir.join("memory.current")).unwrap_or_default();
    stats.memory_working_set_bytes = stats.memory_usage_bytes.saturating_sub(field(&stat, "inactive_file"));
    stats.memory_rss_bytes = field(&stat, "anon");
    stats.page_faults = field(&stat, "pgfault");
    stats.major_page_faults = field(&stat, "pgmajfault");
    stats.memory_limit_bytes = number(&dir.join("memory.max"));
    stats.pids = number(&dir.join("pids.current")).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn cri_limits_become_version_2_files() {
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            memory_swap_bytes: Some(64 << 20),
            cpu_shares: Some(1024),
            cpu_quota_micros: Some(50_000),
            cpu_period_micros: Some(100_000),
            pids: Some(-1),
            ..Limits::default()
        };
        expect![[r#"[("memory.max", "67108864"), ("memory.swap.max", "0"), ("cpu.weight", "39"), ("cpu.max", "50000 100000"), ("pids.max", "max")]"#]]
            .assert_eq(&format!("{:?}", files(&limits)));
    }
}
