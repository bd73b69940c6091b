//! The kubelet's cgroups of pods and QoS classes, in the kernel's.

use std::io;

use kubelet::config::{CgroupLimits, Cgroups};
use linux::cgroup::{Layout, Limits};

/// The period over which the kernel counts a quota of processor time.
const CPU_PERIOD_MICROS: u64 = 100_000;

pub struct KernelCgroups(Layout);

impl KernelCgroups {
    pub fn detect() -> linux::Result<Self> {
        Layout::detect().map(Self)
    }
}

/// The kubelet says 0 for "no limit", the kernel's files -1.
fn limit(value: i64) -> Option<i64> {
    Some(if value > 0 { value } else { -1 })
}

fn failed(error: linux::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

impl Cgroups for KernelCgroups {
    fn ensure(&self, path: &str, limits: &CgroupLimits) -> io::Result<()> {
        let group = self.0.group(path);
        group.create().map_err(failed)?;
        let limits = Limits {
            memory_bytes: limit(limits.memory_bytes),
            cpu_shares: (limits.cpu_shares > 0).then_some(limits.cpu_shares),
            cpu_quota_micros: limit(limits.cpu_quota_micros),
            cpu_period_micros: Some(CPU_PERIOD_MICROS),
            pids: limit(limits.pids_max),
            ..Limits::default()
        };
        group.set(&limits).map_err(failed)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.group(path).remove().map_err(failed)
    }

    fn children(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (_, dir) in self.0.group(path).dirs() {
            let Ok(entries) = std::fs::read_dir(dir) else { continue };
            let dirs = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            names.extend(dirs.filter_map(|entry| entry.file_name().into_string().ok()));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}
