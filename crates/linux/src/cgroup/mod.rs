//! Control groups of version 1, 2 and the hybrid of both behind one type.
//!
//! A [`Layout`] says where the hierarchies are mounted (read once from /proc/self/mountinfo); a [`Cgroup`] is one
//! path in all of them. Each controller is used where it is: on version 2 if the unified hierarchy has it, else on its
//! version 1 hierarchy. In the hybrid the group also exists in the unified hierarchy, which gives `cgroup.kill`.
//! A limit whose controller this kernel lacks is skipped: a laptop's kernel should not refuse to run a pod.

mod v1;
mod v2;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{During, Error, Result};

/// Rounds of killing a group's members one by one where there is no cgroup.kill.
const KILL_ROUNDS_MAX: u32 = 100;

/// Where the hierarchies are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Mount point by controller (`memory`, `name=systemd`).
    pub v1: BTreeMap<String, PathBuf>,
    pub v2: Option<PathBuf>,
}

impl Layout {
    pub fn detect() -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").during(|| "read /proc/self/mountinfo")?;
        Ok(Self::parse(&mounts))
    }

    /// Where several mounts show one hierarchy, the first (usual) one counts.
    pub fn parse(mountinfo: &str) -> Self {
        const OPTIONS: [&str; 8] = ["rw", "ro", "xattr", "clone_children", "noprefix", "none", "nosuid", "relatime"];
        let mut layout = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, fs)) = line.split_once(" - ") else { continue };
            let (Some(at), mut fs) = (mount.split(' ').nth(4), fs.split(' ')) else { continue };
            let (kind, options) = (fs.next().unwrap_or_default(), fs.nth(1).unwrap_or_default());
            match kind {
                "cgroup2" if layout.v2.is_none() => layout.v2 = Some(at.into()),
                "cgroup" => {
                    for controller in options.split(',').filter(|o| !OPTIONS.contains(o) && !o.contains("agent=")) {
                        layout.v1.entry(controller.to_owned()).or_insert_with(|| at.into());
                    }
                }
                _ => {}
            }
        }
        layout
    }

    /// The version 2 hierarchy alone, with its controllers.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// The group at `path` (absolute in each hierarchy), which need not exist yet.
    pub fn group(&self, path: &str) -> Cgroup {
        let relative = path.trim_matches('/').to_owned();
        Cgroup { layout: self.clone(), relative }
    }

    fn v1_mounts(&self) -> std::collections::BTreeSet<&PathBuf> {
        self.v1.values().collect()
    }
}

/// Limits; `None` leaves what is there. -1 is "no limit", as in CRI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_bytes: Option<i64>,
    /// Memory and swap together, as version 1 and CRI count.
    pub memory_swap_bytes: Option<i64>,
    /// 2 to 262144.
    pub cpu_shares: Option<u64>,
    pub cpu_quota_micros: Option<i64>,
    pub cpu_period_micros: Option<u64>,
    pub pids: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// Version 2 files by name, written as they are.
    pub unified: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub cpu_nanos: u64,
    pub memory_usage_bytes: u64,
    /// Usage less what can be dropped at once (inactive file pages), as the kubelet counts.
    pub memory_working_set_bytes: u64,
    pub memory_rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    layout: Layout,
    relative: String,
}

impl Cgroup {
    /// Its path in every hierarchy, absolute.
    pub fn path(&self) -> String {
        format!("/{}", self.relative)
    }

    pub fn child(&self, name: &str) -> Self {
        Self { layout: self.layout.clone(), relative: format!("{}/{name}", self.relative).trim_matches('/').to_owned() }
    }

    /// Its directories: (name under /sys/fs/cgroup, directory); the unified one has the name "" on pure version 2.
    pub fn dirs(&self) -> Vec<(String, PathBuf)> {
        let name = |mount: &Path| mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let v1 = self.layout.v1_mounts().into_iter().map(|m| (name(m), m.join(&self.relative)));
        let v2 = self
            .layout
            .v2
            .iter()
            .map(|m| (if self.layout.is_unified() { String::new() } else { name(m) }, m.join(&self.relative)));
        v1.chain(v2).collect()
    }

    /// Makes the group and its ancestors everywhere. An existing one is fine.
    pub fn create(&self) -> Result<()> {
        if let Some(mount) = &self.layout.v2 {
            v2::create(mount, &self.relative)?;
        }
        for mount in self.layout.v1_mounts() {
            v1::create(mount, &self.relative, self.layout.v1.get("cpuset") == Some(mount))?;
        }
        Ok(())
    }

