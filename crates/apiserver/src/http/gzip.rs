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

fn whole(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(LEVEL));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("invariant: memory takes any bytes").into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    async fn sent(body: AnswerBody) -> (Vec<u8>, bool) {
        let (body, is_compressed) = long(body).await;
        let bytes = match body {
            AnswerBody::Whole(bytes) => bytes.to_vec(),
            AnswerBody::Stream(stream) => stream.collect::<Vec<_>>().await.concat(),
        };
        if !is_compressed {
            return (bytes, false);
        }
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        assert!(bytes.len() < plain.len() / 10);
        (plain, true)
    }

    #[tokio::test]
    async fn only_long_answers_are_compressed_and_read_the_same() {
        let stream = |pieces: usize| -> AnswerBody {
            let pieces = (0..pieces).map(|n| Bytes::from(format!("{n:064}").repeat(256)));
            AnswerBody::Stream(Box::pin(futures::stream::iter(pieces)))
        };
        for (body, len, expected) in [
            (AnswerBody::Whole(vec![b'x'; PLAIN_LEN_MAX].into()), PLAIN_LEN_MAX, false),
            (AnswerBody::Whole(vec![b'x'; PLAIN_LEN_MAX + 1].into()), PLAIN_LEN_MAX + 1, true),
            (stream(8), 8 << 14, false),
            (stream(40), 40 << 14, true),
        ] {
            let (plain, is_compressed) = sent(body).await;
            assert_eq!((plain.len(), is_compressed), (len, expected));
        }
    }

    #[test]
    fn gzip_is_taken_by_its_bare_name() {
        for (value, expected) in [("gzip", true), ("deflate, gzip", true), ("gzip;q=0", false), ("identity", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepted(&headers), expected, "{value}");
        }
    }
}
