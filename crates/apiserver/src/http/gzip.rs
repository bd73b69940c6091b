//! Compression of long answers, for clients that take it; upstream's APIResponseCompression. Watches never come here.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};

use crate::verbs::{AnswerBody, AnswerStream};

/// Answers up to this size are sent as they are.
const PLAIN_LEN_MAX: usize = 128 << 10;
/// The quickest: the network is seldom slower than that.
const LEVEL: u32 = 1;

/// Whether the client names gzip; a weight makes it another word, as upstream reads it.
pub fn accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().next().and_then(|value| value.to_str().ok());
    values.is_some_and(|values| values.split(',').any(|value| value.trim() == "gzip"))
}

pub fn mark(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// The body, compressed if it is long, and whether it is.
pub async fn long(body: AnswerBody) -> (AnswerBody, bool) {
    let mut stream = match body {
        AnswerBody::Whole(bytes) if bytes.len() <= PLAIN_LEN_MAX => return (AnswerBody::Whole(bytes), false),
        AnswerBody::Whole(bytes) => return (AnswerBody::Whole(whole(&bytes)), true),
        AnswerBody::Stream(stream) => stream,
    };
    let mut begun = Vec::new();
    let mut len = 0;
    while len <= PLAIN_LEN_MAX {
        let Some(piece) = stream.next().await else {
            return (AnswerBody::Stream(Box::pin(futures::stream::iter(begun))), false);
        };
        len += piece.len();
        begun.push(piece);
    }
    let all: AnswerStream = Box::pin(futures::stream::iter(begun).chain(stream));
    (AnswerBody::Stream(compressed(all)), true)
}

pub fn whole(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(LEVEL));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("invariant: memory takes any bytes").into()
}

/// Whether something of this size is worth it.
pub fn is_long(len: usize) -> bool {
    len > PLAIN_LEN_MAX
}

fn compressed(stream: AnswerStream) -> AnswerStream {
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::new(LEVEL)));
    let pieces = futures::stream::unfold((stream, encoder), |(mut stream, encoder)| async move {
        let mut encoder = encoder?;
        loop {
            let Some(piece) = stream.next().await else {
                let rest = encoder.finish().expect("invariant: memory takes any bytes");
                return Some((Bytes::from(rest), (stream, None)));
            };
            encoder.write_all(&piece).expect("invariant: memory takes any bytes");
            let ready = std::mem::take(encoder.get_mut());
            if !ready.is_empty() {
                return Some((Bytes::from(ready), (stream, Some(encoder))));
            }
        }
    });
    Box::pin(pieces)
}
