//! Reads a file of the engine, or a backup, frame by frame from any source of bytes, and never more than a frame ahead.

use std::io::{self, Read};

use super::codec::{FRAME_HEADER_LEN, Frame, HEADER_LEN, Header, frame_at, frame_len};

/// So much is asked of the source at once.
const CHUNK_LEN: usize = 1 << 20;

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("at offset {at}: {what}")]
    Broken { at: u64, what: String },
}

impl ReadError {
    pub(crate) fn broken(at: u64, what: impl Into<String>) -> Self {
        Self::Broken { at, what: what.into() }
    }
}

pub(crate) struct Frames<R> {
    source: R,
    header: Header,
    /// Read, but not taken: from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Where `start` is in the file.
    at: u64,
    ended: bool,
}

impl<R: Read> Frames<R> {
    pub(crate) fn open(source: R) -> Result<Self, ReadError> {
        let mut buffer = Vec::new();
        let mut source = source;
        (&mut source).take(HEADER_LEN as u64).read_to_end(&mut buffer)?;
        let header = Header::decode(&buffer).map_err(|what| ReadError::broken(0, what))?;
        Ok(Self { source, header, buffer, start: HEADER_LEN, at: HEADER_LEN as u64, ended: false })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// Where the next frame starts.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame. After an error [`Self::rest`] tells what stands there.
    pub(crate) fn frame(&mut self) -> Result<Frame<'_>, ReadError> {
        self.fill(FRAME_HEADER_LEN)?;
        let len = self.unread().get(..FRAME_HEADER_LEN).and_then(frame_len).unwrap_or_default();
        self.fill(len)?;
        let (at, start) = (self.at, self.start);
        let frame = frame_at(&self.buffer[start..], at, self.header.salt);
        let frame = frame.map_err(|what| ReadError::broken(at, what))?;
        self.start += frame.bytes.len();
        self.at += frame.bytes.len() as u64;
        Ok(frame)
    }

    /// Everything from the next frame's start to the end of the file.
    pub(crate) fn rest(mut self) -> io::Result<Vec<u8>> {
        self.buffer.drain(..self.start);
        self.source.read_to_end(&mut self.buffer)?;
        Ok(self.buffer)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Has at least `len` bytes at hand unless the file ends before.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        while self.unread().len() < len && !self.ended {
            self.buffer.drain(..self.start);
            self.start = 0;
            let wanted = (len - self.buffer.len()).max(CHUNK_LEN);
            let read = (&mut self.source).take(wanted as u64).read_to_end(&mut self.buffer)?;
            self.ended = read < wanted;
        }
        Ok(())
    }
}
