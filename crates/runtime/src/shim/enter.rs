//! The pod's own namespaces: made by its first shim and kept as files, so that they outlive every shim.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use linux::namespace::{self, Kinds};
use linux::{During, Result};

use crate::proto::{PodDir, PodFile, ProcessFile, read_json, write_json};

/// Makes the pod's IPC and UTS namespaces, or joins those that an earlier shim made.
pub fn pod_namespaces(dir: &PodDir, pod: &PodFile) -> Result<()> {
    let mut fresh = false;
    for (kind, name, path) in [(Kinds::IPC, "ipc", &pod.ipc), (Kinds::UTS, "uts", &pod.uts)] {
        let Some(path) = path else { continue };
        if path.exists() && namespace::join_path(path, kind).is_ok() {
            continue;
        }
        fresh = true;
        namespace::unshare(kind)?;
        namespace::pin(name, path)?;
    }
    if fresh {
        if let (Some(_), Some(hostname)) = (&pod.uts, &pod.hostname) {
            namespace::set_hostname(hostname)?;
        }
        for (name, value) in &pod.sysctls {
            let path = Path::new("/proc/sys").join(name.replace('.', "/"));
            std::fs::write(&path, value).during(|| format!("set sysctl {name}={value}"))?;
        }
    }
    if pod.shared_pid {
        pod_init(dir)?;
    }
    Ok(())
}

/// The first process of a PID namespace that all containers of the pod share: it only reaps.
fn pod_init(dir: &PodDir) -> Result<()> {
    if live(&dir.init_file()).is_some() {
        return Ok(());
    }
    let child = namespace::clone_into_new(Kinds::PID, || {
        linux::process::close_from(3);
        loop {
            if linux::process::wait_any().is_none() {
                // No children now. As the namespace's first process it gets no signal it does not handle; SIGCHLD
                // wakes it up.
                linux::process::pause_for_child();
            }
        }
    })?;
    let file = ProcessFile {
        pid: child.pid,
        start_ticks: linux::process::start_ticks(child.pid).unwrap_or_default(),
        started_at_nanos: super::stdio::now_nanos(),
    };
    write_json(&dir.init_file(), &file).during(|| "write pod init file")
}

/// The process that a file tells of, if it still is the same one and not a zombie.
pub fn live(path: &Path) -> Option<(ProcessFile, OwnedFd)> {
    let file: ProcessFile = read_json(path).ok()??;
    let pidfd = linux::pidfd::open(file.pid).ok()?;
    let same = linux::process::start_ticks(file.pid) == Some(file.start_ticks);
    (same && !linux::pidfd::has_ended(&pidfd)).then_some((file, pidfd))
}

/// Runs `work` with the PID namespace of `pid` for its children, then returns to our own.
pub fn with_pid_namespace<T>(own: impl AsFd, pid: u32, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = format!("/proc/{pid}/ns/pid");
    let target = File::open(&path).during(|| format!("open {path}"))?;
    namespace::join(&target, Kinds::PID)?;
    let done = work();
    namespace::join(own, Kinds::PID)?;
    done
}
