//! The kernel's primitives as plain, safe functions and as data: namespaces, mounts, cgroups, capabilities, seccomp,
//! pidfds, terminals.
//!
//! The only crate with `unsafe`; each block says why it is sound. It knows the kernel and nothing of Kubernetes. Work
//! of more than one step is data first (`mount::MountOp`, `cgroup::Limits`, `seccomp::Profile`), so that a test can
//! print it before the kernel sees it.
#![allow(unsafe_code)] // This is the room for it.

pub mod caps;
pub mod cgroup;
pub mod inherit;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod nft;
pub mod pidfd;
pub mod process;
pub mod pty;
pub mod root;
pub mod rtnl;
pub mod seccomp;

use std::fmt::Display;
use std::io;

/// A failed kernel operation: what was tried, on what, and the kernel's answer.
#[derive(Debug)]
pub struct Error {
    pub op: String,
    pub source: io::Error,
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.op, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Error {
    pub fn new(op: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { op: op.into(), source: source.into() }
    }

    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Names the operation beside the kernel's error.
pub trait During<T> {
    fn during<S: Into<String>>(self, op: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<io::Error>> During<T> for std::result::Result<T, E> {
    fn during<S: Into<String>>(self, op: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::new(op(), error))
    }
}
