//! The runtime's end of a shim's socket: calls with answers, and what the shim tells unasked.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use crate::proto::{Answer, Call, Message, PodDir, Request};
use crate::socket;

/// How to start a shim: our own program and the arguments that make it one.
#[derive(Clone, Debug)]
pub struct ShimCommand {
    pub program: PathBuf,
    /// Before `--sandbox ID --dir DIR`, such as `shim --profile p`.
    pub args: Vec<String>,
}

/// Messages from shims that wait for the runtime. Beyond it the shim's socket fills up, and it lets us go.
pub const NEWS_MAX: usize = 1024;

/// What a shim told without being asked.
#[derive(Debug)]
pub enum News {
    Message(Message),
    /// The connection ended: the shim is dead, or was told to quit.
    Gone {
        sandbox: String,
    },
}

type Waiting = Mutex<HashMap<u64, oneshot::Sender<(Answer, Vec<OwnedFd>)>>>;

#[derive(Debug)]
pub struct ShimClient {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    next: std::sync::atomic::AtomicU64,
    reader: tokio::task::JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the pod's shim is gone")]
    Gone,
    #[error("{0}")]
    Failed(String),
    #[error("the container is not running")]
    NotFound,
}

/// Starts a shim for the pod whose files are in `dir`. Blocks for the shim's own fork.
pub fn spawn(command: &ShimCommand, sandbox: &str, dir: &PodDir) -> std::io::Result<()> {
    let listener = socket::listen(&dir.socket())?;
    let log = std::fs::File::options().create(true).append(true).open(dir.log())?;
    let status = Command::new(&command.program)
        .args(&command.args)
        .args(["--sandbox", sandbox, "--dir"])
        .arg(&dir.0)
        .env_clear()
        // With huge pages our allocator makes 6 MiB of a shim that uses some hundred KiB.
        .env("MIMALLOC_ALLOW_THP", "0")
        .current_dir("/")
        .stdin(Stdio::from(listener))
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(format!("shim of {sandbox} ended with {status}, see {}", dir.log().display())))
}

impl ShimClient {
    pub fn connect(sandbox: &str, path: &Path, news: mpsc::Sender<News>) -> std::io::Result<Self> {
        let socket = socket::connect(path)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        let socket = Arc::new(crate::terminal::watched(socket)?);
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(read(sandbox.to_owned(), socket.clone(), waiting.clone(), news));
        Ok(Self { socket, waiting, next: std::sync::atomic::AtomicU64::new(1), reader })
    }

    pub async fn call(&self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<(Answer, Vec<OwnedFd>), CallError> {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let bytes = serde_json::to_vec(&Call { id, request }).map_err(|error| CallError::Failed(error.to_string()))?;
        let (tell, told) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, tell);
        loop {
            let mut ready = self.socket.writable().await.map_err(|_| CallError::Gone)?;
            match socket::send(self.socket.get_ref(), &bytes, fds, SendFlags::empty()) {
                Ok(()) => break,
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::MSGSIZE) => {
                    self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    return Err(CallError::Failed("argument list too long".to_owned()));
                }
                Err(_) => return Err(CallError::Gone),
            }
        }
        match told.await {
            Ok((Answer::Failed { message }, _)) => Err(CallError::Failed(message)),
            Ok((Answer::NotFound, _)) => Err(CallError::NotFound),
            Ok(answer) => Ok(answer),
            Err(_) => Err(CallError::Gone),
        }
    }

    /// A call without descriptors whose answer holds nothing.
    pub async fn tell(&self, request: Request) -> Result<(), CallError> {
        self.call(request, &[]).await.map(drop)
    }
}

impl Drop for ShimClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(sandbox: String, socket: Arc<AsyncFd<OwnedFd>>, waiting: Arc<Waiting>, news: mpsc::Sender<News>) {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let Ok(mut ready) = socket.readable().await else { break };
        let (len, fds) = match socket::receive(socket.get_ref().as_fd(), &mut buffer, RecvFlags::empty()) {
            Ok(Some(got)) => got,
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                continue;
            }
            Err(Errno::INTR) => continue,
            Ok(None) | Err(_) => break,
        };
        match serde_json::from_slice::<Message>(&buffer[..len]) {
            Ok(Message::Answer { id, answer }) => {
                let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(tell) = waiting {
                    let _ = tell.send((answer, fds));
                }
            }
            Ok(message) => {
                let _ = news.send(News::Message(message)).await;
            }
            Err(error) => tracing::warn!(%sandbox, %error, "bad message from shim"),
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let _ = news.send(News::Gone { sandbox }).await;
}
