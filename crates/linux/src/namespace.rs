//! Namespaces: making, joining and keeping them.
//!
//! `clone_into_new` forks with new namespaces; it works only in a process of one thread (the shim, a node's init),
//! where a forked child may run any code. Everything else works anywhere.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{During, Error, Result};

/// A set of namespace kinds, as CLONE_NEW* bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(u32);

impl Kinds {
    pub const NONE: Self = Self(0);
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u32);
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u32);
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u32);
    pub const NET: Self = Self(libc::CLONE_NEWNET as u32);
    pub const PID: Self = Self(libc::CLONE_NEWPID as u32);
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u32);
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u32);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A forked child. The pidfd is valid as long as it is held, whatever becomes of the number.
#[derive(Debug)]
pub struct Child {
    pub pid: u32,
    pub pidfd: OwnedFd,
}

/// Leaves the given namespaces for new ones (the calling thread; a new PID namespace is for its children).
pub fn unshare(kinds: Kinds) -> Result<()> {
    // SAFETY: unshare takes no pointers, and no kind here shares or splits the descriptor table or memory.
    let rc = unsafe { libc::unshare(kinds.0 as libc::c_int) };
    if rc == 0 { Ok(()) } else { Err(Error::new("unshare", io::Error::last_os_error())) }
}

/// Joins a namespace by a file of it, or several by a pidfd of a process in them.
pub fn join(fd: impl AsFd, kinds: Kinds) -> Result<()> {
    // SAFETY: setns takes a valid descriptor (borrowed for the call) and no pointers.
    let rc = unsafe { libc::setns(fd.as_fd().as_raw_fd(), kinds.0 as libc::c_int) };
    if rc == 0 { Ok(()) } else { Err(Error::new("setns", io::Error::last_os_error())) }
}

/// Joins the namespace kept at `path`.
pub fn join_path(path: &Path, kind: Kinds) -> Result<()> {
    let file = File::open(path).during(|| format!("open namespace {}", path.display()))?;
    join(&file, kind).map_err(|error| Error::new(format!("setns {}", path.display()), error.source))
}

/// Makes `path` (created if missing) keep the calling thread's namespace of the given kind alive. The name is that of
/// /proc/thread-self/ns: net, ipc, uts, mnt, cgroup, pid_for_children.
pub fn pin(name: &str, path: &Path) -> Result<()> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .during(|| format!("create namespace file {}", path.display()))?;
    rustix::mount::mount_bind(Path::new("/proc/thread-self/ns").join(name), path)
        .during(|| format!("bind {name} namespace to {}", path.display()))
}

/// Undoes `pin`. A path that is not there is fine.
pub fn unpin(path: &Path) -> Result<()> {
    match rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(Error::new(format!("unmount {}", path.display()), error)),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::new(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Forks. The child, in new namespaces of the given kinds, runs `child` and exits with what it returns; it never
/// returns from here. Fails in a process with more than one thread.
pub fn clone_into_new(kinds: Kinds, child: impl FnOnce() -> i32) -> Result<Child> {
    let threads = std::fs::read_dir("/proc/self/task").during(|| "read /proc/self/task")?.count();
    if threads != 1 {
        return Err(Error::new(
            "clone3",
            io::Error::other(format!("this process has {threads} threads, a child could not run safely")),
        ));
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers; all zeroes is its documented default.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(kinds.0) | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM this is fork(): the child has its own copy of the memory. The process has one thread
    // (checked above), so no lock can be held by a thread that the child lacks. `args` and `pidfd` outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(Error::new("clone3", io::Error::last_os_error())),
        0 => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(134);
            // SAFETY: _exit only ends the process; skipping atexit handlers is wanted, they belong to the parent.
            unsafe { libc::_exit(status) }
        }
        pid => {
            // SAFETY: the kernel stored a fresh descriptor in `pidfd`, owned by nobody else.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid: pid as u32, pidfd })
        }
    }
}

pub fn set_hostname(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).during(|| format!("set hostname {name}"))
}
