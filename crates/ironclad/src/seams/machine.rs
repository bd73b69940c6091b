//! The machine that a node is, read from /proc and /sys.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use kubelet::config::{Facts, Gauges, Machine};
use linux::cgroup::Layout;

pub struct KernelMachine(Layout);

impl KernelMachine {
    pub fn detect() -> linux::Result<Self> {
        Layout::detect().map(Self)
    }
}

fn line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Fields of /proc/meminfo in bytes.
fn memory(meminfo: &str) -> BTreeMap<&str, u64> {
    let kib = |text: &str| text.trim().trim_end_matches(" kB").parse::<u64>().ok();
    let fields = meminfo.lines().filter_map(|line| line.split_once(':'));
    fields.filter_map(|(name, value)| Some((name, kib(value)? * 1024))).collect()
}

fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

impl Machine for KernelMachine {
    fn facts(&self) -> io::Result<Facts> {
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let memory = memory(&meminfo);
        let bytes = |name| memory.get(name).copied().unwrap_or(0);
        Ok(Facts {
            hostname: line("/proc/sys/kernel/hostname"),
            machine_id: line("/etc/machine-id"),
            system_uuid: line("/sys/class/dmi/id/product_uuid"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel_version: line("/proc/sys/kernel/osrelease"),
            os_image: os_name(&line("/etc/os-release")),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64".to_owned(),
                "aarch64" => "arm64".to_owned(),
                other => other.to_owned(),
            },
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
            memory_bytes: bytes("MemTotal"),
            swap_bytes: bytes("SwapTotal"),
        })
    }

    fn gauges(&self, root: &Path) -> io::Result<Gauges> {
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let disk = rustix::fs::statvfs(root)?;
        let threads = line("/proc/loadavg");
        let threads = threads.split(' ').nth(3).and_then(|text| text.split('/').nth(1)?.parse().ok());
        Ok(Gauges {
            memory_available_bytes: memory(&meminfo).get("MemAvailable").copied().unwrap_or(0),
            disk_capacity_bytes: disk.f_blocks * disk.f_frsize,
            disk_available_bytes: disk.f_bavail * disk.f_frsize,
            disk_inodes: disk.f_files,
            disk_inodes_free: disk.f_ffree,
            pids: threads.unwrap_or(0),
            pids_max: line("/proc/sys/kernel/pid_max").parse().unwrap_or(0),
            cpu_usage_nanos: self.0.group("/").stats().cpu_nanos,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_the_system_by_its_pretty_name() {
        assert_eq!(memory("MemTotal:       16 kB\nHugePages_Total:       0\n")["MemTotal"], 16384);
        assert_eq!(os_name("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
    }
}
