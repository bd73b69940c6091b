//! Messages with descriptors over a Unix SEQPACKET socket: one packet is one message, so nothing needs framing and a
//! death in the middle of a write leaves no half message behind.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The largest message. An exec's command line is the only part that could be large.
pub const MESSAGE_MAX: usize = 128 * 1024;
/// Descriptors in one message: stdin, stdout, stderr and a terminal.
const FDS_MAX: usize = 4;

/// A listening socket at `path`, replacing a dead one's file.
pub fn listen(path: &Path) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = open()?;
    let (_dir, address) = address(path)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

pub fn connect(path: &Path) -> std::io::Result<OwnedFd> {
    let socket = open()?;
    let (_dir, address) = address(path)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// A socket's address holds 107 bytes, a path may be longer: go by its directory's descriptor, which must stay open.
fn address(path: &Path) -> std::io::Result<(OwnedFd, SocketAddrUnix)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path.parent().unwrap_or(Path::new("/")), flags, Mode::empty())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?;
    Ok((dir, address))
}

fn open() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

pub fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> rustix::io::Result<()> {
    if message.len() > MESSAGE_MAX {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = flags | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, flags).map(drop)
}

/// One message into `buffer`; `None` at the end of the connection.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> rustix::io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((got.bytes > 0).then_some((got.bytes, fds)))
}
