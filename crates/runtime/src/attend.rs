//! Attends to one stream: joins a client's channels with a process, a container or a port.

use std::os::fd::AsFd;
use std::time::Duration;

use ::streaming::{ExecSession, ExecStreams, ExitStatus, Protocol, StreamError, TerminalSize};
use cri::{Code, Result, RuntimeError, v1};
use rustix::pipe::PipeFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::exec::{self, Streams, nonblocking};
use crate::proto::Request;
use crate::terminal::Terminal;

/// How long output may go on after its program has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// What a client gets to say after the port that it is forwarded to has ended; containerd's.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A client's connection.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection for T {}

pub async fn exec(
    core: &Core,
    request: v1::ExecRequest,
    io: impl Connection,
    protocol: Protocol,
) -> std::result::Result<(), StreamError> {
    let v1::ExecRequest { container_id, cmd, tty, stdin, stdout, stderr } = request;
    let streams = ExecStreams { stdin, stdout, stderr, tty };
    let mut session = ::streaming::serve_exec(io, protocol, streams).await?;
    let running = match core.container(&container_id) {
        Ok(container) => exec::start(core, &container, &cmd, tty, stdin).await,
        Err(error) => Err(error),
    };
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            session.finish(ExitStatus::Failed(error.message)).await;
            return Ok(());
        }
    };
    let mut tasks = Pumps::default();
    match running.streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            tasks.input(session.stdin.take(), stdin);
            tasks.output(stdout, session.stdout.take());
            tasks.output(stderr, session.stderr.take());
        }
        Streams::Terminal(terminal) => tasks.terminal(&mut session, terminal.clone(), Some(terminal)),
    }
    let closed = session.closed();
    let status = tokio::select! {
        biased;
        code = running.exit => match code {
            Ok(0) => ExitStatus::Success,
            Ok(code) => ExitStatus::Code(code),
            Err(_) => ExitStatus::Failed("the pod's shim is gone".to_owned()),
        },
        // Nobody watches any more: its streams close, and with a terminal it gets SIGHUP.
        () = closed => return Ok(()),
    };
    tasks.drain(Some(DRAIN)).await;
    session.finish(status).await;
    Ok(())
}

pub async fn attach(
    core: &Core,
    request: v1::AttachRequest,
    io: impl Connection,
    protocol: Protocol,
) -> std::result::Result<(), StreamError> {
    let v1::AttachRequest { container_id, stdin, tty, stdout, stderr } = request;
    let mut session = ::streaming::serve_exec(io, protocol, ExecStreams { stdin, stdout, stderr, tty }).await?;
    let mut tasks = Pumps::default();
    if let Err(error) = join_container(core, &container_id, &mut session, &mut tasks).await {
        session.finish(ExitStatus::Failed(error.message)).await;
        return Ok(());
    }
    let closed = session.closed();
    tokio::select! {
        biased;
        // Output ends with the container.
        () = tasks.drain(None) => session.finish(ExitStatus::Success).await,
        () = closed => {}
    }
    Ok(())
}

async fn join_container(core: &Core, id: &str, session: &mut ExecSession, tasks: &mut Pumps) -> Result<()> {
    let container = core.container(id)?;
    if !container.is_running() {
        return Err(RuntimeError::new(Code::FailedPrecondition, format!("container {id} is not running")));
    }
    let sandbox = core.sandbox(&container.sandbox_id)?;
    let shim = core.shim(&sandbox).await?;
    let new = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(RuntimeError::internal);
    let ((out_read, out_write), (err_read, err_write)) = (new()?, new()?);
    let fds = [out_write.as_fd(), err_write.as_fd()];
    let fds = if container.config.tty { &fds[..1] } else { &fds[..] };
    shim.call(Request::Attach { container: container.id.clone() }, fds).await.map_err(RuntimeError::internal)?;
    let receiver = |fd| nonblocking(fd).and_then(pipe::Receiver::from_owned_fd).map_err(RuntimeError::internal);
    tasks.output(receiver(out_read)?, session.stdout.take());
    tasks.output(receiver(err_read)?, session.stderr.take());
    if container.config.tty {
        let request = Request::Terminal { container: container.id.clone() };
        let (_, mut fds) = shim.call(request, &[]).await.map_err(RuntimeError::internal)?;
        let master = fds.pop().ok_or_else(|| RuntimeError::internal("the container has no terminal"))?;
        let terminal = Terminal::new(master).map_err(RuntimeError::internal)?;
        tasks.terminal(session, terminal, None);
    } else if let Some(stdin) = session.stdin.take().filter(|_| container.config.stdin) {
        let fifo =
            pipe::OpenOptions::new().open_sender(container.run.stream("stdin")).map_err(RuntimeError::internal)?;
        let close = container.config.stdin_once.then_some((shim, container.clone()));
        tasks.side.spawn(async move {
            copy(stdin, fifo).await;
            if let Some((shim, container)) = close {
                container.close_stdin();
                // The container may have ended.
                let _ = shim.tell(Request::CloseStdin { container: container.id.clone() }).await;
            }
        });
    }
    Ok(())
}

