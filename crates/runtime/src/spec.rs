//! What a container is, as plain data: compiled from CRI's configuration by [`compile`](crate::compile), carried out
//! by the shim without a decision of its own.

use std::path::PathBuf;

use linux::caps::Sets;
use linux::mount::MountOp;
use linux::seccomp::Profile;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub process: Process,
    pub rootfs: Rootfs,
    /// Inside the root file system, in order.
    pub mounts: Vec<MountOp>,
    pub namespaces: Namespaces,
    /// The group's path in every hierarchy.
    pub cgroup: String,
    pub tty: bool,
    pub stdin: bool,
    pub log_path: Option<PathBuf>,
}

/// A program to run and as whom; a container's first one, or one more in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub args: Vec<String>,
    /// KEY=VALUE.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: UserSpec,
    pub caps: Sets,
    pub no_new_privs: bool,
    pub seccomp: Option<Profile>,
    pub rlimits: Vec<Rlimit>,
    /// How soon the kernel kills it when memory runs out; what is executed in the container is no safer.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
}

/// Whom to run as; names are looked up in the image's /etc/passwd and /etc/group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// `USER[:GROUP]`, by name or number; empty is root.
    pub user: String,
    /// Wins over the group of `user` and its entry.
    pub gid: Option<u32>,
    pub groups: Vec<u32>,
    /// Without the groups that /etc/group lists for the user (KEP-3619, Strict).
    pub only_these_groups: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// RLIMIT_* of the kernel.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Uppermost first.
    pub layers: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
    pub readonly: bool,
}

/// Namespaces to join by path; `None` stays in the node's. Mount and cgroup namespaces are always new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub net: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
    pub pid: PidNamespace,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidNamespace {
    #[default]
    Own,
    Pod,
    Host,
    /// That of another container of the pod.
    Container(String),
}
