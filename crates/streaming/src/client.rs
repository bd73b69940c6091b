//! The client's side, for tests and for our own command line: it starts where the 101 response has been read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::exec::{ERROR, ExecStreams, RESIZE, STDERR, STDIN, STDOUT, TerminalSize, channel_name};
use crate::forward::tunnel;
use crate::link::Link;
use crate::spdy::{Mux, Side};
use crate::status::ExitStatus;
use crate::ws::{self, Flow, Framing};
use crate::{Protocol, StreamError};

const RESIZES_MAX: usize = 8;
/// No Status is larger.
const STATUS_BYTES_MAX: u64 = 64 << 10;

/// A command that runs at the other side.
pub struct ClientSession {
    /// Drop or shut down to send its end (which `v4.channel.k8s.io` over WebSocket cannot tell).
    pub stdin: Option<DuplexStream>,
    pub stdout: Option<DuplexStream>,
    pub stderr: Option<DuplexStream>,
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    error: DuplexStream,
    link: Link,
}

impl ClientSession {
    /// How the command ended. Read the output first, or at the same time.
    pub async fn wait(self) -> Result<ExitStatus, StreamError> {
        let mut status = Vec::new();
        let mut error = self.error.take(STATUS_BYTES_MAX);
        error.read_to_end(&mut status).await?;
        drop(self.link);
        Ok(ExitStatus::from_bytes(&status))
    }
}

pub async fn exec<S>(io: S, protocol: Protocol, streams: ExecStreams) -> Result<ClientSession, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let channels = streams.channels();
    let mut ios = BTreeMap::new();
    let mut link = match protocol {
        Protocol::Spdy => {
            let mux = Mux::start(io, Side::Client);
            for (number, _) in channels {
                let stream = mux.open(&[("streamType", channel_name(number))]).await?;
                ios.insert(number, stream.io);
            }
            mux.link
        }
        Protocol::WebSocketV1 | Protocol::WebSocketV4 | Protocol::WebSocketV5 => {
            let framing = if protocol == Protocol::WebSocketV5 { Framing::ClosableChannels } else { Framing::Channels };
            let turned = |(number, flow)| (number, if flow == Flow::In { Flow::Out } else { Flow::In });
            let turned: Vec<_> = channels.into_iter().map(turned).collect();
            let (link, ends) = ws::start(io, Role::Client, framing, &turned, Vec::new()).await;
            ios.extend(turned.iter().map(|(number, _)| *number).zip(ends.into_iter().map(|end| end.io)));
            link
        }
        Protocol::SpdyOverWebSocket => {
            return Err(StreamError::Protocol("SPDY over WebSocket carries port-forward only".into()));
        }
    };
    let resize = ios.remove(&RESIZE).map(|io| {
        let (resize, sizes) = mpsc::channel(RESIZES_MAX);
        link.tasks.spawn(write_sizes(io, sizes));
        resize
    });
    let error = ios.remove(&ERROR).ok_or(StreamError::Closed)?;
    let (stdin, stdout, stderr) = (ios.remove(&STDIN), ios.remove(&STDOUT), ios.remove(&STDERR));
    Ok(ClientSession { stdin, stdout, stderr, resize, error, link })
}

async fn write_sizes(mut io: DuplexStream, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(size) = sizes.recv().await {
        let line = format!("{{\"Width\":{},\"Height\":{}}}\n", size.width, size.height);
        if io.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A port-forward over SPDY, bare or in a WebSocket.
pub struct PortForward {
    mux: Mux,
    next_request: AtomicU64,
    _tunnel: Option<Link>,
}

/// A connection to a port at the other side.
pub struct Connection {
    pub data: DuplexStream,
    /// Carries a message when the port could not be reached, and ends.
    pub error: DuplexStream,
}

pub async fn port_forward<S>(io: S, protocol: Protocol) -> Result<PortForward, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mux, tunnel) = match protocol {
        Protocol::Spdy => (Mux::start(io, Side::Client), None),
        Protocol::SpdyOverWebSocket => {
            let (io, link) = tunnel(io, Role::Client).await?;
            (Mux::start(io, Side::Client), Some(link))
        }
        Protocol::WebSocketV1 | Protocol::WebSocketV4 | Protocol::WebSocketV5 => {
            return Err(StreamError::Protocol("this client forwards ports over SPDY only".into()));
        }
    };
    Ok(PortForward { mux, next_request: AtomicU64::new(0), _tunnel: tunnel })
}

impl PortForward {
    pub async fn connect(&self, port: u16) -> Result<Connection, StreamError> {
        let (port, request) = (port.to_string(), self.next_request.fetch_add(1, Ordering::Relaxed).to_string());
        let headers = |kind| [("streamType", kind), ("port", port.as_str()), ("requestID", request.as_str())];
        let mut error = self.mux.open(&headers("error")).await?.io;
        error.shutdown().await?; // Only the server writes to it.
        let data = self.mux.open(&headers("data")).await?.io;
        Ok(Connection { data, error })
    }
}
