//! The cluster seen from below the API: its processes, namespaces, mounts and groups as the kernel tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::Cluster;

/// What marks the program of a counting container.
pub const MARK: &str = "chaos-counter";
/// Records of sandboxes that the node is about to forget.
const RECORDS_MORE: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Fabric,
    Init,
    Server,
    Agent,
    Shim,
    /// The first process of a container.
    Container,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Fabric, Self::Init, Self::Server, Self::Agent, Self::Shim, Self::Container];

    pub fn word(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Init => "init",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Shim => "shim",
            Self::Container => "container",
        }
    }
}

/// A process of the cluster. With its start time, its number is its own for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub kind: Kind,
    pub node: String,
    pub pid: u32,
    pub start_ticks: u64,
    /// A shim's sandbox, a container's pod UID; empty else.
    pub of: String,
    /// A container's id.
    pub container: String,
}

impl Process {
    pub fn kill(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        // It may have ended by itself since it was found.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// What a counter wrote last: who it is, how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub identity: String,
    pub number: u64,
}

/// All processes of the cluster, ordered by kind, node and number.
pub fn processes(cluster: &Cluster) -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("readable").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<Process> = pids.filter_map(|pid| process(&cluster.name, pid)).collect();
    found.sort();
    found
}

fn process(profile: &str, pid: u32) -> Option<Process> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let args: Vec<String> =
        line.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let start_ticks = start_ticks(pid)?;
    if args.iter().any(|arg| arg.contains(MARK)) {
        return container(profile, pid, start_ticks);
    }
    let verb = args.get(1)?;
    let kind = *Kind::ALL.iter().find(|kind| kind.word() == verb)?;
    let option = |name: &str| args.iter().skip_while(|arg| *arg != name).nth(1).cloned();
    if option("--profile").as_deref() != Some(profile) {
        return None;
    }
    let (node, of) = (option("--node").unwrap_or_default(), option("--sandbox").unwrap_or_default());
    Some(Process { kind, node, pid, start_ticks, of, container: String::new() })
}

/// `/ironclad/<profile>/nodes/<node>/kubepods/.../pod<uid>/<container>`
fn container(profile: &str, pid: u32, start_ticks: u64) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    if numbers.split_whitespace().last() != Some("1") {
        return None;
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let prefix = format!("/ironclad/{profile}/nodes/");
    let path =
        groups.lines().find_map(|line| Some(line.split_once(&prefix)?.1).filter(|path| path.contains("/pod")))?;
    let mut parts = path.rsplit('/');
    let container = parts.next()?.to_owned();
    let of = parts.next()?.strip_prefix("pod")?.to_owned();
    let node = path.split('/').next()?.to_owned();
    Some(Process { kind: Kind::Container, node, pid, start_ticks, of, container })
}

fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    // A zombie is nobody any more.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

pub fn node_dir(cluster: &Cluster, node: &str) -> PathBuf {
    cluster.home.join("profiles").join(&cluster.name).join("nodes").join(node)
}

/// What a counter has come to. It rewrites its file in place, so an empty one is read again.
pub fn count(cluster: &Cluster, container: &Process) -> Option<Count> {
    let pod = node_dir(cluster, &container.node).join("lib/kubelet/pods").join(&container.of);
    let path = pod.join("volumes/kubernetes.io~empty-dir/data/now");
    for _ in 0..50 {
        let text = fs::read_to_string(&path).ok()?;
        if let Some((identity, number)) = text.trim().split_once(' ')
            && let Ok(number) = number.parse()
        {
            return Some(Count { identity: identity.to_owned(), number });
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    None
}

/// Resident KiB and open descriptors.
pub fn size(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    (kib, fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default())
}

/// What a node holds for pods that are not there: pods by UID, sandboxes by id. Empty when nothing has leaked.
pub fn leaks(cluster: &Cluster, init: &Process, pods: &BTreeSet<String>, sandboxes: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let root = PathBuf::from(format!("/proc/{}/root", init.pid));
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let left = names(&root.join("run/ironclad/runtime/netns")).into_iter().filter(|id| !sandboxes.contains(id));
    found.extend(left.map(|id| format!("netns {id}")));
    // The record of a pod's last sandbox stays beside the one that it has now; more of them would pile up.
    let records = names(&node_dir(cluster, &init.node).join("lib/runtime/sandboxes")).len();
    if records > 2 * sandboxes.len() + RECORDS_MORE {
        found.push(format!("{records} records for {} sandboxes", sandboxes.len()));
    }
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", init.pid)).unwrap_or_default();
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
        let of_sandbox = path.strip_prefix("/run/ironclad/runtime/").and_then(|rest| rest.split('/').nth(1));
        let of_pod = path.strip_prefix("/var/lib/ironclad/kubelet/pods/").and_then(|rest| rest.split('/').next());
        if of_sandbox.is_some_and(|id| !sandboxes.contains(id)) || of_pod.is_some_and(|uid| !pods.contains(uid)) {
            found.push(format!("mount {path}"));
        }
    }
    let links = fs::read_to_string(format!("/proc/{}/net/dev", init.pid)).unwrap_or_default();
    let veths = links.lines().filter(|line| line.trim_start().starts_with("veth")).count();
    if veths != sandboxes.len() {
        found.push(format!("{veths} veths for {} sandboxes", sandboxes.len()));
    }
    let below = format!("ironclad/{}/nodes/{}", cluster.name, init.node);
    for group in hierarchies().iter().flat_map(|mount| groups(&mount.join(&below))) {
        let name = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.strip_prefix("pod").is_some_and(|uid| !pods.contains(uid)) {
            found.push(group.display().to_string());
        }
    }
    let kept = names(&node_dir(cluster, &init.node).join("lib/kubelet/pods"));
    found.extend(kept.into_iter().filter(|uid| !pods.contains(uid)).map(|uid| format!("kubelet/pods/{uid}")));
    found
}

fn hierarchies() -> BTreeSet<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_groups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    of_groups.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn groups(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
            found.extend(groups(&entry.path()));
        }
    }
    found
}

