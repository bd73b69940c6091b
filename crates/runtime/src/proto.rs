//! What the runtime and a pod's shim say to each other, and the files both know.
//!
//! Messages are JSON, one per packet of [`crate::socket`]. What must outlive either side is a file in the pod's run
//! directory, written whole and renamed: the sandbox's description, each container's spec, its process and its exit.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spec::Process;

#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub id: u64,
    pub request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Starts a container from its spec file. Answered when its program runs or has failed to.
    Start {
        container: String,
    },
    /// Runs one more process in a container. Three descriptors come along: stdin, stdout, stderr; with a terminal none
    /// do, and the answer brings its master.
    Exec {
        exec: String,
        container: String,
        process: Box<Process>,
        tty: bool,
    },
    /// Copies output from now on to the descriptors that come along: stdout and, without a terminal, stderr.
    Attach {
        container: String,
    },
    /// The last writer of the container's stdin that we hold goes.
    CloseStdin {
        container: String,
    },
    /// The answer brings the master of the container's terminal.
    Terminal {
        container: String,
    },
    /// Gives a terminal's master back to a shim that took over.
    RestoreTerminal {
        container: String,
    },
    Signal {
        container: String,
        signal: i32,
    },
    SignalExec {
        exec: String,
        signal: i32,
    },
    ReopenLog {
        container: String,
    },
    /// The container is removed: its directory will go.
    Forget {
        container: String,
    },
    /// Answered once the shim has taken over what it found.
    Hello,
    /// Ends the shim. Containers that still run run on.
    Quit,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    Answer { id: u64, answer: Answer },
    Exited { container: String, exit: Exit },
    ExecExited { exec: String, code: i32 },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Started {
        pid: u32,
    },
    /// The program could not be started; the message is the user's.
    Failed {
        message: String,
    },
    NotFound,
}

/// The end of a container, as it stays in its exit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    pub finished_at_nanos: i64,
    pub oom_killed: bool,
    /// Why it never ran, if it did not.
    pub start_error: Option<String>,
}

/// A process that can be found again: the number alone could be another's by now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessFile {
    pub pid: u32,
    pub start_ticks: u64,
    pub started_at_nanos: i64,
}

/// The sandbox as its shim needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodFile {
    pub hostname: Option<String>,
    /// Own IPC and UTS namespaces are made and kept where these say.
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    /// One PID namespace for all containers of the pod.
    pub shared_pid: bool,
    pub sysctls: Vec<(String, String)>,
    pub log_bytes_max: u64,
    pub log_files_max: u32,
}

/// The pod's run directory and the names in it.
#[derive(Clone, Debug)]
pub struct PodDir(pub PathBuf);

impl PodDir {
    pub fn socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }

    pub fn pod_file(&self) -> PathBuf {
        self.0.join("pod.json")
    }

    /// The pod's init, where containers share one PID namespace.
    pub fn init_file(&self) -> PathBuf {
        self.0.join("init.json")
    }

    pub fn shim_file(&self) -> PathBuf {
        self.0.join("shim.json")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    pub fn container(&self, id: &str) -> ContainerDir {
        ContainerDir(self.containers().join(id))
    }
}

#[derive(Clone, Debug)]
pub struct ContainerDir(pub PathBuf);

impl ContainerDir {
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    pub fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }

    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// Where the root file system is attached in the container's own mount namespace.
    pub fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    /// There once its input has ended for good (`stdinOnce`).
    pub fn stdin_closed(&self) -> PathBuf {
        self.0.join("stdin.closed")
    }

    /// The FIFO of a standard stream.
    pub fn stream(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Writes a file so that a reader, even after a crash, sees the old or the new one, whole.
pub fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    std::fs::write(&new, bytes)?;
    std::fs::rename(&new, path)
}

pub fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    write_file(path, &serde_json::to_vec(value)?)
}

/// `None` if there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
