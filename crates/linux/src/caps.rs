//! Capabilities: names, sets, and taking them on.

use std::io;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// By number, as in <linux/capability.h>.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set(pub u64);

impl Set {
    pub const EMPTY: Self = Self(0);

    /// By name, with or without CAP_, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        NAMES.iter().position(|known| *known == short).map(|bit| Self(1 << bit))
    }

    /// What the kernel and our own bounds allow: the most that can be given on.
    pub fn available() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        Self(line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or((1 << NAMES.len()) - 1))
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn names(self) -> Vec<String> {
        (0..NAMES.len()).filter(|bit| self.0 >> bit & 1 == 1).map(|bit| format!("CAP_{}", NAMES[bit])).collect()
    }
}

/// The five sets of a process about to exec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sets {
    pub bounding: Set,
    pub permitted: Set,
    pub inheritable: Set,
    pub ambient: Set,
}

/// Narrows the bounding set. Needs CAP_SETPCAP, so it comes before changing the user.
pub fn bound(keep: Set) -> Result<()> {
    for bit in 0..64 {
        // SAFETY: prctl with integer arguments only.
        let known = unsafe { libc::prctl(libc::PR_CAPBSET_READ, bit, 0, 0, 0) };
        if known < 0 {
            break;
        }
        // SAFETY: as above.
        if keep.0 >> bit & 1 == 0 && known == 1 && unsafe { libc::prctl(libc::PR_CAPBSET_DROP, bit, 0, 0, 0) } != 0 {
            return Err(Error::new("drop bounding capability", io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Keeps permitted capabilities over a change of user; `take` then cuts them down.
pub fn keep_over_setuid() -> Result<()> {
    // SAFETY: prctl with integer arguments only.
    let rc = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(Error::new("set keepcaps", io::Error::last_os_error())) }
}

/// Takes on permitted (= effective), inheritable and ambient sets.
pub fn take(sets: &Sets) -> Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let half = |shift: u32| Data {
        effective: (sets.permitted.0 >> shift) as u32,
        permitted: (sets.permitted.0 >> shift) as u32,
        inheritable: (sets.inheritable.0 >> shift) as u32,
    };
    let header = Header { version: 0x2008_0522, pid: 0 };
    let data = [half(0), half(32)];
    // SAFETY: version 3 of the call reads one header and two data structs, which outlive it.
    let rc = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if rc != 0 {
        return Err(Error::new("capset", io::Error::last_os_error()));
    }
    for bit in (0..64).filter(|bit| sets.ambient.0 >> bit & 1 == 1) {
        // SAFETY: prctl with integer arguments only.
        let rc = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, bit, 0, 0) };
        if rc != 0 {
            return Err(Error::new("raise ambient capability", io::Error::last_os_error()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_with_and_without_prefix() {
        assert_eq!(Set::named("CAP_CHOWN"), Some(Set(1)));
        assert_eq!(Set::named("net_bind_service"), Some(Set(1 << 10)));
        assert_eq!(Set::named("NONSENSE"), None);
        assert_eq!(Set(1 << 40 | 1).names(), ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]);
    }
}
