//! One running connection: its tasks, and the pipes between them and the user of a stream.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, DuplexStream, ReadHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How many bytes wait in one stream in each direction.
pub const STREAM_BYTES_MAX: usize = 256 << 10;
/// How many bytes go into one frame.
pub(crate) const CHUNK_BYTES_MAX: usize = 32 << 10;
/// How many frames of a connection wait to be written.
pub(crate) const OUTGOING_MAX: usize = 16;
/// How long an ended connection waits for the peer to close it as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks of a connection; they stop when this is dropped.
pub(crate) struct Link {
    pub(crate) tasks: JoinSet<()>,
    /// True when the peer is gone.
    pub(crate) closed: watch::Receiver<bool>,
    /// Tells the writing task to close the connection when it has written everything.
    pub(crate) end: Option<oneshot::Sender<()>>,
}

impl Link {
    /// Resolves when the peer is gone.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut closed = self.closed.clone();
        async move {
            // An error means that the reading task is gone, which says the same.
            drop(closed.wait_for(|closed| *closed).await);
        }
    }

    /// Closes in order: what was handed over is written, and the peer gets the time to read it.
    pub(crate) async fn finish(mut self) {
        if let Some(end) = self.end.take() {
            // The writing task may have failed already, which `closed` tells.
            end.send(()).ok();
        }
        drop(tokio::time::timeout(CLOSE_TIMEOUT, self.closed()).await);
    }
}

/// Hands what is read from a pipe over as frames, then `last`. `drained` tells that all of it is in the queue.
pub(crate) async fn pump<F>(
    mut from: ReadHalf<DuplexStream>,
    to: mpsc::Sender<F>,
    wrap: impl Fn(Bytes) -> F,
    last: Option<F>,
    drained: oneshot::Sender<()>,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK_BYTES_MAX);
        let mut space = (&mut buffer).limit(CHUNK_BYTES_MAX);
        tokio::select! {
            biased;
            () = to.closed() => return,
            read = from.read_buf(&mut space) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => if to.send(wrap(buffer.split().freeze())).await.is_err() {
                    return;
                },
            },
        }
    }
    if let Some(last) = last
        && to.send(last).await.is_err()
    {
        return;
    }
    drained.send(()).ok(); // Nobody may be interested.
}
