//! SPDY/3.1 frames as values: reading them out of a buffer, and writing them.

use bytes::{Buf, Bytes, BytesMut};

use super::headers::{Deflater, Inflater};
use super::{Headers, malformed};
use crate::StreamError;

const VERSION: u16 = 3;
const HEAD_LEN: usize = 8;
const FLAG_FIN: u8 = 1;
/// No frame of a known peer is larger.
const FRAME_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    SynStream {
        id: u32,
        headers: Headers,
        fin: bool,
    },
    SynReply {
        id: u32,
        headers: Headers,
        fin: bool,
    },
    Reset {
        id: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
    },
    Headers {
        id: u32,
        headers: Headers,
        fin: bool,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    Data {
        id: u32,
        data: Bytes,
        fin: bool,
    },
    /// SETTINGS and what else there may be: skipped.
    Other,
}

pub(super) struct Decoder(Inflater);

impl Decoder {
    pub(super) fn new() -> Self {
        Self(Inflater::new())
    }

    /// Takes the next whole frame off `buffer`; nothing when it is not there yet.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, StreamError> {
        let Some((head, _)) = buffer.split_first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let (flags, len) = (head[4], u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize);
        if len > FRAME_BYTES_MAX {
            return Err(malformed(format!("a frame of {len} bytes is too large")));
        }
        if buffer.len() < HEAD_LEN + len {
            buffer.reserve(HEAD_LEN + len - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEAD_LEN);
        let body = buffer.split_to(len).freeze();
        let fin = flags & FLAG_FIN != 0;
        if first & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data { id: first, data: body, fin }));
        }
        let version = (first >> 16) & 0x7fff;
        if version != u32::from(VERSION) {
            return Err(malformed(format!("a frame of SPDY version {version}; this is SPDY/3.1")));
        }
        self.control(first & 0xffff, fin, &body).map(Some)
    }

    fn control(&mut self, kind: u32, fin: bool, body: &[u8]) -> Result<Frame, StreamError> {
        let number = |at: usize| -> Result<u32, StreamError> {
            let bytes = body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or_else(|| malformed(format!("a control frame of type {kind} is cut")))
        };
        let id = |at| number(at).map(|id| id & 0x7fff_ffff);
        Ok(match kind {
            1 => {
                number(6)?;
                Frame::SynStream { id: id(0)?, headers: self.0.headers(&body[10..])?, fin }
            }
            2 => Frame::SynReply { id: id(0)?, headers: self.0.headers(&body[4..])?, fin },
            3 => Frame::Reset { id: id(0)?, status: number(4)? },
            6 => Frame::Ping { id: number(0)? },
            7 => Frame::GoAway { last: id(0)? },
            8 => Frame::Headers { id: id(0)?, headers: self.0.headers(&body[4..])?, fin },
            9 => Frame::WindowUpdate { id: id(0)?, delta: id(4)? },
            _ => Frame::Other,
        })
    }
}

pub(super) struct Encoder(Deflater);

impl Encoder {
    pub(super) fn new() -> Self {
        Self(Deflater::new())
    }

    pub(super) fn encode(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        match frame {
            Frame::SynStream { id, headers, fin } => {
                let block = self.0.block(headers);
                control(out, 1, *fin, &[&id.to_be_bytes(), &[0; 6], &block]);
            }
            Frame::SynReply { id, headers, fin } => {
                let block = self.0.block(headers);
                control(out, 2, *fin, &[&id.to_be_bytes(), &block]);
            }
            Frame::Headers { id, headers, fin } => {
                let block = self.0.block(headers);
                control(out, 8, *fin, &[&id.to_be_bytes(), &block]);
            }
            Frame::Reset { id, status } => control(out, 3, false, &[&id.to_be_bytes(), &status.to_be_bytes()]),
            Frame::Ping { id } => control(out, 6, false, &[&id.to_be_bytes()]),
            Frame::GoAway { last } => control(out, 7, false, &[&last.to_be_bytes(), &[0; 4]]),
            Frame::WindowUpdate { id, delta } => control(out, 9, false, &[&id.to_be_bytes(), &delta.to_be_bytes()]),
            Frame::Data { id, data, fin } => {
                out.extend_from_slice(&id.to_be_bytes());
                put_flags_and_len(out, *fin, data.len());
                out.extend_from_slice(data);
            }
            Frame::Other => {}
        }
    }
}

fn control(out: &mut Vec<u8>, kind: u16, fin: bool, parts: &[&[u8]]) {
    out.extend_from_slice(&(0x8000 | VERSION).to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    put_flags_and_len(out, fin, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_flags_and_len(out: &mut Vec<u8>, fin: bool, len: usize) {
    assert!(len < 1 << 24, "invariant: a frame's length has 24 bits");
    let word = (len as u32) | (u32::from(fin) << 24);
    out.extend_from_slice(&word.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn frames() -> Vec<Frame> {
        let headers = vec![("streamtype".to_owned(), "stdin".to_owned())];
        vec![
            Frame::SynStream { id: 1, headers: headers.clone(), fin: false },
            Frame::SynReply { id: 1, headers: vec![], fin: false },
            Frame::Headers { id: 1, headers, fin: true },
            Frame::Data { id: 1, data: Bytes::from_static(b"hello"), fin: false },
            Frame::Data { id: 1, data: Bytes::new(), fin: true },
            Frame::Reset { id: 1, status: 5 },
            Frame::Ping { id: 7 },
            Frame::WindowUpdate { id: 0, delta: 65_536 },
            Frame::GoAway { last: 1 },
        ]
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_cuts() {
        let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
        frames().iter().for_each(|frame| encoder.encode(frame, &mut bytes));
        for step in [1, 3, 8, 1000] {
            let (mut decoder, mut buffer, mut found) = (Decoder::new(), BytesMut::new(), Vec::new());
            for part in bytes.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(frame) = decoder.next(&mut buffer).expect("frame") {
                    found.push(frame);
                }
            }
            assert_eq!(found, frames());
        }
    }

    fn check(bytes: &[u8], expected: &Expect) {
        let mut buffer = BytesMut::from(bytes);
        let shown = match Decoder::new().next(&mut buffer) {
            Ok(frame) => format!("{frame:?}"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn broken_frames_are_errors() {
        check(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9], &expect!["Some(Ping { id: 9 })"]);
        check(&[0x80, 3, 0, 4, 0, 0, 0, 0], &expect!["Some(Other)"]);
        check(&[0x80, 3, 0], &expect!["None"]);
        check(
            &[0x80, 2, 0, 6, 0, 0, 0, 0],
            &expect!["the peer broke the protocol: a frame of SPDY version 2; this is SPDY/3.1"],
        );
        check(&[0x80, 3, 0, 1, 0, 0, 0, 0], &expect!["the peer broke the protocol: a control frame of type 1 is cut"]);
        check(
            &[0x80, 3, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1],
            &expect!["the peer broke the protocol: a control frame of type 9 is cut"],
        );
        check(
            &[0x80, 3, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4],
            &expect!["the peer broke the protocol: a header block cannot be decompressed"],
        );
        check(
            &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff],
            &expect!["the peer broke the protocol: a frame of 16777215 bytes is too large"],
        );
    }

    #[test]
    fn noise_never_panics() {
        let (mut encoder, mut good) = (Encoder::new(), Vec::new());
        frames().iter().for_each(|frame| encoder.encode(frame, &mut good));
        let mut state = 9u32;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % bytes.len();
                bytes[at] = state as u8;
            }
            let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = decoder.next(&mut buffer) {}
        }
    }
}
