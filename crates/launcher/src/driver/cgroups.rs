//! Control groups of a profile: `/ironclad/<profile>/{fabric,nodes/<node>}` in every hierarchy of the host.
//!
//! The version 2 hierarchy is where a profile's processes are found, frozen and killed: it is there on every supported
//! host, be it alone or (hybrid) without controllers beside version 1. Limits live in whichever hierarchy has the
//! controller. A node sees its own group as the root of each hierarchy, so two nodes' /kubepods never meet.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use linux::cgroup::Layout;
use rustix::event::{PollFd, PollFlags, Timespec};

const GROUP: &str = "ironclad";
/// How long dying processes may take to leave a group.
const EMPTY_SECS_MAX: i64 = 10;

/// One mounted hierarchy of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub mount: PathBuf,
    /// Mount options of a version 1 hierarchy (`cpu,cpuacct`, `name=systemd`); `None` for version 2.
    pub v1: Option<String>,
}

/// Reads the hierarchies from the text of /proc/self/mountinfo.
pub fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let layout = Layout::parse(mountinfo);
    let mut v1 = BTreeMap::<PathBuf, Vec<String>>::new();
    for (controller, mount) in layout.v1 {
        v1.entry(mount).or_default().push(controller);
    }
    let v1 = v1.into_iter().map(|(mount, controllers)| Hierarchy { mount, v1: Some(controllers.join(",")) });
    v1.chain(layout.v2.map(|mount| Hierarchy { mount, v1: None })).collect()
}

/// The hierarchies of this machine.
pub fn of_host() -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// The group of a whole profile within a hierarchy.
pub fn profile_group(hierarchy: &Hierarchy, profile: &str) -> PathBuf {
    hierarchy.mount.join(GROUP).join(profile)
}

fn v2(hierarchies: &[Hierarchy]) -> Option<&Hierarchy> {
    hierarchies.iter().find(|hierarchy| hierarchy.v1.is_none())
}

/// Whether version 2 has the controllers, so that groups must hand them down.
fn unified(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().all(|hierarchy| hierarchy.v1.is_none() || hierarchy.v1.as_deref() == Some("name=systemd"))
}

/// Moves the calling process into `ironclad/<profile>/<below>` of every hierarchy.
pub fn join(hierarchies: &[Hierarchy], profile: &str, below: &str) -> io::Result<()> {
    let controllers = unified(hierarchies);
    for hierarchy in hierarchies {
        let mut group = hierarchy.mount.clone();
        for part in [GROUP, profile].into_iter().chain(below.split('/')) {
            if hierarchy.v1.is_none() && controllers {
                hand_down(&group);
            }
            let child = group.join(part);
            match fs::create_dir(&child) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(&child, &error)),
                _ => {}
            }
            if hierarchy.v1.as_deref().is_some_and(|o| o.split(',').any(|c| c == "cpuset")) {
                inherit_cpuset(&group, &child)?;
            }
            group = child;
        }
        let procs = group.join("cgroup.procs");
        fs::write(&procs, "0").map_err(|error| at(&procs, &error))?;
    }
    Ok(())
}

/// Moves the calling process beside a node's own, so that it is frozen and killed with them.
pub fn visit(hierarchies: &[Hierarchy], profile: &str, node: &str) -> io::Result<()> {
    for hierarchy in hierarchies {
        let group = profile_group(hierarchy, profile).join("nodes").join(node);
        let leaf = group.join("init");
        let group = if leaf.is_dir() { leaf } else { group };
        fs::write(group.join("cgroup.procs"), "0").map_err(|error| at(&group, &error))?;
    }
    Ok(())
}

/// In the node's own view, where its group is the root: moves PID 1 to a leaf so that controllers can be handed down.
pub fn settle(hierarchies: &[Hierarchy]) -> io::Result<()> {
    let Some(v2) = v2(hierarchies) else { return Ok(()) };
    if unified(hierarchies) {
        let leaf = v2.mount.join("init");
        fs::create_dir_all(&leaf)?;
        fs::write(leaf.join("cgroup.procs"), "0")?;
        hand_down(&v2.mount);
    }
    Ok(())
}

