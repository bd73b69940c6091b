//! A container's output: read from its FIFO or terminal, cut into lines for the log, copied to attached clients.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use stdx::Clock;

use super::log::{LINE_MAX, Log};

/// Clients attached to one container at a time.
pub const ATTACHED_MAX: usize = 16;
/// Reads of one stream before the others get their turn.
const READS_MAX: u32 = 16;

pub fn now() -> jiff::Timestamp {
    stdx::SystemClock.now()
}

pub fn now_nanos() -> i64 {
    i64::try_from(now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// One of a container's output streams.
#[derive(Debug)]
pub struct Stream {
    pub name: &'static str,
    pub fd: OwnedFd,
    line: Vec<u8>,
    /// Write ends of attached clients' pipes. A client that lets its pipe fill up is let go.
    pub attached: Vec<OwnedFd>,
}

impl Stream {
    pub fn new(name: &'static str, fd: OwnedFd) -> rustix::io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Self { name, fd, line: Vec::new(), attached: Vec::new() })
    }

    /// Takes what is there. `false` once every writer is gone.
    pub fn pump(&mut self, log: &mut Option<Log>, buffer: &mut [u8]) -> bool {
        self.pump_some(log, buffer, READS_MAX)
    }

    /// Takes all that is left of a container that has ended.
    pub fn finish(mut self, log: &mut Option<Log>, buffer: &mut [u8]) {
        self.pump_some(log, buffer, u32::MAX);
        if !self.line.is_empty()
            && let Some(log) = log
        {
            // What ends without a newline is still all that will ever come.
            log.write(self.name, &self.line, true);
        }
    }

    fn pump_some(&mut self, log: &mut Option<Log>, buffer: &mut [u8], reads_max: u32) -> bool {
        for _ in 0..reads_max {
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(0) => return false,
                Ok(n) => {
                    let bytes = &buffer[..n];
                    self.attached.retain(|client| rustix::io::write(client, bytes) == Ok(n));
                    if let Some(log) = log {
                        cut(&mut self.line, bytes, |text, whole| log.write(self.name, text, whole));
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                // A terminal says EIO when its last user is gone.
                Err(_) => return false,
            }
        }
        true
    }
}

/// Cuts `bytes` into lines, keeping an unfinished one in `rest`.
fn cut(rest: &mut Vec<u8>, bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, whole) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        rest.extend_from_slice(text);
        while rest.len() > LINE_MAX {
            emit(&rest[..LINE_MAX], false);
            rest.drain(..LINE_MAX);
        }
        if whole {
            emit(rest, true);
            rest.clear();
        }
    }
}

/// Makes a FIFO if it is missing.
pub fn make_fifo(path: &Path) -> rustix::io::Result<()> {
    let made = rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0);
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Our reading end of an output FIFO.
pub fn open_reader(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// A client's pipe must never block the container; it holds up to 1 MiB for a slow one.
pub fn prepare_client(pipe: impl AsFd) {
    if let Ok(flags) = rustix::fs::fcntl_getfl(&pipe) {
        let _ = rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK);
    }
    let _ = rustix::pipe::fcntl_setpipe_size(&pipe, 1 << 20);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_whole_and_partial_lines() {
        let mut rest = Vec::new();
        let mut seen = Vec::new();
        let mut emit = |text: &[u8], whole: bool| seen.push((text.len(), whole));
        cut(&mut rest, b"one\ntwo", &mut emit);
        cut(&mut rest, b" three\n\n", &mut emit);
        cut(&mut rest, &[b'x'; LINE_MAX + 5], &mut emit);
        cut(&mut rest, b"\n", &mut emit);
        assert_eq!(seen, [(3, true), (9, true), (0, true), (LINE_MAX, false), (5, true)]);
    }
}
