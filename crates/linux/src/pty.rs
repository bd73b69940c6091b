//! Terminals: opening a pair, sizing it, making it the controlling one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pty::OpenptFlags;

use crate::{During, Error, Result};

/// A master and its peer, from the devpts that /dev/ptmx leads to.
pub fn open() -> Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).during(|| "open /dev/ptmx")?;
    rustix::pty::unlockpt(&master).during(|| "unlock pty")?;
    let peer = rustix::pty::ioctl_tiocgptpeer(&master, flags).during(|| "open pty peer")?;
    Ok((master, peer))
}

pub fn resize(master: impl AsFd, columns: u16, rows: u16) -> Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).during(|| "resize terminal")
}

/// Makes the terminal the controlling one of the calling process, which must lead its session.
pub fn control(peer: impl AsFd) -> Result<()> {
    // SAFETY: TIOCSCTTY takes an integer, not a pointer.
    let rc = unsafe { libc::ioctl(peer.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) };
    if rc == 0 { Ok(()) } else { Err(Error::new("set controlling terminal", io::Error::last_os_error())) }
}
