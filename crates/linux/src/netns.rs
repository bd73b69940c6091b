//! Network namespaces kept at a path, and running code inside one.

use std::path::Path;

use crate::namespace::{self, Kinds};
use crate::{During, Error, Result};

/// Makes a new network namespace, kept alive at `path` until `delete`. Its loopback is still down.
pub fn create(path: &Path) -> Result<()> {
    let path = path.to_owned();
    on_thread(move || {
        namespace::unshare(Kinds::NET)?;
        namespace::pin("net", &path)
    })?
}

/// Lets go of the namespace at `path`; the kernel ends it with its last process. A missing path is fine.
pub fn delete(path: &Path) -> Result<()> {
    namespace::unpin(path)
}

/// Runs `work` in the namespace at `path`, on a thread of its own, and waits for it.
pub fn run_in<T: Send + 'static>(path: &Path, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let path = path.to_owned();
    on_thread(move || {
        namespace::join_path(&path, Kinds::NET)?;
        Ok(work())
    })?
}

fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    std::thread::Builder::new()
        .name("netns".into())
        .spawn(work)
        .during(|| "spawn netns thread")?
        .join()
        .map_err(|_| Error::new("netns thread", std::io::Error::other("panicked")))
}

/// Sets the calling thread's loopback up.
pub fn loopback_up() -> Result<()> {
    use std::os::fd::AsRawFd;
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
        .during(|| "open socket")?;
    // SAFETY: ifreq is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which `request` is and outlives the call.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if rc == 0 { Ok(()) } else { Err(Error::new("set lo up", std::io::Error::last_os_error())) }
}
