//! SPDY/3.1: frames, header compression, and a connection that carries many streams.

mod frame;
mod headers;
mod mux;

pub(crate) use mux::{Mux, Side, Stream};

use crate::StreamError;

/// The names and values of a stream; names are lowercase on the wire.
pub(crate) type Headers = Vec<(String, String)>;

pub(crate) fn malformed(what: impl Into<String>) -> StreamError {
    StreamError::Protocol(what.into())
}
