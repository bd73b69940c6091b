//! One watch: a streamed body cut into events.

use std::collections::VecDeque;

use api::{Object, Revision, Status};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::transport::Body;

/// The longest event that is read, in bytes: far above the largest object that a server takes.
const EVENT_LEN_MAX: usize = 64 << 20;

#[derive(Clone, Debug)]
pub enum WatchEvent {
    Added(Object),
    Modified(Object),
    Deleted(Object),
    /// Nothing else happened up to this revision.
    Bookmark(Revision),
}

/// The events of one watch, in order. It ends when the server ends it.
pub struct WatchStream {
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    ready: VecDeque<Result<WatchEvent>>,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl WatchStream {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), scanned: 0, ready: VecDeque::new() }
    }

    /// The next event; `None` when the server ended the watch. After an error the watch is over. An error told by the
    /// server (410 Expired) is [`Error::Api`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<WatchEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.buffer.len() > EVENT_LEN_MAX {
                return Some(Err(Error::Decode(format!("a watch event is longer than {EVENT_LEN_MAX} bytes"))));
            }
            match self.body.frame().await? {
                Err(error) => return Some(Err(error.into())),
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                        self.cut();
                    }
                }
            }
        }
    }

    /// An event that has already arrived.
    pub fn next_ready(&mut self) -> Option<Result<WatchEvent>> {
        self.ready.pop_front()
    }

    fn cut(&mut self) {
        while let Some(end) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + end);
            self.buffer.advance(1);
            self.scanned = 0;
            if !line.trim_ascii().is_empty() {
                self.ready.push_back(decode(&line));
            }
        }
        self.scanned = self.buffer.len();
    }
}

fn decode(line: &[u8]) -> Result<WatchEvent> {
    let wire: WireEvent<'_> = serde_json::from_slice(line)?;
    // A copy of its own: a slice would keep the whole chunk of events in memory.
    let json = Bytes::copy_from_slice(wire.object.get().as_bytes());
    match wire.kind {
        "ADDED" => Ok(WatchEvent::Added(Object::decode(json, &[])?)),
        "MODIFIED" => Ok(WatchEvent::Modified(Object::decode(json, &[])?)),
        "DELETED" => Ok(WatchEvent::Deleted(Object::decode(json, &[])?)),
        "BOOKMARK" => Ok(WatchEvent::Bookmark(Object::decode(json, &[])?.revision())),
        "ERROR" => {
            let status: Status = serde_json::from_slice(&json)?;
            Err(status.into())
        }
        other => Err(Error::Decode(format!("unknown watch event type {other:?}"))),
    }
}
