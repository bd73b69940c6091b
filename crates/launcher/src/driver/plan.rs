//! A node's own world as a list of steps: its root over the host's, devices, mounts, names and switches. Pure.

use std::path::{Path, PathBuf};

use crate::driver::cgroups::Hierarchy;
use crate::driver::net;
use crate::layout::NodeDirs;
use crate::profile::{Egress, NodeSpec, Profile};

/// Where the running binary is found in every node.
pub const BINARY: &str = "/run/ironclad/bin/ironclad";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountFlag {
    NoSuid,
    NoDev,
    NoExec,
}

/// One step. Paths are the host's until [`NodeOp::Pivot`], the node's afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeOp {
    /// Nothing that is mounted from here on is seen by the host.
    PrivateMounts,
    Directory {
        path: PathBuf,
        mode: u32,
    },
    Mount {
        kind: &'static str,
        target: PathBuf,
        flags: Vec<MountFlag>,
        data: String,
    },
    /// Of a directory or a file; a missing target file is made.
    Bind {
        from: PathBuf,
        to: PathBuf,
    },
    Device {
        path: PathBuf,
        major: u32,
        minor: u32,
        mode: u32,
    },
    Symlink {
        at: PathBuf,
        to: &'static str,
    },
    /// The node's own mounts are seen by those of its pods that ask for it (mountPropagation), as on any machine.
    SharedMounts,
    /// Replaces what is there, also a symbolic link.
    Write {
        path: PathBuf,
        text: String,
    },
    Hostname {
        name: String,
    },
    /// Makes `root` the root and lets go of the host's.
    Pivot {
        root: PathBuf,
    },
    /// A switch under /proc/sys; passed over when the kernel lacks it.
    Sysctl {
        key: &'static str,
        value: &'static str,
    },
}

/// What the plan must know of the host.
#[derive(Clone, Debug)]
pub struct Host {
    pub hierarchies: Vec<Hierarchy>,
    /// The running binary.
    pub binary: PathBuf,
    /// Name servers that a node with egress can use.
    pub resolv_conf: String,
}

/// All steps that make the calling process's fresh namespaces the node's.
pub fn node_ops(profile: &Profile, node: &NodeSpec, dirs: &NodeDirs, host: &Host) -> Vec<NodeOp> {
    let root = dirs.root();
    let mut ops = vec![NodeOp::PrivateMounts];
    ops.extend(root_ops(dirs));
    ops.extend(device_ops(&root));
    ops.extend(kernel_mounts(&root, &host.hierarchies));
    ops.extend(state_ops(&root, dirs, &host.binary));
    ops.extend(name_ops(&root, profile, node, host));
    ops.push(NodeOp::Hostname { name: node.name.clone() });
    ops.push(NodeOp::Pivot { root });
    ops.push(NodeOp::SharedMounts);
    ops.extend(net::node_sysctls().into_iter().map(|(key, value)| NodeOp::Sysctl { key, value }));
    ops
}

fn directory(path: PathBuf, mode: u32) -> NodeOp {
    NodeOp::Directory { path, mode }
}

fn mount(kind: &'static str, target: PathBuf, flags: &[MountFlag], data: &str) -> NodeOp {
    NodeOp::Mount { kind, target, flags: flags.to_vec(), data: data.to_owned() }
}

/// The host's root below, what the node changes above; the node's own state is bound in plainly later, because one
/// overlay cannot be the upper layer of another and containers need overlays of their own.
fn root_ops(dirs: &NodeDirs) -> Vec<NodeOp> {
    let data = format!("lowerdir=/,upperdir={},workdir={}", dirs.upper().display(), dirs.work().display());
    let parts = [dirs.upper(), dirs.work(), dirs.root(), dirs.lib(), dirs.log()];
    let mut ops: Vec<NodeOp> = parts.into_iter().map(|path| directory(path, 0o755)).collect();
    ops.push(mount("overlay", dirs.root(), &[], &data));
    ops
}

