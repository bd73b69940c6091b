//! Answers that clients keep: with an ETag, and 304 where the client has it already.

use http::header::{ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response};
use ring::digest::{SHA512, digest};

use crate::http::body::{self, Body};
use crate::http::respond;

/// SHA-512 in upper-case hexadecimal, as upstream's.
pub fn hash(content: &[u8]) -> String {
    digest(&SHA512, content).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Whether the client has this already.
pub fn is_known(headers: &HeaderMap, hash: &str) -> bool {
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == hash || tag.trim() == "*")
    })
}

pub fn answer(headers: &HeaderMap, content: bytes::Bytes, content_type: &'static str, hash: &str) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let mut response = if is_known(headers, hash) {
        respond::with(304, content_type, body::empty())
    } else {
        respond::with(200, content_type, body::whole(content))
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}
