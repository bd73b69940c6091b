//! The calling process and its children: reaping, signals, ids, limits, execve.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::pidfd::Exit;
use crate::{During, Error, Result};

/// Reaps one child that has ended, if any.
pub fn reap() -> Option<(u32, Exit)> {
    let mut status = 0;
    // SAFETY: waitpid writes one int, which lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid as u32, Exit::from_wait_status(status)))
}

/// Waits until some child ends and reaps it; `None` when there are no children.
pub fn wait_any() -> Option<(u32, Exit)> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes one int, which lives through the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if pid > 0 {
            return Some((pid as u32, Exit::from_wait_status(status)));
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Blocks a signal and gives a descriptor that turns readable when it is pending.
pub fn signal_fd(signals: &[i32]) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the set is initialised by sigemptyset before any other use; all pointers live through their calls; the
    // descriptor returned is fresh.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(Error::new("block signals", io::Error::last_os_error()));
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(Error::new("signalfd", io::Error::last_os_error()));
        }
        Ok(std::os::fd::OwnedFd::from_raw_fd(fd))
    }
}

/// Empties a descriptor of `signal_fd`; the signal numbers seen.
pub fn drain_signals(fd: impl AsFd) -> Vec<i32> {
    let mut seen = Vec::new();
    let mut buffer = [0u8; 128];
    while let Ok(128) = rustix::io::read(&fd, &mut buffer) {
        seen.push(i32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]));
    }
    seen
}

/// Default handling and nothing blocked, as a program expects at its start (Rust ignores SIGPIPE).
pub fn reset_signals() {
    // SAFETY: only resets dispositions to the default and clears the mask; pointers live through their calls.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// When the process started, in clock ticks since boot: tells a process from a later one with the same number.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Best effort: without CAP_SYS_RESOURCE the kernel refuses to go below the inherited value.
pub fn set_oom_score_adj(value: i32) -> Result<()> {
    std::fs::write("/proc/self/oom_score_adj", value.to_string()).during(|| format!("set oom_score_adj {value}"))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// Takes on the user: groups, then gid, then uid (real, effective, saved) of a single-threaded process.
pub fn become_user(user: &User) -> Result<()> {
    // SAFETY: setgroups reads `len` ids from a live slice; the others take integers.
    unsafe {
        if libc::setgroups(user.groups.len(), user.groups.as_ptr()) != 0 {
            return Err(Error::new("setgroups", io::Error::last_os_error()));
        }
        if libc::setresgid(user.gid, user.gid, user.gid) != 0 {
            return Err(Error::new(format!("setgid {}", user.gid), io::Error::last_os_error()));
        }
        if libc::setresuid(user.uid, user.uid, user.uid) != 0 {
            return Err(Error::new(format!("setuid {}", user.uid), io::Error::last_os_error()));
        }
    }
    Ok(())
}

pub fn set_umask(mask: u32) {
    // SAFETY: umask cannot fail and takes an integer.
    unsafe { libc::umask(mask) };
}

/// Makes `fd` the descriptor `number` (kept over exec).
pub fn place_fd(fd: impl AsFd, number: i32) -> Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: dup2 replaces `number` in this process; used in a forked child for 0, 1 and 2 only, which no Rust
    // object owns. When both are equal only the close-on-exec flag must go.
    let rc = unsafe { if raw == number { libc::fcntl(raw, libc::F_SETFD, 0) } else { libc::dup2(raw, number) } };
    if rc < 0 { Err(Error::new(format!("dup2 to {number}"), io::Error::last_os_error())) } else { Ok(()) }
}

/// Marks every descriptor above 2 close-on-exec: nothing of ours may leak into a container.
pub fn close_others_on_exec() -> Result<()> {
    // SAFETY: only sets a flag on descriptors.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if rc == 0 { Ok(()) } else { Err(Error::new("close_range", io::Error::last_os_error())) }
}

/// Replaces the process. Returns only the error.
pub fn exec(path: &Path, args: &[String], env: &[String]) -> io::Error {
    fn strings(items: &[String]) -> io::Result<Vec<CString>> {
        items.iter().map(|item| CString::new(item.as_bytes()).map_err(io::Error::from)).collect()
    }
    let (path, args, env) = match (CString::new(path.as_os_str().as_bytes()), strings(args), strings(env)) {
        (Ok(path), Ok(args), Ok(env)) => (path, args, env),
        _ => return io::Error::from_raw_os_error(libc::EINVAL),
    };
    let pointers = |items: &[CString]| -> Vec<*const libc::c_char> {
        items.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&env));
    // SAFETY: both arrays end in a null pointer and, with the strings they point to, outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// A resource limit by its kernel number (RLIMIT_*).
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: prlimit on ourselves reads one struct that outlives the call.
    let rc = unsafe { libc::prlimit64(0, resource, &raw const limit, std::ptr::null_mut()) };
    if rc == 0 { Ok(()) } else { Err(Error::new(format!("setrlimit {resource}"), io::Error::last_os_error())) }
}

/// Lifts the soft limit on open files to the hard one, as containers expect; a million is enough.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const FILES_MAX: u64 = 1 << 20;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.unwrap_or(FILES_MAX).min(FILES_MAX));
    // Lifting within the hard limit needs no right; should it fail, the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

pub fn set_no_new_privs() -> Result<()> {
    // SAFETY: prctl with integer arguments only.
    let rc = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(Error::new("set no_new_privs", io::Error::last_os_error())) }
}

/// Closes every descriptor from `first` on, in a forked child that will not exec and must hold nothing of its parent.
pub fn close_from(first: u32) {
    // SAFETY: called in a forked child that runs no more code owning descriptors of the parent.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Waits until a child may have changed. A child that ended before the call may be missed only until the next one.
pub fn pause_for_child() {
    // SAFETY: the set is initialised by sigemptyset; SIGCHLD is blocked so that sigwait sees it; pointers live.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let mut signal = 0;
        libc::sigwait(&raw const set, &raw mut signal);
    }
}

/// Lets go of the pages of our own program that starting touched (its code and constants): they come back from the page
/// cache when needed. For a process that then idles for ever.
pub fn drop_program_pages() {
    let (Ok(maps), Ok(exe)) = (std::fs::read_to_string("/proc/self/maps"), std::fs::read_link("/proc/self/exe")) else {
        return;
    };
    let exe = exe.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
    for line in maps.lines().filter(|line| line.contains(&exe)) {
        let mut fields = line.split(' ');
        let range = fields.next().and_then(|range| range.split_once('-'));
        let parse = |hex| usize::from_str_radix(hex, 16).ok();
        let Some((from, to)) = range.and_then(|(from, to)| Some((parse(from)?, parse(to)?))) else { return };
        let access = fields.next().unwrap_or_default();
        if !matches!(access, "r--p" | "r-xp") {
            return;
        }
        // SAFETY: what lies before and in the code of our program is mapped from its file and never written, so that
        // dropping its pages only makes the kernel read them again. Relocated data lies after the code, and is not
        // reached: the loop ends with the code.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        if access == "r-xp" {
            return;
        }
    }
}
