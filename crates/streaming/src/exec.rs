//! The server's side of exec and attach.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::link::Link;
use crate::spdy::{Mux, Side};
use crate::status::ExitStatus;
use crate::ws::{self, Flow, Framing};
use crate::{Protocol, StreamError};

/// Upstream's limit for a client to open its streams.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(30);
const RESIZES_MAX: usize = 8;
/// No message on the resize stream is larger.
const RESIZE_BYTES_MAX: usize = 4096;

pub(crate) const STDIN: u8 = 0;
pub(crate) const STDOUT: u8 = 1;
pub(crate) const STDERR: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const RESIZE: u8 = 4;

/// Which streams the request asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecStreams {
    pub stdin: bool,
    pub stdout: bool,
    /// Not with a terminal: it has one output.
    pub stderr: bool,
    pub tty: bool,
}

impl ExecStreams {
    /// The channels that exist, by number, and what flows through them on the server's side.
    pub(crate) fn channels(self) -> Vec<(u8, Flow)> {
        let all = [
            (STDIN, Flow::In, self.stdin),
            (STDOUT, Flow::Out, self.stdout),
            (STDERR, Flow::Out, self.stderr && !self.tty),
            (ERROR, Flow::Out, true),
            (RESIZE, Flow::In, self.tty),
        ];
        all.into_iter().filter(|(.., wanted)| *wanted).map(|(number, flow, _)| (number, flow)).collect()
    }
}

pub(crate) fn channel_name(number: u8) -> &'static str {
    match number {
        STDIN => "stdin",
        STDOUT => "stdout",
        STDERR => "stderr",
        RESIZE => "resize",
        _ => "error",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    pub width: u16,
    pub height: u16,
}

/// A running exec or attach. The streams are there when the request asked for them; take them out to use them.
pub struct ExecSession {
    /// Ends when the client closes it, or is gone.
    pub stdin: Option<DuplexStream>,
    /// Drop (or shut down) it when the command's output has ended.
    pub stdout: Option<DuplexStream>,
    pub stderr: Option<DuplexStream>,
    pub resize: Option<mpsc::Receiver<TerminalSize>>,
    error: DuplexStream,
    error_drained: oneshot::Receiver<()>,
    output_drained: Vec<oneshot::Receiver<()>>,
    /// Whether the error stream takes text instead of a Status.
    plain_errors: bool,
    link: Link,
}

impl ExecSession {
    /// Resolves when the client is gone.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.link.closed()
    }

    /// Tells the client how it ended, after all output: waits until `stdout` and `stderr` have been dropped or shut down
    /// by whoever took them, and what they hold is sent.
    pub async fn finish(mut self, status: ExitStatus) {
        drop((self.stdin.take(), self.stdout.take(), self.stderr.take()));
        for drained in self.output_drained {
            drop(drained.await); // An error means that the client is gone.
        }
        let bytes = if self.plain_errors { status.message().into_bytes() } else { status.to_json() };
        if self.error.write_all(&bytes).await.is_ok() {
            drop(self.error);
            drop(self.error_drained.await);
        }
        self.link.finish().await;
    }
}

/// Starts an exec or attach on an upgraded connection.
pub async fn serve_exec<S>(io: S, protocol: Protocol, streams: ExecStreams) -> Result<ExecSession, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (link, parts) = match protocol {
        Protocol::Spdy => spdy_streams(io, streams).await?,
        Protocol::WebSocketV1 | Protocol::WebSocketV4 => ws_streams(io, streams, Framing::Channels).await,
        Protocol::WebSocketV5 => ws_streams(io, streams, Framing::ClosableChannels).await,
        Protocol::SpdyOverWebSocket => {
            return Err(StreamError::Protocol("SPDY over WebSocket carries port-forward only".into()));
        }
    };
    session(link, parts, protocol == Protocol::WebSocketV1)
}

pub(crate) type Parts = BTreeMap<u8, (DuplexStream, oneshot::Receiver<()>)>;

fn session(mut link: Link, mut parts: Parts, plain_errors: bool) -> Result<ExecSession, StreamError> {
    let (error, error_drained) = parts.remove(&ERROR).ok_or(StreamError::Closed)?;
    let resize = parts.remove(&RESIZE).map(|(io, _)| {
        let (sizes, resize) = mpsc::channel(RESIZES_MAX);
        link.tasks.spawn(read_sizes(io, sizes));
        resize
    });
    let stdin = parts.remove(&STDIN).map(|(io, _)| io);
    let mut output_drained = Vec::new();
    let mut output = |number| {
        let (io, drained) = parts.remove(&number)?;
        output_drained.push(drained);
        Some(io)
    };
    let (stdout, stderr) = (output(STDOUT), output(STDERR));
    Ok(ExecSession { stdin, stdout, stderr, resize, error, error_drained, output_drained, plain_errors, link })
}

async fn ws_streams<S>(io: S, streams: ExecStreams, framing: Framing) -> (Link, Parts)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let channels = streams.channels();
    // Upstream's clients take an empty message for the sign that the connection stands.
    let first = channels.iter().find(|(_, flow)| *flow != Flow::In);
    let hello = first.map(|(number, _)| Message::binary(vec![*number]));
    let (link, ends) = ws::start(io, Role::Server, framing, &channels, hello.into_iter().collect()).await;
    let numbers = channels.iter().map(|(number, _)| *number);
    (link, numbers.zip(ends).map(|(number, end)| (number, (end.io, end.drained))).collect())
}

/// Waits for the client to open all streams that the request asked for.
async fn spdy_streams<S>(io: S, streams: ExecStreams) -> Result<(Link, Parts), StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut mux = Mux::start(io, Side::Server);
    let wanted: Vec<u8> = streams.channels().into_iter().map(|(number, _)| number).collect();
    let mut parts = Parts::new();
    let collect = async {
        while wanted.iter().any(|number| !parts.contains_key(number)) {
            let stream = mux.accept().await.ok_or(StreamError::Closed)?;
            let kind = stream.header("streamtype").unwrap_or_default();
            let number = (STDIN..=RESIZE).find(|number| channel_name(*number) == kind);
            let Some(number) = number.filter(|number| wanted.contains(number)) else {
                return Err(StreamError::Protocol(format!("a stream of type {kind:?} was not asked for")));
            };
            parts.insert(number, (stream.io, stream.drained));
        }
        Ok(())
    };
    tokio::time::timeout(STREAMS_TIMEOUT, collect).await.map_err(|_| StreamError::Timeout)??;
    Ok((mux.link, parts))
}

/// Reads sizes, one JSON object after the other, until the stream ends or is broken.
async fn read_sizes(mut io: DuplexStream, sizes: mpsc::Sender<TerminalSize>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 512];
    while let Ok(len @ 1..) = io.read(&mut chunk).await {
        buffer.extend_from_slice(&chunk[..len]);
        let mut parsed = serde_json::Deserializer::from_slice(&buffer).into_iter::<TerminalSize>();
        let mut found = Vec::new();
        let mut broken = false;
        for size in parsed.by_ref() {
            match size {
                Ok(size) => found.push(size),
                Err(error) => broken = !error.is_eof(),
            }
        }
        let rest = parsed.byte_offset();
        buffer.drain(..rest);
        for size in found {
            if sizes.send(size).await.is_err() {
                return;
            }
        }
        if broken || buffer.len() > RESIZE_BYTES_MAX {
            return;
        }
    }
}