fn device_ops(root: &Path) -> Vec<NodeOp> {
    let dev = root.join("dev");
    let mut ops = vec![mount("tmpfs", dev.clone(), &[MountFlag::NoSuid], "mode=755,size=16m")];
    for (name, major, minor, mode) in [
        ("null", 1, 3, 0o666),
        ("zero", 1, 5, 0o666),
        ("full", 1, 7, 0o666),
        ("random", 1, 8, 0o666),
        ("urandom", 1, 9, 0o666),
        ("kmsg", 1, 11, 0o600),
        ("tty", 5, 0, 0o666),
        ("fuse", 10, 229, 0o666),
    ] {
        ops.push(NodeOp::Device { path: dev.join(name), major, minor, mode });
    }
    ops.push(directory(dev.join("net"), 0o755));
    ops.push(NodeOp::Device { path: dev.join("net/tun"), major: 10, minor: 200, mode: 0o666 });
    for (at, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        ops.push(NodeOp::Symlink { at: dev.join(at), to });
    }
    for name in ["pts", "shm", "mqueue"] {
        ops.push(directory(dev.join(name), 0o755));
    }
    let quiet = [MountFlag::NoSuid, MountFlag::NoExec];
    ops.push(mount("devpts", dev.join("pts"), &quiet, "newinstance,ptmxmode=0666,mode=620,gid=5"));
    ops.push(mount("tmpfs", dev.join("shm"), &[MountFlag::NoSuid, MountFlag::NoDev], "mode=1777"));
    ops.push(mount("mqueue", dev.join("mqueue"), &[MountFlag::NoSuid, MountFlag::NoDev, MountFlag::NoExec], ""));
    ops
}

/// Process, device and control group trees of the node's own namespaces, laid out as the host's are.
fn kernel_mounts(root: &Path, hierarchies: &[Hierarchy]) -> Vec<NodeOp> {
    let safe = [MountFlag::NoSuid, MountFlag::NoDev, MountFlag::NoExec];
    let mut ops = vec![mount("proc", root.join("proc"), &safe, ""), mount("sysfs", root.join("sys"), &safe, "")];
    let within = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let cgroup_root = Path::new("/sys/fs/cgroup");
    if hierarchies.iter().all(|hierarchy| hierarchy.mount != cgroup_root) {
        ops.push(mount("tmpfs", within(cgroup_root), &safe, "mode=755,size=1m"));
    }
    for hierarchy in hierarchies {
        let target = within(&hierarchy.mount);
        if hierarchy.mount != cgroup_root {
            ops.push(directory(target.clone(), 0o755));
        }
        ops.push(match &hierarchy.v1 {
            None => mount("cgroup2", target, &safe, ""),
            Some(named) if named.starts_with("name=") => mount("cgroup", target, &safe, &format!("none,{named}")),
            Some(controllers) => mount("cgroup", target, &safe, controllers),
        });
    }
    ops
}

fn state_ops(root: &Path, dirs: &NodeDirs, binary: &Path) -> Vec<NodeOp> {
    let loose = [MountFlag::NoSuid, MountFlag::NoDev];
    let binary_at = root.join(BINARY.trim_start_matches('/'));
    vec![
        mount("tmpfs", root.join("run"), &loose, "mode=755"),
        mount("tmpfs", root.join("tmp"), &loose, "mode=1777"),
        directory(root.join("run/lock"), 0o1777),
        directory(root.join("run/ironclad/bin"), 0o755),
        directory(root.join("var/lib/ironclad"), 0o755),
        NodeOp::Bind { from: dirs.lib(), to: root.join("var/lib/ironclad") },
        NodeOp::Bind { from: dirs.log(), to: root.join("var/log") },
        NodeOp::Bind { from: binary.to_path_buf(), to: binary_at },
    ]
}

