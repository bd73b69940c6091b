//! What this machine must have before a cluster is begun: asked at once, so that nothing is left half made.

use std::path::{Path, PathBuf};

use linux::namespace::{self, Kinds};
use linux::rtnl::{Mac, NetOp, Rtnl};

use crate::driver::{cgroups, member};
use crate::layout::Layout;
use crate::trouble::{Result, Trouble, plain};

/// A cluster that cannot write its store is worse than none.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

pub fn check(layout: &Layout) -> Result<()> {
    check_root()?;
    check_files()?;
    check_programs(&["nft"])?;
    check_space(&layout.home)?;
    check_network()
}

pub fn check_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Trouble::new("ironclad needs root to make namespaces and mounts", "Run it again with sudo."))
}

fn check_files() -> Result<()> {
    for kind in ["net", "mnt", "pid", "uts", "ipc", "cgroup"] {
        if !Path::new("/proc/self/ns").join(kind).exists() {
            return Err(kernel_lacks(&format!("{kind} namespaces")));
        }
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) && !load_module("overlay") {
        return Err(kernel_lacks("overlayfs"));
    }
    let hierarchies =
        cgroups::of_host().map_err(|error| Trouble::file("read", Path::new("/proc/self/mountinfo"), &error))?;
    if hierarchies.iter().all(|hierarchy| hierarchy.v1.is_some()) {
        return Err(Trouble::new(
            "no version 2 control group hierarchy is mounted",
            "Mount one: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        ));
    }
    Ok(())
}

fn kernel_lacks(what: &str) -> Trouble {
    Trouble::new(
        format!("this kernel has no {what}"),
        "Use a kernel with namespaces, overlayfs, veth, bridge and nf_tables, as Debian's and Ubuntu's are.",
    )
}

fn load_module(name: &str) -> bool {
    let status = std::process::Command::new("modprobe").args(["-q", name]).status();
    status.is_ok_and(|status| status.success())
}

fn check_programs(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| find_program(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Trouble::new(
        format!("the program {} is missing", missing.join(", ")),
        "Install it, for example with `apt-get install nftables`.",
    ))
}

/// What a control plane with an etcd member needs.
pub fn check_etcd() -> Result<()> {
    if find_program(member::PROGRAM).is_some() {
        return Ok(());
    }
    Err(Trouble::new(
        "the program etcd is missing, which --datastore etcd runs on each control plane",
        "Install etcd 3.4 or newer, for example with `apt-get install etcd-server`.",
    ))
}

/// Searches PATH, and the system's directories that a user's PATH may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn check_space(home: &Path) -> Result<()> {
    let existing = home.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing).map_err(|error| Trouble::file("examine", existing, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= FREE_BYTES_MIN {
        return Ok(());
    }
    Err(Trouble::new(
        format!("only {} MiB are free on the file system of {}", free >> 20, home.display()),
        format!(
            "Free at least {} MiB there, or set IRONCLAD_HOME to a directory on another disk.",
            FREE_BYTES_MIN >> 20
        ),
    ))
}

/// Makes a bridge and a veth in a namespace of its own, which ends with the thread.
fn check_network() -> Result<()> {
    let probe = std::thread::spawn(|| -> std::result::Result<(), String> {
        namespace::unshare(Kinds::NET).map_err(|error| format!("network namespaces ({})", plain(&error.source)))?;
        let mut rtnl = Rtnl::open().map_err(|error| format!("rtnetlink ({})", plain(&error)))?;
        let bridge = NetOp::AddBridge { name: "b".to_owned(), mac: Mac([2, 0, 0, 0, 0, 1]) };
        rtnl.apply(&bridge, None).map_err(|error| format!("bridges ({})", plain(&error)))?;
        let veth = NetOp::AddVeth {
            name: "v".to_owned(),
            mac: Mac([2, 0, 0, 0, 0, 2]),
            peer: "w".to_owned(),
            peer_mac: Mac([2, 0, 0, 0, 0, 3]),
        };
        rtnl.apply(&veth, None).map_err(|error| format!("veth pairs ({})", plain(&error)))?;
        let netfilter = rustix::net::socket(
            rustix::net::AddressFamily::NETLINK,
            rustix::net::SocketType::RAW,
            Some(rustix::net::netlink::NETFILTER),
        );
        netfilter.map(drop).map_err(|error| format!("nf_tables ({})", plain(&error.into())))
    });
    match probe.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(what)) => Err(kernel_lacks(&what)),
        Err(_) => Err(kernel_lacks("network namespaces")),
    }
}
