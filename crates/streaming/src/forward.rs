//! The server's side of port-forward: connections to ports, each with a stream for an error message.

use std::collections::{BTreeMap, VecDeque};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::link::Link;
use crate::spdy::{Mux, Side, Stream};
use crate::ws::{self, Flow, Framing};
use crate::{Protocol, StreamError};

/// How many connections may have opened only one of their two streams.
const HALF_OPEN_MAX: usize = 256;
/// How many ports one WebSocket request may name: each takes two channels of 255.
const PORTS_MAX: usize = 100;

/// One connection that the client asks for. Dropping it ends it.
pub struct Forward {
    pub port: u16,
    /// To be joined with the port.
    pub data: DuplexStream,
    /// Takes a message when the port cannot be reached; drop it otherwise when the connection has ended.
    pub error: DuplexStream,
}

/// The connections of one port-forward request.
pub struct PortForwards {
    source: Source,
    /// Below SPDY when it is carried by a WebSocket.
    _tunnel: Option<Link>,
}

enum Source {
    Spdy {
        mux: Mux,
        half_open: BTreeMap<String, Stream>,
    },
    /// `drained` tells, per channel, that it has ended and is sent.
    WebSocket {
        link: Option<Link>,
        forwards: VecDeque<Forward>,
        drained: Vec<oneshot::Receiver<()>>,
    },
}

impl PortForwards {
    /// The next connection; nothing when the client is gone.
    pub async fn next(&mut self) -> Option<Result<Forward, StreamError>> {
        match &mut self.source {
            Source::WebSocket { link, forwards, drained } => {
                if let Some(forward) = forwards.pop_front() {
                    return Some(Ok(forward));
                }
                // Channels have no end of their own here: the connection ends when all of them have.
                while let Some(last) = drained.last_mut() {
                    drop(last.await); // An error means that the client is gone.
                    drained.pop();
                }
                link.take()?.finish().await;
                None
            }
            Source::Spdy { mux, half_open } => loop {
                let stream = mux.accept().await?;
                match pair(half_open, stream) {
                    Ok(None) => {}
                    Ok(Some(forward)) => return Some(Ok(forward)),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }
}

/// The error stream and the data stream of a connection carry the same request ID.
fn pair(half_open: &mut BTreeMap<String, Stream>, stream: Stream) -> Result<Option<Forward>, StreamError> {
    let broken = |what: &str| StreamError::Protocol(format!("a stream {what}"));
    let kind = stream.header("streamtype").unwrap_or_default().to_owned();
    if kind != "data" && kind != "error" {
        return Err(broken(&format!("has the type {kind:?}")));
    }
    let port: u16 = stream
        .header("port")
        .and_then(|port| port.parse().ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| broken("names no port"))?;
    // Old clients send no ID and never more than one connection at a time per port.
    let id = stream.header("requestid").map_or_else(|| format!("port {port}"), str::to_owned);
    let Some(other) = half_open.remove(&id) else {
        if half_open.len() >= HALF_OPEN_MAX {
            return Err(broken("is one too many without its other one"));
        }
        half_open.insert(id, stream);
        return Ok(None);
    };
    if other.header("streamtype") == Some(&kind) {
        return Err(broken("came twice"));
    }
    let (data, error) = if kind == "data" { (stream, other) } else { (other, stream) };
    Ok(Some(Forward { port, data: data.io, error: error.io }))
}

/// Starts a port-forward on an upgraded connection. `ports` are those of the request's query; only the plain WebSocket
/// protocol needs them.
pub async fn serve_port_forward<S>(io: S, protocol: Protocol, ports: &[u16]) -> Result<PortForwards, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match protocol {
        Protocol::Spdy => Ok(over_spdy(io, None)),
        Protocol::SpdyOverWebSocket => {
            let (io, tunnel) = tunnel(io, Role::Server).await?;
            Ok(over_spdy(io, Some(tunnel)))
        }
        Protocol::WebSocketV1 | Protocol::WebSocketV4 | Protocol::WebSocketV5 => over_websocket(io, ports).await,
    }
}

fn over_spdy<S>(io: S, tunnel: Option<Link>) -> PortForwards
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let source = Source::Spdy { mux: Mux::start(io, Side::Server), half_open: BTreeMap::new() };
    PortForwards { source, _tunnel: tunnel }
}

/// A byte stream in the binary messages of a WebSocket.
pub(crate) async fn tunnel<S>(io: S, role: Role) -> Result<(DuplexStream, Link), StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (link, mut ends) = ws::start(io, role, Framing::Raw, &[(0, Flow::Both)], Vec::new()).await;
    ends.pop().map(|end| (end.io, link)).ok_or(StreamError::Closed)
}

/// Two channels per port, data and error, each starting with a message of the port in two bytes, little endian.
async fn over_websocket<S>(io: S, ports: &[u16]) -> Result<PortForwards, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if ports.is_empty() || ports.len() > PORTS_MAX {
        return Err(StreamError::Protocol(format!("1 to {PORTS_MAX} ports can be forwarded, not {}", ports.len())));
    }
    let channels = port_channels(ports.len());
    let hello = channels.iter().zip(ports.iter().flat_map(|port| [port, port])).map(|((number, _), port)| {
        let [low, high] = port.to_le_bytes();
        Message::binary(vec![*number, low, high])
    });
    let (link, ends) = ws::start(io, Role::Server, Framing::Channels, &channels, hello.collect()).await;
    let mut ends = ends.into_iter();
    let (mut forwards, mut drained) = (VecDeque::new(), Vec::new());
    for port in ports {
        let (Some(data), Some(error)) = (ends.next(), ends.next()) else { break };
        drained.extend([data.drained, error.drained]);
        forwards.push_back(Forward { port: *port, data: data.io, error: error.io });
    }
    Ok(PortForwards { source: Source::WebSocket { link: Some(link), forwards, drained }, _tunnel: None })
}

pub(crate) fn port_channels(ports: usize) -> Vec<(u8, Flow)> {
    let last = u8::try_from(ports * 2).unwrap_or(u8::MAX - 1);
    (0..last).map(|number| (number, if number % 2 == 0 { Flow::Both } else { Flow::Out })).collect()
}