fn name_ops(root: &Path, profile: &Profile, node: &NodeSpec, host: &Host) -> Vec<NodeOp> {
    let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for peer in &profile.nodes {
        hosts.push_str(&format!("{}\t{}\n", peer.ip(), peer.name));
    }
    let resolv_conf = match profile.egress {
        Egress::Nat => host.resolv_conf.clone(),
        Egress::None => "# This cluster has no way out (--egress none).\n".to_owned(),
    };
    vec![
        NodeOp::Write { path: root.join("etc/hostname"), text: format!("{}\n", node.name) },
        NodeOp::Write { path: root.join("etc/hosts"), text: hosts },
        NodeOp::Write { path: root.join("etc/resolv.conf"), text: resolv_conf },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_node_gets_its_own_root_devices_kernel_trees_and_names() {
        let profile = Profile::new("p", 6443, Egress::None, 0, 1);
        let dirs = Layout::new(Some("/h".into()), None).profile("p").node("p");
        let hierarchies = vec![
            Hierarchy { mount: "/sys/fs/cgroup/memory".into(), v1: Some("memory".to_owned()) },
            Hierarchy { mount: "/sys/fs/cgroup/unified".into(), v1: None },
        ];
        let host = Host { hierarchies, binary: "/opt/ironclad".into(), resolv_conf: String::new() };
        let text: String = node_ops(&profile, &profile.nodes[0], &dirs, &host)
            .iter()
            .filter(|op| !matches!(op, NodeOp::Device { .. } | NodeOp::Symlink { .. } | NodeOp::Sysctl { .. }))
            .map(|op| format!("{op:?}\n"))
            .collect();
        expect_test::expect![[r##"
            PrivateMounts
            Directory { path: "/h/profiles/p/nodes/p/upper", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/work", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/root", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/lib", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/log", mode: 493 }
            Mount { kind: "overlay", target: "/h/profiles/p/nodes/p/root", flags: [], data: "lowerdir=/,upperdir=/h/profiles/p/nodes/p/upper,workdir=/h/profiles/p/nodes/p/work" }
            Mount { kind: "tmpfs", target: "/h/profiles/p/nodes/p/root/dev", flags: [NoSuid], data: "mode=755,size=16m" }
            Directory { path: "/h/profiles/p/nodes/p/root/dev/net", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/root/dev/pts", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/root/dev/shm", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/root/dev/mqueue", mode: 493 }
            Mount { kind: "devpts", target: "/h/profiles/p/nodes/p/root/dev/pts", flags: [NoSuid, NoExec], data: "newinstance,ptmxmode=0666,mode=620,gid=5" }
            Mount { kind: "tmpfs", target: "/h/profiles/p/nodes/p/root/dev/shm", flags: [NoSuid, NoDev], data: "mode=1777" }
            Mount { kind: "mqueue", target: "/h/profiles/p/nodes/p/root/dev/mqueue", flags: [NoSuid, NoDev, NoExec], data: "" }
            Mount { kind: "proc", target: "/h/profiles/p/nodes/p/root/proc", flags: [NoSuid, NoDev, NoExec], data: "" }
            Mount { kind: "sysfs", target: "/h/profiles/p/nodes/p/root/sys", flags: [NoSuid, NoDev, NoExec], data: "" }
            Mount { kind: "tmpfs", target: "/h/profiles/p/nodes/p/root/sys/fs/cgroup", flags: [NoSuid, NoDev, NoExec], data: "mode=755,size=1m" }
            Directory { path: "/h/profiles/p/nodes/p/root/sys/fs/cgroup/memory", mode: 493 }
            Mount { kind: "cgroup", target: "/h/profiles/p/nodes/p/root/sys/fs/cgroup/memory", flags: [NoSuid, NoDev, NoExec], data: "memory" }
            Directory { path: "/h/profiles/p/nodes/p/root/sys/fs/cgroup/unified", mode: 493 }
            Mount { kind: "cgroup2", target: "/h/profiles/p/nodes/p/root/sys/fs/cgroup/unified", flags: [NoSuid, NoDev, NoExec], data: "" }
            Mount { kind: "tmpfs", target: "/h/profiles/p/nodes/p/root/run", flags: [NoSuid, NoDev], data: "mode=755" }
            Mount { kind: "tmpfs", target: "/h/profiles/p/nodes/p/root/tmp", flags: [NoSuid, NoDev], data: "mode=1777" }
            Directory { path: "/h/profiles/p/nodes/p/root/run/lock", mode: 1023 }
            Directory { path: "/h/profiles/p/nodes/p/root/run/ironclad/bin", mode: 493 }
            Directory { path: "/h/profiles/p/nodes/p/root/var/lib/ironclad", mode: 493 }
            Bind { from: "/h/profiles/p/nodes/p/lib", to: "/h/profiles/p/nodes/p/root/var/lib/ironclad" }
            Bind { from: "/h/profiles/p/nodes/p/log", to: "/h/profiles/p/nodes/p/root/var/log" }
            Bind { from: "/opt/ironclad", to: "/h/profiles/p/nodes/p/root/run/ironclad/bin/ironclad" }
            Write { path: "/h/profiles/p/nodes/p/root/etc/hostname", text: "p\n" }
            Write { path: "/h/profiles/p/nodes/p/root/etc/hosts", text: "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n192.168.49.2\tp\n" }
            Write { path: "/h/profiles/p/nodes/p/root/etc/resolv.conf", text: "# This cluster has no way out (--egress none).\n" }
            Hostname { name: "p" }
            Pivot { root: "/h/profiles/p/nodes/p/root" }
            SharedMounts
        "##]].assert_eq(&text);
    }

    #[test]
    fn the_unified_hierarchy_is_mounted_where_the_host_has_it() {
        let hierarchies = [Hierarchy { mount: "/sys/fs/cgroup".into(), v1: None }];
        let ops = kernel_mounts(Path::new("/r"), &hierarchies);
        assert_eq!(ops.len(), 3);
        assert!(
            matches!(&ops[2], NodeOp::Mount { kind: "cgroup2", target, .. } if target == Path::new("/r/sys/fs/cgroup"))
        );
    }
}