/// The tasks that carry bytes; they end when this is dropped.
#[derive(Default)]
struct Pumps {
    outputs: JoinSet<()>,
    side: JoinSet<()>,
}

impl Pumps {
    fn input(&mut self, from: Option<DuplexStream>, to: Option<pipe::Sender>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.side.spawn(copy(from, to));
        }
    }

    fn output(&mut self, from: pipe::Receiver, to: Option<DuplexStream>) {
        match to {
            Some(to) => drop(self.outputs.spawn(copy(from, to))),
            // Not asked for, but the program must not be stopped by a full pipe.
            None => drop(self.side.spawn(copy(from, tokio::io::sink()))),
        }
    }

    fn terminal(&mut self, session: &mut ExecSession, terminal: Terminal, output: Option<Terminal>) {
        if let Some(sizes) = session.resize.take() {
            self.side.spawn(resize(terminal.clone(), sizes));
        }
        if let Some(stdin) = session.stdin.take() {
            self.side.spawn(copy(stdin, terminal));
        }
        match (output, session.stdout.take()) {
            (Some(output), Some(stdout)) => drop(self.outputs.spawn(copy(output, stdout))),
            (Some(output), None) => drop(self.side.spawn(copy(output, tokio::io::sink()))),
            (None, _) => {}
        }
    }

    /// Waits for the outputs to end.
    async fn drain(&mut self, timeout: Option<Duration>) {
        let all = async { while self.outputs.join_next().await.is_some() {} };
        match timeout {
            Some(timeout) => drop(tokio::time::timeout(timeout, all).await),
            None => all.await,
        }
        self.outputs.abort_all();
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    // Either side may be gone, which ends it just the same.
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

async fn resize(terminal: Terminal, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(size) = sizes.recv().await {
        if let Err(error) = terminal.resize(size.width, size.height) {
            tracing::debug!(%error, "cannot resize a terminal");
        }
    }
}

pub async fn port_forward(
    core: &Core,
    request: v1::PortForwardRequest,
    io: impl Connection,
    protocol: Protocol,
) -> std::result::Result<(), StreamError> {
    let Ok(sandbox) = core.sandbox(&request.pod_sandbox_id) else { return Err(StreamError::Closed) };
    let netns = sandbox.files().net;
    let ports: Vec<u16> = request.port.iter().filter_map(|port| u16::try_from(*port).ok()).collect();
    let mut forwards = ::streaming::serve_port_forward(io, protocol, &ports).await?;
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            forward = forwards.next() => match forward {
                Some(Ok(forward)) => drop(tasks.spawn(join_port(netns.clone(), forward))),
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn join_port(netns: Option<std::path::PathBuf>, mut forward: ::streaming::Forward) {
    let port = forward.port;
    let connected = tokio::task::spawn_blocking(move || match netns {
        Some(netns) => linux::netns::run_in(&netns, move || connect(port)).map_err(|error| error.to_string())?,
        None => connect(port),
    });
    let connected = connected.await.map_err(|error| error.to_string()).and_then(|done| done);
    let stream = connected.and_then(|stream| TcpStream::from_std(stream).map_err(|error| error.to_string()));
    match stream {
        Ok(stream) => carry(stream, forward.data).await,
        Err(error) => {
            let message = format!("failed to connect to localhost:{port} inside the pod: {error}");
            let _ = forward.error.write_all(message.as_bytes()).await;
        }
    }
}

/// A client that has said everything still gets its answer; once the port has said everything, the connection is over,
/// because not every protocol can tell it that the client has ended.
async fn carry(port: TcpStream, client: DuplexStream) {
    let (mut from_port, mut to_port) = port.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let answer = async {
        let _ = tokio::io::copy(&mut from_port, &mut to_client).await;
        let _ = to_client.shutdown().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let question = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_port).await;
        let _ = to_port.shutdown().await;
    };
    tokio::pin!(answer, question);
    tokio::select! {
        () = &mut answer => {}
        () = &mut question => answer.await,
    }
}

fn connect(port: u16) -> std::result::Result<std::net::TcpStream, String> {
    let v4 = std::net::TcpStream::connect(("127.0.0.1", port));
    let stream = match v4 {
        Ok(stream) => stream,
        Err(v4) => std::net::TcpStream::connect(("::1", port)).map_err(|v6| format!("IPv4: {v4}, IPv6: {v6}"))?,
    };
    stream.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(stream)
}
