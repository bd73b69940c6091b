//! One more process in a running container: for exec_sync, and for exec by stream.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use cri::{Code, Result, RuntimeError, v1};
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::client::{CallError, ShimClient};
use crate::compile::exec_process;
use crate::core::Core;
use crate::proto::{Request, read_json};
use crate::spec::Spec;
use crate::state::Container;
use crate::terminal::Terminal;

/// Output of exec_sync beyond this is dropped, as upstream's kubelet does with a probe's.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How long output may go on after the program itself has ended (a child may hold the pipe for ever).
const DRAIN_SECS_MAX: u64 = 2;

/// A process that runs, and our ends of its streams.
pub struct Running {
    pub id: String,
    pub shim: Arc<ShimClient>,
    pub streams: Streams,
    /// Its exit code; an error when the shim died.
    pub exit: oneshot::Receiver<i32>,
}

pub enum Streams {
    Pipes { stdin: Option<pipe::Sender>, stdout: pipe::Receiver, stderr: pipe::Receiver },
    Terminal(Terminal),
}

pub async fn start(core: &Core, container: &Container, cmd: &[String], tty: bool, stdin: bool) -> Result<Running> {
    if !container.is_running() {
        let message = format!("container {} is not running", container.id);
        return Err(RuntimeError::new(Code::FailedPrecondition, message));
    }
    let spec: Option<Spec> = read_json(&container.run.spec()).map_err(RuntimeError::internal)?;
    let spec = spec.ok_or_else(|| RuntimeError::internal(format!("container {} has no spec", container.id)))?;
    let process = Box::new(exec_process(&spec.process, cmd, tty));
    let sandbox = core.sandbox(&container.sandbox_id)?;
    let shim = core.shim(&sandbox).await?;
    let id = format!("{}/{:016x}", sandbox.id, core.rng.next_u64());
    let exit = core.expect_exec(&id);
    let request = Request::Exec { exec: id.clone(), container: container.id.clone(), process, tty };
    let started = if tty { with_terminal(&shim, request).await } else { with_pipes(&shim, request, stdin).await };
    match started {
        Ok(streams) => Ok(Running { id, shim, streams, exit }),
        Err(error) => {
            core.forget_exec(&id);
            Err(match error {
                CallError::Failed(error) => RuntimeError::internal(format!(
                    "failed to exec in container: failed to start exec: unable to start container process: {error}"
                )),
                CallError::NotFound => RuntimeError::new(Code::FailedPrecondition, error.to_string()),
                CallError::Gone => RuntimeError::new(Code::Unavailable, error.to_string()),
            })
        }
    }
}

async fn with_terminal(shim: &ShimClient, request: Request) -> std::result::Result<Streams, CallError> {
    let (_, mut fds) = shim.call(request, &[]).await?;
    let master = fds.pop().ok_or_else(|| CallError::Failed("no terminal was made".to_owned()))?;
    Terminal::new(master).map(Streams::Terminal).map_err(|error| CallError::Failed(error.to_string()))
}

async fn with_pipes(shim: &ShimClient, request: Request, stdin: bool) -> std::result::Result<Streams, CallError> {
    let failed = |error: std::io::Error| CallError::Failed(error.to_string());
    let new = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let ((out_read, out_write), (err_read, err_write)) = (new()?, new()?);
    let (in_read, in_write): (OwnedFd, Option<OwnedFd>) = if stdin {
        let (read, write) = new()?;
        (read, Some(write))
    } else {
        (std::fs::File::open("/dev/null").map_err(failed)?.into(), None)
    };
    shim.call(request, &[in_read.as_fd(), out_write.as_fd(), err_write.as_fd()]).await?;
    Ok(Streams::Pipes {
        stdin: in_write.map(|fd| nonblocking(fd).and_then(pipe::Sender::from_owned_fd)).transpose().map_err(failed)?,
        stdout: nonblocking(out_read).and_then(pipe::Receiver::from_owned_fd).map_err(failed)?,
        stderr: nonblocking(err_read).and_then(pipe::Receiver::from_owned_fd).map_err(failed)?,
    })
}

pub fn nonblocking(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

pub async fn sync(core: &Core, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse> {
    let container = core.container(&request.container_id)?;
    let running = start(core, &container, &request.cmd, false, false).await?;
    let (id, shim) = (running.id.clone(), running.shim.clone());
    let run = finish(running);
    let Some(timeout) = u64::try_from(request.timeout).ok().filter(|secs| *secs > 0) else { return run.await };
    match tokio::time::timeout(Duration::from_secs(timeout), run).await {
        Ok(done) => done,
        Err(_) => {
            // It may have ended just now.
            let _ = shim.tell(Request::SignalExec { exec: id.clone(), signal: libc::SIGKILL }).await;
            core.forget_exec(&id);
            let message = format!("command {:?} timed out: timeout {timeout}s exceeded", request.cmd.join(" "));
            Err(RuntimeError::new(Code::DeadlineExceeded, message))
        }
    }
}

async fn finish(running: Running) -> Result<v1::ExecSyncResponse> {
    let Streams::Pipes { mut stdout, mut stderr, .. } = running.streams else {
        return Err(RuntimeError::internal("exec without a terminal got one"));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut exit = running.exit;
    let code = {
        let output = async {
            tokio::join!(collect(&mut stdout, &mut out), collect(&mut stderr, &mut err));
        };
        let mut output = std::pin::pin!(output);
        tokio::select! {
            biased;
            () = &mut output => exit.await,
            code = &mut exit => {
                let _ = tokio::time::timeout(Duration::from_secs(DRAIN_SECS_MAX), output).await;
                code
            }
        }
    };
    let exit_code = code.map_err(|_| RuntimeError::new(Code::Unavailable, "the pod's shim is gone"))?;
    Ok(v1::ExecSyncResponse { stdout: out, stderr: err, exit_code })
}

async fn collect(stream: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) {
    let mut buffer = vec![0u8; 8192];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 {
            break;
        }
        let room = OUTPUT_BYTES_MAX.saturating_sub(into.len());
        into.extend_from_slice(&buffer[..n.min(room)]);
    }
}