/// Best effort: a controller that cannot be handed down is missing further down too, where the kubelet says so.
fn hand_down(group: &Path) {
    let Ok(controllers) = fs::read_to_string(group.join("cgroup.controllers")) else { return };
    for controller in controllers.split_whitespace() {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A new version 1 cpuset is empty and takes no process.
fn inherit_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(child.join(file)).map_err(|error| at(&child.join(file), &error))?;
        if own.trim().is_empty() {
            fs::write(child.join(file), fs::read_to_string(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Freezes or thaws all nodes of a profile.
pub fn freeze(hierarchies: &[Hierarchy], profile: &str, frozen: bool) -> io::Result<()> {
    let v2 = v2(hierarchies).ok_or(io::ErrorKind::Unsupported)?;
    let group = profile_group(v2, profile).join("nodes");
    fs::write(group.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    let wanted = if frozen { "frozen 1" } else { "frozen 0" };
    wait_for(&group, wanted)
}

pub fn is_frozen(hierarchies: &[Hierarchy], profile: &str) -> bool {
    let Some(v2) = v2(hierarchies) else { return false };
    let events = fs::read_to_string(profile_group(v2, profile).join("nodes/cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1")
}

/// Whether any process of the profile is alive.
pub fn is_populated(hierarchies: &[Hierarchy], profile: &str) -> bool {
    let Some(v2) = v2(hierarchies) else { return false };
    let events = fs::read_to_string(profile_group(v2, profile).join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

/// Kills every process of the profile and removes its groups. Fine when there are none.
pub fn destroy(hierarchies: &[Hierarchy], profile: &str) -> io::Result<()> {
    if let Some(v2) = v2(hierarchies) {
        let group = profile_group(v2, profile);
        if group.exists() {
            let _ = fs::write(group.join("nodes/cgroup.freeze"), "0");
            fs::write(group.join("cgroup.kill"), "1").map_err(|error| at(&group, &error))?;
            wait_for(&group, "populated 0")?;
        }
    }
    for hierarchy in hierarchies {
        let group = profile_group(hierarchy, profile);
        remove_tree(&group)?;
        if let Some(parent) = group.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

fn remove_tree(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group).map_err(|error| at(group, &error))
}

/// Waits until the group's cgroup.events has the line `wanted`; the kernel tells when the file changes.
fn wait_for(group: &Path, wanted: &str) -> io::Result<()> {
    let path = group.join("cgroup.events");
    let file = fs::File::open(&path)?;
    loop {
        let mut text = vec![0u8; 256];
        let read = rustix::io::pread(&file, &mut text, 0)?;
        if String::from_utf8_lossy(&text[..read]).lines().any(|line| line == wanted) {
            return Ok(());
        }
        let timeout = Timespec { tv_sec: EMPTY_SECS_MAX, tv_nsec: 0 };
        let changed =
            rustix::event::poll(&mut [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)], Some(&timeout))?;
        if changed == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} did not say \"{wanted}\" within {EMPTY_SECS_MAX} s", path.display()),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_hosts_have_version_1_hierarchies_beside_an_empty_version_2() {
        let text = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw";
        let shown: Vec<String> = parse(text).iter().map(|h| format!("{} {:?}", h.mount.display(), h.v1)).collect();
        expect_test::expect![[r#"
            /sys/fs/cgroup/cpu,cpuacct Some("cpu,cpuacct")
            /sys/fs/cgroup/systemd Some("name=systemd")
            /sys/fs/cgroup/unified None"#]]
        .assert_eq(&shown.join("\n"));
        assert!(!unified(&parse(text)));
        assert!(unified(&parse("41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate")));
    }
}
