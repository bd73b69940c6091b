//! One SPDY connection: a reading task, a writing task, and a pump per stream.
//!
//! Peers known today (spdystream in kubectl and client-go) neither send nor heed WINDOW_UPDATE, so sending is not held back
//! by windows (that would stall after 64 KiB); reading announces what it took for peers that do heed it. Bounds come from
//! the pipes: a stream that is not read stops its connection from being read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::frame::{Decoder, Encoder, Frame};
use super::{Headers, malformed};
use crate::StreamError;
use crate::link::{CHUNK_BYTES_MAX, Link, OUTGOING_MAX, STREAM_BYTES_MAX, pump};

const STREAMS_MAX: usize = 1024;
/// How many frames that answer the peer's wait to be written; a peer that asks on and does not read is cut off.
const CONTROL_MAX: usize = 4096;
/// How many opened streams wait to be taken.
const ACCEPTED_MAX: usize = 256;
const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// A stream's user end.
pub(crate) struct Stream {
    headers: Headers,
    pub(crate) io: DuplexStream,
    /// Tells when everything written to `io` is on its way.
    pub(crate) drained: oneshot::Receiver<()>,
}

impl Stream {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

struct Entry {
    /// Absent when the peer has ended the stream, or its user does not read.
    incoming: Option<WriteHalf<DuplexStream>>,
    pump: AbortHandle,
}

#[derive(Default)]
struct Streams {
    entries: HashMap<u32, Entry>,
    pumps: JoinSet<()>,
}

struct Shared {
    streams: Mutex<Streams>,
    outgoing: mpsc::Sender<Frame>,
    /// What the reading task answers. It never waits for the writing one: with both sides doing so, both could wait for
    /// ever.
    control: Mutex<VecDeque<Frame>>,
    control_waits: Notify,
    next_id: AtomicU32,
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, VecDeque<Frame>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an answer, ahead of all data.
    fn answer(&self, frame: Frame) -> Result<(), StreamError> {
        let mut control = self.control();
        if let Frame::WindowUpdate { id, delta } = frame
            && let Some(Frame::WindowUpdate { delta: waiting, .. }) = control
                .iter_mut()
                .find(|waiting| matches!(waiting, Frame::WindowUpdate { id: other, .. } if *other == id))
        {
            *waiting = waiting.saturating_add(delta).min(0x7fff_ffff);
            return Ok(());
        }
        if control.len() >= CONTROL_MAX {
            return Err(malformed("too many frames wait for their answer"));
        }
        control.push_back(frame);
        self.control_waits.notify_one();
        Ok(())
    }

    /// Nothing when there are too many streams.
    fn add(&self, id: u32, headers: Headers, peer_ended: bool) -> Option<Stream> {
        let mut streams = self.streams();
        while streams.pumps.try_join_next().is_some() {}
        streams.entries.retain(|_, entry| entry.incoming.is_some() || !entry.pump.is_finished());
        if streams.entries.len() >= STREAMS_MAX {
            return None;
        }
        let (ours, io) = tokio::io::duplex(STREAM_BYTES_MAX);
        let (read, write) = tokio::io::split(ours);
        let (drained, is_drained) = oneshot::channel();
        let wrap = move |data| Frame::Data { id, data, fin: false };
        let last = Frame::Data { id, data: Bytes::new(), fin: true };
        let pump = streams.pumps.spawn(pump(read, self.outgoing.clone(), wrap, Some(last), drained));
        streams.entries.insert(id, Entry { incoming: (!peer_ended).then_some(write), pump });
        Some(Stream { headers, io, drained: is_drained })
    }

    fn take_incoming(&self, id: u32) -> Option<WriteHalf<DuplexStream>> {
        self.streams().entries.get_mut(&id)?.incoming.take()
    }

    fn put_incoming(&self, id: u32, half: WriteHalf<DuplexStream>) {
        if let Some(entry) = self.streams().entries.get_mut(&id) {
            entry.incoming = Some(half);
        }
    }

    /// Ends all streams: their users read what is there, then the end.
    fn close(&self) {
        let mut streams = self.streams();
        streams.entries.clear();
        streams.pumps.abort_all();
    }

    fn reset(&self, id: u32) {
        if let Some(entry) = self.streams().entries.remove(&id) {
            entry.pump.abort();
        }
    }
}

pub(crate) struct Mux {
    shared: Arc<Shared>,
    accepted: mpsc::Receiver<Stream>,
    pub(crate) link: Link,
}

impl Mux {
    pub(crate) fn start<S>(io: S, side: Side) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (read_half, write_half) = tokio::io::split(io);
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        let first = if side == Side::Server { 2 } else { 1 };
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            outgoing,
            control: Mutex::default(),
            control_waits: Notify::new(),
            next_id: AtomicU32::new(first),
        });
        let (accepting, accepted) = mpsc::channel(ACCEPTED_MAX);
        let (end, ended) = oneshot::channel();
        let (closing, closed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let reader = Reader { shared: shared.clone(), accepting, side, last_id: 0 };
        tasks.spawn(async move {
            // What went wrong cannot be told to anybody: all streams just end.
            let shared = reader.shared.clone();
            drop(reader.run(read_half).await);
            shared.close();
            closing.send_replace(true);
        });
        tasks.spawn(write(write_half, shared.clone(), queue, ended, closed.clone()));
        Self { shared, accepted, link: Link { tasks, closed, end: Some(end) } }
    }

    /// The next stream that the peer opens.
    pub(crate) async fn accept(&mut self) -> Option<Stream> {
        self.accepted.recv().await
    }

    /// Opens a stream; does not wait for the reply.
    pub(crate) async fn open(&self, headers: &[(&str, &str)]) -> Result<Stream, StreamError> {
        let headers: Headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let id = self.shared.next_id.fetch_add(2, Ordering::Relaxed);
        let frame = Frame::SynStream { id, headers: headers.clone(), fin: false };
        // The place in the queue is taken first, so that no data of the stream can come before.
        let place = self.shared.outgoing.reserve().await.map_err(|_| StreamError::Closed)?;
        place.send(frame);
        self.shared.add(id, headers, false).ok_or_else(|| malformed("too many streams"))
    }
}

