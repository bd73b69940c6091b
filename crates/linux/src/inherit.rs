//! Descriptors that a process was started with, under agreed numbers.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes ownership of the inherited descriptor `number`; works once for each number. Descriptors 0 to 2 belong to the
/// standard streams.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: F_GETFD only asks whether the descriptor is open.
    let open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    if number <= 2 || taken.contains(&number) || !open {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} was not inherited")));
    }
    taken.push(number);
    // SAFETY: the descriptor is open, agreed to be inherited under this number, and handed out only here and once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
