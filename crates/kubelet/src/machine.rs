//! The machine and its mounts, read and made through /proc, /sys and the mount calls that need no `unsafe`.
//!
//! In a cluster of namespaces every node reads the host's figures; what must differ a node (name, ids) its launcher sets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::config::{Facts, Gauges, Machine, Mounts};

/// The machine that this process runs on.
#[derive(Clone, Debug, Default)]
pub struct LocalMachine {
    /// Takes the place of the machine's own name, where a node is not a whole machine.
    pub hostname: Option<String>,
    /// Takes the place of the machine's own id, for the same reason.
    pub machine_id: Option<String>,
}

impl Machine for LocalMachine {
    fn facts(&self) -> io::Result<Facts> {
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy().into_owned();
        let machine_id = self.machine_id.clone().unwrap_or_else(|| line("/etc/machine-id"));
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        Ok(Facts {
            hostname: self.hostname.clone().unwrap_or(name),
            system_uuid: Some(line("/sys/class/dmi/id/product_uuid"))
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| machine_id.clone()),
            machine_id,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel_version: system.release().to_string_lossy().into_owned(),
            os_image: os_image(),
            architecture: architecture(&system.machine().to_string_lossy()),
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
            memory_bytes: kib(&memory, "MemTotal:") * 1024,
            swap_bytes: kib(&memory, "SwapTotal:") * 1024,
        })
    }

    fn gauges(&self, root: &Path) -> io::Result<Gauges> {
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let disk = rustix::fs::statvfs(root)?;
        let load = line("/proc/loadavg");
        // `0.1 0.2 0.3 2/345 6789`: the fourth word is running and all threads.
        let threads =
            load.split_whitespace().nth(3).and_then(|pair| pair.split('/').nth(1)).and_then(|n| n.parse().ok());
        Ok(Gauges {
            memory_available_bytes: kib(&memory, "MemAvailable:") * 1024,
            disk_capacity_bytes: disk.f_blocks * disk.f_frsize,
            disk_available_bytes: disk.f_bavail * disk.f_frsize,
            disk_inodes: disk.f_files,
            disk_inodes_free: disk.f_ffree,
            pids: threads.unwrap_or(0),
            pids_max: line("/proc/sys/kernel/pid_max").parse().unwrap_or(0),
            cpu_usage_nanos: cpu_nanos(&line("/proc/stat")),
        })
    }
}

/// The first line of a small file; empty when it cannot be read.
fn line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn kib(meminfo: &str, name: &str) -> u64 {
    let found = meminfo.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn os_image() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn architecture(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    }
}

/// The time that all cores were busy: /proc/stat counts in hundredths of a second.
fn cpu_nanos(first_line: &str) -> u64 {
    let fields: Vec<u64> = first_line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, then idle and iowait, which are not use, then irq, softirq, steal.
    let busy: u64 = fields.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 8).map(|(_, n)| n).sum();
    busy * 10_000_000
}

/// Mounts in the mount namespace of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalMounts;

impl Mounts for LocalMounts {
    fn tmpfs(&self, target: &Path, size_bytes: Option<u64>) -> io::Result<()> {
        let options = size_bytes.map(|bytes| format!("size={bytes}")).unwrap_or_default();
        let options = std::ffi::CString::new(options)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        Ok(mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))?)
    }

    fn bind(&self, source: BorrowedFd<'_>, target: &Path, read_only: bool) -> io::Result<()> {
        let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
        mount_bind(source, target)?;
        if read_only {
            mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
        Ok(())
    }

    fn unmount_all(&self, below: &Path) -> io::Result<()> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mut targets: Vec<PathBuf> =
            table.lines().filter_map(mount_target).filter(|target| target.starts_with(below)).collect();
        // What is mounted last lies on top.
        targets.reverse();
        for target in targets {
            unmount(&target, UnmountFlags::DETACH)?;
        }
        Ok(())
    }
}

/// The fifth word of a line of mountinfo, with its octal escapes undone.
fn mount_target(line: &str) -> Option<PathBuf> {
    let word = line.split(' ').nth(4)?;
    let text = word.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    Some(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_what_it_has() {
        let facts = LocalMachine::default().facts().unwrap();
        assert!(facts.cpus > 0 && facts.memory_bytes > 0 && !facts.kernel_version.is_empty());
        let gauges = LocalMachine::default().gauges(Path::new("/")).unwrap();
        assert!(gauges.memory_available_bytes > 0 && gauges.disk_capacity_bytes > 0);
    }

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let line = "36 35 98:0 / /mnt/a\\040b rw - ext3 /dev/root rw";
        assert_eq!(mount_target(line), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(cpu_nanos("cpu  10 0 5 100 7 1 0 0 0 0"), 160_000_000);
    }
}
