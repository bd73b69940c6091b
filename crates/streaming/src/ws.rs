//! Streams as channels of a WebSocket: each binary message starts with the number of its channel.
//!
//! In v5 the message `[255, n]` closes channel n. The raw framing has one stream and no numbers: it carries SPDY.
//! Messages for channels that nobody has are skipped, as upstream does.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::link::{Link, OUTGOING_MAX, STREAM_BYTES_MAX, pump};

const CLOSE_CHANNEL: u8 = 255;
const MESSAGE_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Channels that can only be written to their end by closing the connection.
    Channels,
    /// Channels whose ends are announced (v5).
    ClosableChannels,
    /// One stream, whose end closes the connection.
    Raw,
}

/// What may go through a channel, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    In,
    Out,
    Both,
}

/// The user's end of a channel.
pub(crate) struct Channel {
    pub(crate) io: DuplexStream,
    /// Tells when everything written to `io` is on its way.
    pub(crate) drained: oneshot::Receiver<()>,
}

/// Starts carrying `channels` over an upgraded connection. The raw framing has one, of any number. `hello` are messages
/// that go out before any other.
pub(crate) async fn start<S>(
    io: S,
    role: Role,
    framing: Framing,
    channels: &[(u8, Flow)],
    hello: Vec<Message>,
) -> (Link, Vec<Channel>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0);
    let (sink, stream) = WebSocketStream::from_raw_socket(io, role, Some(config)).await.split();
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let (end, ended) = oneshot::channel();
    let (closing, closed) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let (mut incoming, mut ends) = (BTreeMap::new(), Vec::new());
    for (number, flow) in channels {
        let (ours, theirs) = tokio::io::duplex(STREAM_BYTES_MAX);
        let (read, write) = tokio::io::split(ours);
        let (drained, is_drained) = oneshot::channel();
        if *flow != Flow::Out {
            incoming.insert(*number, write);
        }
        let last = match (framing, flow) {
            (Framing::Raw, _) => Some(normal_close()),
            (Framing::ClosableChannels, Flow::Both | Flow::Out) if role == Role::Client => {
                Some(Message::binary(vec![CLOSE_CHANNEL, *number]))
            }
            _ => None,
        };
        if *flow != Flow::In {
            let number = (framing != Framing::Raw).then_some(*number);
            let wrap = move |bytes| Message::Binary(prefixed(number, bytes));
            tasks.spawn(pump(read, outgoing.clone(), wrap, last, drained));
        }
        ends.push(Channel { io: theirs, drained: is_drained });
    }
    tasks.spawn(read(stream, framing, incoming, closing));
    tasks.spawn(write(sink, hello, queue, ended, closed.clone()));
    (Link { tasks, closed, end: Some(end) }, ends)
}

/// kubectl takes any other code, and none, for a failure.
fn normal_close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

fn prefixed(number: Option<u8>, bytes: Bytes) -> Bytes {
    let Some(number) = number else { return bytes };
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(number);
    message.put_slice(&bytes);
    message.freeze()
}

async fn read<S>(
    mut stream: SplitStream<WebSocketStream<S>>,
    framing: Framing,
    mut incoming: BTreeMap<u8, WriteHalf<DuplexStream>>,
    closing: watch::Sender<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = stream.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let (number, payload) = match (framing, bytes.first()) {
            (Framing::Raw, _) => (incoming.keys().next().copied(), &bytes[..]),
            (_, Some(number)) => (Some(*number), &bytes[1..]),
            (_, None) => continue,
        };
        match number {
            Some(CLOSE_CHANNEL) if framing == Framing::ClosableChannels => {
                if let Some(mut half) = payload.first().and_then(|number| incoming.remove(number)) {
                    drop(half.shutdown().await);
                }
            }
            Some(number) => {
                if let Some(half) = incoming.get_mut(&number)
                    && half.write_all(payload).await.is_err()
                {
                    incoming.remove(&number); // The user does not read it any more.
                }
            }
            None => {}
        }
    }
    for half in incoming.values_mut() {
        drop(half.shutdown().await);
    }
    closing.send_replace(true);
}

async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    hello: Vec<Message>,
    mut queue: mpsc::Receiver<Message>,
    mut ended: oneshot::Receiver<()>,
    mut closed: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for message in hello {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    loop {
        let message = tokio::select! {
            biased;
            // When all streams have ended the connection still stands until it is told otherwise.
            Some(message) = queue.recv() => Some(message),
            _ = &mut ended => None,
            _ = closed.wait_for(|closed| *closed) => None,
        };
        let last = matches!(message, None | Some(Message::Close(_)));
        if sink.send(message.unwrap_or_else(normal_close)).await.is_err() || last {
            return;
        }
    }
}
