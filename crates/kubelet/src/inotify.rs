//! Waits for changes of files and directories by inotify: what is watched is never polled.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

const BUFFER_LEN: usize = 4096;

/// A set of watches.
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    #[allow(deprecated)] // An OwnedFd keeps what AsyncFd must trust in: it stays open and the same until it is dropped.
    pub fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Watches a directory for files that come, go or are written.
    pub fn directory(&self, path: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        inotify::add_watch(self.0.get_ref(), path, flags)?;
        Ok(())
    }

    /// Watches what is appended to a file. A file that is watched already keeps its watch.
    pub fn file(&self, path: &Path) -> io::Result<()> {
        inotify::add_watch(self.0.get_ref(), path, WatchFlags::MODIFY)?;
        Ok(())
    }

    /// Returns when something has changed since the last call. What it was is for the caller to look at. Cancel safe.
    pub async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_LEN];
            let mut seen = false;
            let mut reader = inotify::Reader::new(self.0.get_ref(), &mut buffer);
            let end = loop {
                match reader.next() {
                    Ok(_) => seen = true,
                    Err(error) => break error,
                }
            };
            match end {
                rustix::io::Errno::AGAIN => ready.clear_ready(),
                error => return Err(error.into()),
            }
            if seen {
                return Ok(());
            }
        }
    }
}
