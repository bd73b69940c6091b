//! Connections from the host's loopback into the cluster, made in a node's network namespace: the host needs no route.
//!
//! One thread accepts, and each connection has two that copy; a socket stays in the namespace in which it was made.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use linux::namespace::{self, Kinds};

const CONNECTIONS_MAX: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening port of the host's loopback and where its connections lead.
#[derive(Debug)]
pub struct Forward {
    listener: TcpListener,
    net: Arc<File>,
    to: SocketAddr,
}

/// The network namespace of a process.
pub fn net_of(pid: u32) -> io::Result<File> {
    File::open(format!("/proc/{pid}/ns/net"))
}

/// Connects from within a network namespace.
pub fn connect(net: Arc<File>, to: SocketAddr) -> io::Result<TcpStream> {
    // A thread of its own, because only threads are moved between namespaces.
    let made = std::thread::spawn(move || {
        namespace::join(&*net, Kinds::NET).map_err(|error| error.source)?;
        TcpStream::connect_timeout(&to, CONNECT_TIMEOUT)
    });
    made.join().unwrap_or_else(|_| Err(io::Error::other("the connecting thread died")))
}

impl Forward {
    pub fn bind(port: u16, net: Arc<File>, to: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, net, to })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts for ever.
    pub fn run(&self) -> io::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        loop {
            let (from, _) = self.listener.accept()?;
            if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                continue; // Dropping it closes it.
            }
            open.fetch_add(1, Ordering::Relaxed);
            let (net, to, open) = (self.net.clone(), self.to, open.clone());
            std::thread::spawn(move || {
                match connect(net, to) {
                    Ok(inside) => splice(from, inside),
                    Err(error) => eprintln!("cannot connect to {to}: {}", crate::trouble::plain(&error)),
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// Copies both ways until both are done.
fn splice(a: TcpStream, b: TcpStream) {
    let (Ok(a2), Ok(b2)) = (a.try_clone(), b.try_clone()) else { return };
    let back = std::thread::spawn(move || copy(b2, a2));
    copy(a, b);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
