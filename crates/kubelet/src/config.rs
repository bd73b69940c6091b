//! What a kubelet is told when it starts, and the seams to what it must not know: cgroups, mounts, the machine.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;

/// The version that nodes report.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// InternalIPs, the primary one first.
    pub node_ips: Vec<String>,
    /// `/var/lib/ironclad/kubelet`.
    pub root: PathBuf,
    /// `/var/log/pods`.
    pub logs: PathBuf,
    /// Where static pods' manifests are; none when there are no static pods.
    pub manifests: Option<PathBuf>,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// The node's own resolver configuration, for dnsPolicy Default.
    pub resolv_conf: PathBuf,
    pub max_pods: u32,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<core::Taint>,
    /// The port of the kubelet's server, as told in the node's status.
    pub port: u16,
    /// The cgroup under which the QoS classes' cgroups are: `/kubepods`.
    pub cgroup_root: String,
    /// Use RuntimeDefault where a pod asks for no seccomp profile (upstream's SeccompDefault).
    pub seccomp_default: bool,
    /// Images that nothing uses go when the disk is fuller than this (upstream's imageGCHighThresholdPercent); 100 keeps
    /// them.
    pub image_gc_high_percent: u64,
    /// The node has DiskPressure while less of the disk than this is free (upstream's evictionHard nodefs.available).
    pub disk_available_min_percent: u64,
}

impl Config {
    pub fn new(node_name: &str, node_ip: &str) -> Self {
        Self {
            node_name: node_name.to_owned(),
            node_ips: vec![node_ip.to_owned()],
            root: "/var/lib/ironclad/kubelet".into(),
            logs: "/var/log/pods".into(),
            manifests: None,
            cluster_dns: vec!["10.96.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            max_pods: 110,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            port: 10250,
            cgroup_root: "/kubepods".to_owned(),
            seccomp_default: false,
            image_gc_high_percent: 85,
            disk_available_min_percent: 10,
        }
    }

    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    pub fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.logs.join(format!("{namespace}_{name}_{uid}"))
    }
}

/// What the kubelet works with.
#[derive(Clone)]
pub struct Deps {
    pub runtime: Arc<dyn cri::Runtime>,
    pub transport: Arc<dyn client::Transport>,
    pub clock: Arc<dyn stdx::Clock>,
    pub rng: stdx::Rng,
    pub cgroups: Arc<dyn Cgroups>,
    pub mounts: Arc<dyn Mounts>,
    pub machine: Arc<dyn Machine>,
}

/// The limits of a pod's (or QoS class's) cgroup. Zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupLimits {
    pub cpu_shares: u64,
    /// Microseconds in each 100 ms.
    pub cpu_quota_micros: i64,
    pub memory_bytes: i64,
    pub pids_max: i64,
}

/// Cgroups by path below the hierarchy's root (`/kubepods/burstable/podUID`). Best effort where a controller is missing.
pub trait Cgroups: Send + Sync {
    fn ensure(&self, path: &str, limits: &CgroupLimits) -> io::Result<()>;
    /// Removes the cgroup and what is below it; it must have no processes. Removing what is not there is fine.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// The names of the cgroups right below `path`.
    fn children(&self, path: &str) -> io::Result<Vec<String>>;
}

/// Mounts that volumes need.
pub trait Mounts: Send + Sync {
    fn tmpfs(&self, target: &Path, size_bytes: Option<u64>) -> io::Result<()>;
    /// Bind-mounts what the open file `source` is onto `target`.
    fn bind(&self, source: std::os::fd::BorrowedFd<'_>, target: &Path, read_only: bool) -> io::Result<()>;
    /// Unmounts everything mounted at or below `below`.
    fn unmount_all(&self, below: &Path) -> io::Result<()>;
}

/// What does not change while a machine runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub hostname: String,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
    pub architecture: String,
    pub cpus: u64,
    pub memory_bytes: u64,
    pub swap_bytes: u64,
}

/// What is measured again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    pub memory_available_bytes: u64,
    pub disk_capacity_bytes: u64,
    pub disk_available_bytes: u64,
    pub disk_inodes: u64,
    pub disk_inodes_free: u64,
    pub pids: u64,
    pub pids_max: u64,
    pub cpu_usage_nanos: u64,
}

/// The machine that the node is.
pub trait Machine: Send + Sync {
    fn facts(&self) -> io::Result<Facts>;
    /// Measured now; `root` says which file system holds the kubelet's state.
    fn gauges(&self, root: &Path) -> io::Result<Gauges>;
}
