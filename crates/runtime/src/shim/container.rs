//! One container as the shim holds it: its process, its streams, its log, and the small requests about it.

use std::os::fd::OwnedFd;

use linux::pidfd;

use super::log::Log;
use super::stdio::{self, Stream};
use crate::proto::{Answer, ContainerDir, PodFile, Request, read_json};
use crate::spec::Spec;

pub struct Container {
    pub dir: ContainerDir,
    pub spec: Spec,
    pub pid: u32,
    pub pidfd: OwnedFd,
    pub life: Life,
    pub streams: Vec<Stream>,
    pub log: Option<Log>,
    /// Our writing end of its stdin FIFO.
    pub stdin: Option<OwnedFd>,
    pub master: Option<OwnedFd>,
}

pub enum Life {
    /// Forked; the report socket ends with exec or brings the error.
    Starting {
        report: OwnedFd,
        asked: Asked,
        error: Option<String>,
    },
    Running,
    /// Found running by a shim that is not its parent. `seen` once it has ended but its exit cannot be read yet.
    Adopted {
        seen: bool,
    },
    Ended,
}

/// Whom to answer.
#[derive(Clone, Copy)]
pub struct Asked {
    pub client: u64,
    pub id: u64,
}

impl Container {
    /// Requests that end at once.
    pub fn carry_out(&mut self, request: &Request, mut fds: Vec<OwnedFd>) -> (Answer, Option<OwnedFd>) {
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().and_then(|fd| fd.try_clone().ok());
        match request {
            Request::Attach { .. } => {
                for (stream, client) in self.streams.iter_mut().zip(fds) {
                    stdio::prepare_client(&client);
                    if stream.attached.len() < stdio::ATTACHED_MAX {
                        stream.attached.push(client);
                    }
                }
                (Answer::Done, None)
            }
            Request::CloseStdin { .. } => {
                self.stdin = None;
                (Answer::Done, None)
            }
            Request::Terminal { .. } => (Answer::Done, copy(&self.master)),
            Request::RestoreTerminal { .. } => {
                self.master = fds.pop();
                let stream = copy(&self.master).and_then(|master| Stream::new("stdout", master).ok());
                self.streams.extend(stream);
                (Answer::Done, None)
            }
            Request::ReopenLog { .. } => match self.log.as_mut().map_or(Ok(()), Log::reopen) {
                Ok(()) => (Answer::Done, None),
                Err(error) => (Answer::Failed { message: format!("reopen log: {error}") }, None),
            },
            Request::Signal { signal, .. } => match (&self.life, pidfd::signal(&self.pidfd, *signal)) {
                (Life::Ended, _) | (_, Ok(_)) => (Answer::Done, None),
                (_, Err(error)) => (failed(error), None),
            },
            Request::Start { .. }
            | Request::Exec { .. }
            | Request::SignalExec { .. }
            | Request::Forget { .. }
            | Request::Hello
            | Request::Quit => (Answer::NotFound, None),
        }
    }
}

pub fn failed(error: linux::Error) -> Answer {
    Answer::Failed { message: error.to_string() }
}

pub fn read_spec(dir: &ContainerDir) -> Result<Spec, String> {
    read_json(&dir.spec())
        .map_err(|error| format!("read {}: {error}", dir.spec().display()))?
        .ok_or_else(|| format!("{} is not there", dir.spec().display()))
}

pub type Opened = (Vec<Stream>, Option<OwnedFd>, Option<Log>);

/// Our ends of a container's FIFOs (made if missing), and its log.
pub fn open_streams(spec: &Spec, dir: &ContainerDir, pod: &PodFile) -> Result<Opened, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("open {what} of the container: {error}");
    let open_log = |path: &std::path::PathBuf| {
        Log::open(path, pod.log_bytes_max, pod.log_files_max)
            .map_err(|error| failed(&path.display().to_string(), &error))
    };
    let log = spec.log_path.as_ref().map(open_log).transpose()?;
    if spec.tty {
        return Ok((Vec::new(), None, log));
    }
    let mut streams = Vec::new();
    for name in ["stdout", "stderr"] {
        let path = dir.stream(name);
        let opened = stdio::make_fifo(&path).and_then(|()| stdio::open_reader(&path));
        streams.push(opened.and_then(|fd| Stream::new(name, fd)).map_err(|error| failed(name, &error))?);
    }
    let mut stdin = None;
    if spec.stdin && !dir.stdin_closed().exists() {
        use rustix::fs::{Mode, OFlags};
        let path = dir.stream("stdin");
        let opened = stdio::make_fifo(&path)
            .and_then(|()| rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()));
        stdin = Some(opened.map_err(|error| failed("stdin", &error))?);
    }
    Ok((streams, stdin, log))
}
