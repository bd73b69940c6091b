//! The shim: one small process of one thread per pod, between the runtime and the pod's containers.
//!
//! ```text
//!  runtime --spawn(fd 0 = listening socket)--> shim --clone3--> container init (PID 1 of its namespace)
//!     ^  \---- Call / Message over SEQPACKET ----^  |  ^-- FIFOs stdout, stderr --> CRI log, attached clients
//!     +---------- Exited ------------------------+  +-- exit.json, process.json (survive every death)
//! ```
//!
//! Invariants: it has one thread, so it may fork and the child may run any code. It holds nothing that cannot be
//! found again: after a kill -9 the next shim reopens FIFOs (containers hold them open for reading and writing
//! themselves, so they never see a broken pipe), finds processes by number and start time, and learns an exit from the
//! process's pidfd. It never polls with a timer, except for the exit of an adopted process on old kernels.

mod child;
mod container;
mod enter;
mod log;
mod serve;
mod stdio;
mod user;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::proto::{PodDir, PodFile, ProcessFile, read_json, write_json};

/// Runs `ironclad shim --profile P --sandbox ID --dir DIR`; `args` are those after `shim`. Call it first thing in
/// `main`, before any thread exists. Its listening socket is descriptor 0.
pub fn main(args: &[String]) -> ! {
    let code = match start(args) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("shim: {error}");
            1
        }
    };
    std::process::exit(code)
}

fn start(args: &[String]) -> Result<(), String> {
    let dir = option(args, "--dir").ok_or("missing --dir DIR")?;
    let id = option(args, "--sandbox").ok_or("missing --sandbox ID")?;
    let dir = PodDir(PathBuf::from(dir));
    let listener = take_listener().map_err(|error| format!("take the listening socket: {error}"))?;
    // The runtime waits for this process to exit; its child, an orphan, belongs to the node's init from the start and
    // so outlives the runtime.
    let child = linux::namespace::clone_into_new(linux::namespace::Kinds::NONE, || {
        let done = rustix::process::setsid().map_err(|e| e.to_string()).and_then(|_| run(&id, dir, listener));
        if let Err(error) = &done {
            eprintln!("shim {id}: {error}");
        }
        i32::from(done.is_err())
    });
    child.map(drop).map_err(|error| error.to_string())
}

fn option(args: &[String], name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1).cloned()
}

/// Moves descriptor 0 out of the way of standard input.
fn take_listener() -> std::io::Result<OwnedFd> {
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(listener)
}

fn run(id: &str, dir: PodDir, listener: OwnedFd) -> Result<(), String> {
    let pod: PodFile = read_json(&dir.pod_file())
        .map_err(|e| format!("read {}: {e}", dir.pod_file().display()))?
        .ok_or_else(|| format!("{} is not there", dir.pod_file().display()))?;
    let me = std::process::id();
    let file = ProcessFile {
        pid: me,
        start_ticks: linux::process::start_ticks(me).unwrap_or_default(),
        started_at_nanos: stdio::now_nanos(),
    };
    write_json(&dir.shim_file(), &file).map_err(|error| format!("write shim file: {error}"))?;
    // A shim is a pod's lifeline and small: the last to be killed for want of memory. Best effort.
    let _ = linux::process::set_oom_score_adj(-998);
    enter::pod_namespaces(&dir, &pod).map_err(|error| error.to_string())?;
    let shim = serve::Shim::new(id.to_owned(), dir, pod, listener)?;
    linux::process::drop_program_pages();
    shim.serve()
}
