//! Header blocks: length-prefixed names and values, in one zlib stream per direction that starts with SPDY's dictionary.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Headers, malformed};
use crate::StreamError;

/// Of one block when it is decompressed.
const BLOCK_BYTES_MAX: usize = 64 << 10;

/// The words of the dictionary that have a length in front (SPDY protocol draft 3, section 2.6.10.1).
const WORDS: &str = "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|\
    accept-ranges|age|allow|authorization|cache-control|connection|content-base|content-encoding|content-language|\
    content-length|content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|\
    if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|\
    proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|\
    user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|\
    keep-alive|origin";
/// The rest of the dictionary.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
    Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov \
    Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,\
    application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=\
    iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split('|') {
        put_text(&mut bytes, word);
    }
    bytes.extend_from_slice(TAIL.as_bytes());
    bytes
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::default(), true);
        zlib.set_dictionary(&dictionary()).expect("invariant: a new stream takes a dictionary");
        Self(zlib)
    }

    pub(super) fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = u32::try_from(headers.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        for (name, value) in headers {
            put_text(&mut plain, &name.to_ascii_lowercase());
            put_text(&mut plain, value);
        }
        let (mut out, start) = (Vec::new(), self.0.total_in());
        loop {
            out.reserve(plain.len() + 64);
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(plain.len());
            let status = self.0.compress_vec(&plain[done..], &mut out, FlushCompress::Sync);
            // The flush is complete when it leaves space; a further call without progress says BufError.
            if out.len() < out.capacity() || !matches!(status, Ok(Status::Ok)) {
                return out;
            }
        }
    }
}

pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn headers(&mut self, block: &[u8]) -> Result<Headers, StreamError> {
        let plain = self.inflate(block)?;
        parse(&plain).ok_or_else(|| malformed("a header block ends early or is not text"))
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, StreamError> {
        let (mut out, start) = (Vec::with_capacity(1024), self.0.total_in());
        loop {
            let done = usize::try_from(self.0.total_in() - start).unwrap_or(block.len());
            let before = out.len();
            match self.0.decompress_vec(&block[done..], &mut out, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(malformed("the header stream ended")),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0
                        .set_dictionary(&dictionary())
                        .map_err(|_| malformed("another header dictionary is asked for"))?;
                    continue;
                }
                Err(_) => return Err(malformed("a header block cannot be decompressed")),
            }
            let all_in = self.0.total_in() - start == block.len() as u64;
            if out.len() > BLOCK_BYTES_MAX {
                return Err(malformed("a header block is too large"));
            }
            if out.len() < out.capacity() {
                return if all_in { Ok(out) } else { Err(malformed("a header block cannot be decompressed")) };
            }
            if all_in && out.len() == before {
                return Ok(out);
            }
            out.reserve(out.capacity());
        }
    }
}

fn parse(mut plain: &[u8]) -> Option<Headers> {
    fn number(bytes: &mut &[u8]) -> Option<usize> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        usize::try_from(u32::from_be_bytes(*number)).ok()
    }
    fn text(bytes: &mut &[u8]) -> Option<String> {
        let len = number(bytes)?;
        let (text, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    }
    let count = number(&mut plain)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((text(&mut plain)?, text(&mut plain)?));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum that every zlib stream of SPDY/3 names its dictionary by.
    #[test]
    fn the_dictionary_is_the_one_of_the_protocol() {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        assert_eq!((dictionary().len(), (b << 16) | a), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_share_one_stream_and_come_out_as_they_went_in() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        for i in 0..200 {
            let headers = vec![
                ("streamtype".to_owned(), "data".to_owned()),
                ("requestid".to_owned(), i.to_string()),
                ("long".to_owned(), "x".repeat(i * 37)),
            ];
            let block = deflater.block(&headers);
            assert_eq!(inflater.headers(&block).expect("headers"), headers);
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let block = Deflater::new().block(&vec![("a".to_owned(), "x".repeat(10 << 20))]);
        assert!(block.len() < 64 << 10);
        let error = Inflater::new().headers(&block).expect_err("too large");
        assert_eq!(error.to_string(), "the peer broke the protocol: a header block is too large");
    }
}
