//! What a fabric leaves behind for the next one: which inits run. A killed fabric takes nothing down with it; the next
//! one finds the inits here and takes the shared descriptors back from them.

use std::os::fd::{OwnedFd, RawFd};

use rustix::process::PidfdGetfdFlags;
use serde::{Deserialize, Serialize};

use crate::driver::control::Phase;
use crate::layout::ProfileDirs;
use crate::profile::write_atomically;
use crate::trouble::Result;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub name: String,
    pub pid: u32,
    /// Tells the process from a later one with the same number.
    pub start_ticks: u64,
    pub phase: Phase,
    pub restarts: u32,
}

/// An init that still runs.
#[derive(Debug)]
pub struct Alive {
    pub known: Known,
    pub pidfd: OwnedFd,
}

impl Alive {
    /// A duplicate of one of its descriptors.
    pub fn descriptor(&self, number: RawFd) -> Option<OwnedFd> {
        rustix::process::pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty()).ok()
    }
}

pub fn save(dirs: &ProfileDirs, known: &[Known]) -> Result<()> {
    let bytes = serde_json::to_vec(known).unwrap_or_default();
    write_atomically(&dirs.fabric_state(), &bytes, 0o600)
}

/// The inits of an earlier fabric that are still alive. An unreadable file means none: the control groups tell then.
pub fn alive(dirs: &ProfileDirs) -> Vec<Alive> {
    let bytes = std::fs::read(dirs.fabric_state()).unwrap_or_default();
    let known: Vec<Known> = serde_json::from_slice(&bytes).unwrap_or_default();
    let open = |known: Known| {
        let pidfd = linux::pidfd::open(known.pid).ok()?;
        // Asked after the pidfd was opened, so that both speak of the same process.
        let same = linux::process::start_ticks(known.pid) == Some(known.start_ticks);
        (same && !linux::pidfd::has_ended(&pidfd)).then_some(Alive { known, pidfd })
    };
    known.into_iter().filter_map(open).collect()
}