/// The network namespaces that the cluster's processes live in, to look for after the cluster is gone.
pub fn net_namespaces(cluster: &Cluster) -> BTreeSet<PathBuf> {
    let own = fs::read_link("/proc/self/ns/net").expect("readable");
    let links = processes(cluster).into_iter().map(|process| format!("/proc/{}/ns/net", process.pid));
    links.filter_map(|link| fs::read_link(link).ok()).filter(|ns| *ns != own).collect()
}

/// What a deleted cluster has left on the machine.
pub fn remains(cluster: &Cluster, namespaces: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut found: Vec<String> = processes(cluster).iter().map(|process| format!("{process:?}")).collect();
    for entry in fs::read_dir("/proc").expect("readable").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        // One that has ended waits for its parent, who may be anybody once the fabric is gone.
        let Some(_alive) = pid.parse().ok().and_then(start_ticks) else { continue };
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if groups.contains(&format!("/ironclad/{}/", cluster.name)) {
            found.push(format!("process {pid} in its groups"));
        }
        if fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| namespaces.contains(&ns)) {
            found.push(format!("process {pid} in its network"));
        }
    }
    let home = cluster.home.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    found.extend(mounts.lines().filter(|line| line.contains(&home)).map(|line| format!("mount {line}")));
    let groups = hierarchies().into_iter().map(|mount| mount.join("ironclad").join(&cluster.name));
    found.extend(groups.filter(|group| group.exists()).map(|group| group.display().to_string()));
    let profiles = cluster.home.join("profiles");
    found.extend(profiles.exists().then(|| profiles.display().to_string()));
    let kubeconfig = fs::read_to_string(cluster.kubeconfig()).unwrap_or_default();
    found.extend(kubeconfig.contains(&cluster.name).then(|| "its kubeconfig context".to_owned()));
    found
}

/// Longest pause, in seconds, and lines lost, by a container's start identity, from all that its pod logged.
pub fn logged(cluster: &Cluster, container: &Process) -> BTreeMap<String, (f64, u64)> {
    let dir = node_dir(cluster, &container.node).join("log/pods");
    let of_pod = fs::read_dir(dir).into_iter().flatten().flatten();
    let of_pod = of_pod.filter(|entry| entry.file_name().to_string_lossy().ends_with(&container.of));
    let files = of_pod.flat_map(|entry| fs::read_dir(entry.path().join("count")).into_iter().flatten().flatten());
    let mut seen: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for file in files {
        for line in fs::read_to_string(file.path()).unwrap_or_default().lines() {
            // CRI: time, stream, tag; then what the program wrote.
            let mut words = line.split(' ').skip(3);
            let (Some(identity), Some(number), Some(uptime)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if let (Ok(number), Ok(uptime)) = (number.parse(), uptime.parse()) {
                seen.entry(identity.to_owned()).or_default().push((number, uptime));
            }
        }
    }
    let told = seen.into_iter().map(|(identity, mut lines)| {
        lines.sort_by_key(|(number, _)| *number);
        let pause = lines.windows(2).map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0).max(1) as f64);
        let lost = lines.windows(2).map(|pair| (pair[1].0 - pair[0].0).saturating_sub(1)).sum();
        (identity, (pause.fold(0.0, f64::max), lost))
    });
    told.collect()
}
