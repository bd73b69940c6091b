//! Replies as bytes that fit. Pure.

use hickory_proto::op::{Message, ResponseCode};

/// The largest reply over UDP for a client that does not tell.
const UDP_BYTES_MIN: usize = 512;
pub(crate) const TCP_BYTES_MAX: usize = u16::MAX as usize;
const HEADER_LEN: usize = 12;

/// How large a datagram the client takes.
pub(crate) fn udp_bytes_max(query: &Message) -> usize {
    query.edns.as_ref().map_or(UDP_BYTES_MIN, |edns| usize::from(edns.max_payload()).max(UDP_BYTES_MIN))
}

/// Encodes a reply. What does not fit is left out: first the additional records, then answers, with the mark that tells
/// the client to ask over TCP.
pub(crate) fn encode(mut reply: Message, bytes_max: usize) -> Option<Vec<u8>> {
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    reply.additionals.clear();
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    reply.metadata.truncation = true;
    let answers = std::mem::take(&mut reply.answers);
    let encoded = |count: usize| {
        let mut part = reply.clone();
        part.answers = answers[..count].to_vec();
        part.to_vec().ok().filter(|bytes| bytes.len() <= bytes_max)
    };
    let (mut fits, mut too_many) = (0, answers.len());
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        if encoded(middle).is_some() { fits = middle } else { too_many = middle }
    }
    encoded(fits)
}

/// The answer to bytes that are no query: none when there is not even a header, or when they are an answer.
pub(crate) fn format_error(query: &[u8]) -> Option<Vec<u8>> {
    let mut header = query.get(..HEADER_LEN)?.to_vec();
    if header[2] & 0x80 != 0 {
        return None;
    }
    // Response, with the query's opcode and RD.
    header[2] = 0x80 | (header[2] & 0x79);
    header[3] = u8::try_from(u16::from(ResponseCode::FormErr)).unwrap_or(1);
    header[4..].fill(0);
    Some(header)
}
