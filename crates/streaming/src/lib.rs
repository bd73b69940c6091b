//! The wire protocols behind `kubectl exec`, `attach`, `cp` and `port-forward`, over any upgraded connection.
//!
//! ```text
//! request head -> negotiate() -> 101 response -> upgraded bytes -> serve_exec() or serve_port_forward()
//!   WebSocket: one channel byte per message (v5, v4 and channel.k8s.io)         ws.rs
//!   SPDY/3.1:  one stream per stdin, stdout, stderr, error, resize              spdy/
//!   SPDY/3.1 frames inside WebSocket messages (KEP-4006, port-forward only)     both
//! ```
//! It knows streams and exit codes, and nothing of pods or containers. Every stream is one end of an in-memory pipe of at
//! most [`STREAM_BYTES_MAX`] bytes; when one is full its connection is not read on, which is the flow control that the
//! known peers have (they ignore SPDY's windows; ours are announced for those that do not).

pub mod client;
mod exec;
mod forward;
mod link;
mod negotiate;
mod spdy;
mod status;
mod ws;

pub use exec::{ExecSession, ExecStreams, TerminalSize, serve_exec};
pub use forward::{Forward, PortForwards, serve_port_forward};
pub use link::STREAM_BYTES_MAX;
pub use negotiate::{Accepted, Purpose, Refusal, negotiate};
pub use status::ExitStatus;

/// How the streams of one request are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `channel.k8s.io`, or no subprotocol: the error channel carries plain text.
    WebSocketV1,
    /// `v4.channel.k8s.io`: the error channel carries a Status.
    WebSocketV4,
    /// `v5.channel.k8s.io`: a channel can be closed on its own.
    WebSocketV5,
    /// SPDY/3.1 with `X-Stream-Protocol-Version: v4.channel.k8s.io` or `portforward.k8s.io`.
    Spdy,
    /// `SPDY/3.1+portforward.k8s.io`: SPDY frames in WebSocket messages.
    SpdyOverWebSocket,
}

#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    #[error("the peer closed the connection")]
    Closed,
    #[error("the peer did not open its streams in time")]
    Timeout,
}