struct Reader {
    shared: Arc<Shared>,
    accepting: mpsc::Sender<Stream>,
    side: Side,
    last_id: u32,
}

impl Reader {
    async fn run<S: AsyncRead>(mut self, mut io: ReadHalf<S>) -> Result<(), StreamError> {
        let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::new());
        loop {
            while let Some(frame) = decoder.next(&mut buffer)? {
                if !self.frame(frame).await? {
                    return Ok(());
                }
            }
            buffer.reserve(CHUNK_BYTES_MAX);
            if io.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the connection goes on.
    async fn frame(&mut self, frame: Frame) -> Result<bool, StreamError> {
        match frame {
            Frame::SynStream { id, headers, fin } => self.opened(id, headers, fin)?,
            Frame::Data { id, data, fin } => self.data(id, &data, fin).await?,
            Frame::SynReply { id, fin, .. } | Frame::Headers { id, fin, .. } => {
                if fin {
                    self.data(id, &[], true).await?;
                }
            }
            Frame::Reset { id, .. } => self.shared.reset(id),
            Frame::Ping { id } => {
                // Our own would have the other parity; we send none.
                let theirs = if self.side == Side::Server { 1 } else { 0 };
                if id % 2 == theirs {
                    self.shared.answer(Frame::Ping { id })?;
                }
            }
            Frame::GoAway { .. } => {
                // No new streams come; those that are open go on.
            }
            Frame::WindowUpdate { .. } | Frame::Other => {}
        }
        Ok(true)
    }

    fn opened(&mut self, id: u32, headers: Headers, fin: bool) -> Result<(), StreamError> {
        let theirs = if self.side == Side::Server { 1 } else { 0 };
        if id % 2 != theirs || id <= self.last_id {
            return self.shared.answer(Frame::Reset { id, status: PROTOCOL_ERROR });
        }
        self.last_id = id;
        let Ok(place) = self.accepting.clone().try_reserve_owned() else {
            return self.shared.answer(Frame::Reset { id, status: REFUSED_STREAM });
        };
        self.shared.answer(Frame::SynReply { id, headers: Vec::new(), fin: false })?;
        match self.shared.add(id, headers, fin) {
            Some(stream) => drop(place.send(stream)),
            None => self.shared.answer(Frame::Reset { id, status: REFUSED_STREAM })?,
        }
        Ok(())
    }

    async fn data(&self, id: u32, data: &[u8], fin: bool) -> Result<(), StreamError> {
        if let Some(mut half) = self.shared.take_incoming(id) {
            let taken = half.write_all(data).await.is_ok();
            if fin {
                drop(half.shutdown().await);
            } else if taken {
                self.shared.put_incoming(id, half);
            }
        }
        let Ok(delta) = u32::try_from(data.len()) else { return Ok(()) };
        if delta > 0 {
            if !fin {
                self.shared.answer(Frame::WindowUpdate { id, delta })?;
            }
            self.shared.answer(Frame::WindowUpdate { id: 0, delta })?;
        }
        Ok(())
    }
}

async fn write<S: AsyncWrite>(
    mut io: WriteHalf<S>,
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Frame>,
    mut ended: oneshot::Receiver<()>,
    mut closed: watch::Receiver<bool>,
) {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    let mut last = false;
    while !last {
        let first = tokio::select! {
            biased;
            () = shared.control_waits.notified() => Frame::Other,
            frame = queue.recv() => frame.unwrap_or(Frame::GoAway { last: 0 }),
            _ = &mut ended => Frame::GoAway { last: 0 },
            _ = closed.wait_for(|closed| *closed) => Frame::GoAway { last: 0 },
        };
        last = matches!(first, Frame::GoAway { .. });
        let mut next = Some(first);
        while let Some(frame) = next {
            // Looked at again before each frame: a stream's reply goes out before its data.
            for frame in shared.control().drain(..) {
                encoder.encode(&frame, &mut bytes);
            }
            encoder.encode(&frame, &mut bytes);
            next = if bytes.len() < CHUNK_BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        let written = async {
            io.write_all(&bytes).await?;
            io.flush().await
        };
        if written.await.is_err() {
            break;
        }
        bytes.clear();
    }
    drop(io.shutdown().await); // The peer may be gone.
}