    pub fn exists(&self) -> bool {
        self.dirs().iter().any(|(_, dir)| dir.exists())
    }

    pub fn set(&self, limits: &Limits) -> Result<()> {
        v1::set(&self.layout, &self.relative, limits)?;
        match self.v2_dir() {
            Some(dir) => v2::set(&dir, limits),
            None => Ok(()),
        }
    }

    /// Moves the calling process in.
    pub fn enter(&self) -> Result<()> {
        self.add(0)
    }

    /// Moves a process in; 0 is the caller.
    pub fn add(&self, pid: u32) -> Result<()> {
        for (_, dir) in self.dirs() {
            write(&dir.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The processes of the group and all below it.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        if let Some((_, dir)) = self.dirs().into_iter().find(|(_, dir)| dir.exists()) {
            collect_pids(&dir, &mut pids);
        }
        pids
    }

    /// SIGKILL to every process of the group and below. They may take a moment to be gone.
    pub fn kill(&self) -> Result<()> {
        if let Some(dir) = self.v2_dir()
            && dir.join("cgroup.kill").exists()
        {
            return write(&dir.join("cgroup.kill"), "1");
        }
        // A process could fork faster than it is killed, but not while it is frozen.
        let frozen = self.freeze(true).is_ok();
        for _ in 0..KILL_ROUNDS_MAX {
            let pids = self.pids();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                if let Ok(pidfd) = crate::pidfd::open(pid) {
                    crate::pidfd::signal(&pidfd, libc::SIGKILL)?;
                }
            }
            if frozen {
                break;
            }
        }
        if frozen { self.freeze(false) } else { Ok(()) }
    }

    /// Stops or continues every process of the group.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        if let Some(mount) = self.layout.v1.get("freezer") {
            return write(&mount.join(&self.relative).join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" });
        }
        match self.v2_dir() {
            Some(dir) => write(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            None => Err(Error::new("freeze cgroup", io::Error::from(io::ErrorKind::Unsupported))),
        }
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if let Some(dir) = self.v2_dir() {
            v2::stats(&dir, &mut stats);
        }
        v1::stats(&self.layout, &self.relative, &mut stats);
        stats
    }

    /// How many processes of this group the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        match self.layout.v1.get("memory") {
            Some(mount) => field(&mount.join(&self.relative).join("memory.oom_control"), "oom_kill"),
            None => self.v2_dir().map_or(0, |dir| field(&dir.join("memory.events"), "oom_kill")),
        }
    }

    /// Removes the group and all below it. Fails while a process is in it; a missing one is fine.
    pub fn remove(&self) -> Result<()> {
        for (_, dir) in self.dirs() {
            remove_tree(&dir)?;
        }
        Ok(())
    }

    fn v2_dir(&self) -> Option<PathBuf> {
        self.layout.v2.as_ref().map(|mount| mount.join(&self.relative))
    }
}

fn collect_pids(dir: &Path, pids: &mut Vec<u32>) {
    let own = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(own.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    for child in children(dir) {
        collect_pids(&child, pids);
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn remove_tree(dir: &Path) -> Result<()> {
    for child in children(dir) {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::new(format!("remove cgroup {}", dir.display()), error))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    std::fs::write(path, value).during(|| format!("write {value} to {}", path.display()))
}

/// As `write`, but a file that is not there (a controller that this kernel lacks) is skipped.
fn write_if_there(path: &Path, value: &str) -> Result<()> {
    match std::fs::OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::new(format!("open {}", path.display()), error)),
        Ok(mut file) => {
            io::Write::write_all(&mut file, value.as_bytes()).during(|| format!("write {value} to {}", path.display()))
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value after `key ` in a flat keyed file; 0 if missing.
fn field(path: &Path, key: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_layout_is_read_from_mountinfo() {
        let hybrid = Layout::parse(
            "30 24 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             31 24 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             32 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        expect![[r#"
            Layout { v1: {"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "name=systemd": "/sys/fs/cgroup/systemd"}, v2: Some("/sys/fs/cgroup/unified") }
        "#]]
        .assert_eq(&format!("{hybrid:?}\n"));
        assert!(!hybrid.is_unified());
        assert!(Layout::parse("1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate").is_unified());
    }
}
