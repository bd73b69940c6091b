//! A profile: one cluster as the user asked for it, kept in `profile.json` and guarded by a lock.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, ProfileDirs};
use crate::trouble::{Result, Trouble};

pub const DEFAULT_NAME: &str = "ironclad";
/// The fabric's /24 has no more addresses, and its bridge fewer ports than a kernel's bridge can have.
pub const NODES_MAX: usize = 250;
/// Each write waits for most of them, so more do not make a cluster safer but slower.
pub const CONTROL_PLANES_MAX: usize = 7;
const NAME_LEN_MAX: usize = 40;
const FORMAT: u32 = 1;

/// How nodes reach the world outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// Through one veth to the host, masqueraded.
    Nat,
    /// Not at all.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Server,
    Agent,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
        }
    }
}

/// What the control planes keep their objects in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datastore {
    /// The one control plane's own.
    #[default]
    Embedded,
    /// An etcd member on each control plane.
    Etcd,
    /// An etcd cluster of the user's: its URLs.
    External(Vec<String>),
}

impl Datastore {
    /// `embedded`, `etcd`, or URLs with commas between them.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "embedded" => return Ok(Self::Embedded),
            "etcd" => return Ok(Self::Etcd),
            _ => {}
        }
        let urls: Vec<String> = text.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        let is_url = |url: &String| {
            let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', ' ']))
        };
        match urls.iter().find(|url| !is_url(url)) {
            None => Ok(Self::External(urls)),
            Some(wrong) => Err(Trouble::new(
                format!("\"{wrong}\" is no datastore"),
                "Say --datastore embedded, --datastore etcd, or the URLs of an etcd cluster, such as \
                 --datastore https://10.0.0.1:2379,https://10.0.0.2:2379.",
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub name: String,
    /// 1 for the first node; decides addresses.
    pub index: u8,
    pub role: Role,
}

impl NodeSpec {
    pub fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 49, self.index.saturating_add(1))
    }
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Of this file.
    pub format: u32,
    pub name: String,
    /// On the host's loopback.
    pub api_port: u16,
    pub egress: Egress,
    /// Which of the host's /30 nets for uplinks this profile has.
    pub uplink: u8,
    /// How many of the nodes, from the first, are control planes.
    #[serde(default = "one")]
    pub control_planes: usize,
    #[serde(default)]
    pub datastore: Datastore,
    /// How long the store keeps history, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_history_secs: Option<u64>,
    pub nodes: Vec<NodeSpec>,
}

fn one() -> usize {
    1
}

impl Profile {
    pub fn new(name: &str, api_port: u16, egress: Egress, uplink: u8, nodes: usize) -> Self {
        let mut profile = Self {
            format: FORMAT,
            name: name.to_owned(),
            api_port,
            egress,
            uplink,
            control_planes: 1,
            datastore: Datastore::Embedded,
            store_history_secs: None,
            nodes: Vec::new(),
        };
        for _ in 0..nodes.clamp(1, NODES_MAX) {
            profile.add_node();
        }
        profile
    }

    /// Makes the first nodes control planes over a datastore; there are as many nodes at least.
    #[must_use]
    pub fn controlled_by(mut self, control_planes: usize, datastore: Datastore) -> Self {
        (self.control_planes, self.datastore) = (control_planes, datastore);
        while self.nodes.len() < control_planes && self.add_node().is_some() {}
        for node in self.nodes.iter_mut().take(control_planes) {
            node.role = Role::Server;
        }
        self
    }

    /// The next node, named as minikube names its: the first as the profile, then `-m02`, `-m03`.
    pub fn add_node(&mut self) -> Option<&NodeSpec> {
        let index = (1..=NODES_MAX).find(|i| self.nodes.iter().all(|node| usize::from(node.index) != *i))?;
        let name = if index == 1 { self.name.clone() } else { format!("{}-m{index:02}", self.name) };
        let role = if index <= self.control_planes { Role::Server } else { Role::Agent };
        self.nodes.push(NodeSpec { name, index: u8::try_from(index).ok()?, role });
        self.nodes.last()
    }

    pub fn node(&self, name: &str) -> Result<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            Trouble::new(
                format!("profile \"{}\" has no node \"{name}\"", self.name),
                format!("Its nodes are: {}.", names.join(", ")),
            )
        })
    }

    pub fn server(&self) -> Result<&NodeSpec> {
        self.nodes.iter().find(|node| node.role == Role::Server).ok_or_else(|| corrupt(&self.name, "it has no server"))
    }

    /// The control planes' nodes.
    pub fn servers(&self) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(|node| node.role == Role::Server)
    }

    /// Where the API servers listen for the host: one socket, which all of them accept from.
    pub fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// `None` when there is no such profile.
    pub fn load(dirs: &ProfileDirs) -> Result<Option<Self>> {
        let path = dirs.config();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Trouble::file("read", &path, &error)),
        };
        let profile: Self = serde_json::from_slice(&bytes)
            .map_err(|error| corrupt(&dirs.name, &format!("{}: {error}", path.display())))?;
        if profile.format != FORMAT || profile.name != dirs.name {
            return Err(corrupt(&dirs.name, &format!("{}: not of this profile or version", path.display())));
        }
        profile.server()?;
        Ok(Some(profile))
    }

    pub fn load_existing(dirs: &ProfileDirs) -> Result<Self> {
        check_name(&dirs.name)?;
        let missing = || {
            Trouble::new(
                format!("there is no cluster \"{}\"", dirs.name),
                format!("Type `ironclad start{}` to make it.", flag(&dirs.name)),
            )
        };
        Self::load(dirs)?.ok_or_else(missing)
    }

    pub fn save(&self, dirs: &ProfileDirs) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| corrupt(&self.name, &error.to_string()))?;
        write_atomically(&dirs.config(), &bytes, 0o600)
    }
}

/// ` -p NAME`, unless it is the default.
pub fn flag(profile: &str) -> String {
    if profile == DEFAULT_NAME { String::new() } else { format!(" -p {profile}") }
}

fn corrupt(name: &str, why: &str) -> Trouble {
    Trouble::new(
        format!("the state of cluster \"{name}\" is damaged: {why}"),
        format!("Restore the file from a backup, or type `ironclad delete{}` to begin anew.", flag(name)),
    )
}

/// A profile's name becomes node, link, cgroup and file names.
pub fn check_name(name: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && !name.ends_with('-');
    if !name.is_empty() && name.len() <= NAME_LEN_MAX && ends_well && name.chars().all(letter) {
        return Ok(());
    }
    Err(Trouble::new(
        format!("\"{name}\" cannot be a profile's name"),
        format!(
            "Use at most {NAME_LEN_MAX} lower-case letters, digits and '-', beginning and ending with a letter or digit."
        ),
    ))
}

/// Names of all profiles on this machine.
pub fn names(layout: &Layout) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(layout.profiles()) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Writes a file so that a crash leaves the old one or the new one.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = parent.join(format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero()));
    let write = || -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&draft, flags, Mode::from_raw_mode(mode))?);
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        Trouble::file("write", path, &error)
    })
}

/// Held while a verb changes a profile; freed when dropped or when the process ends.
#[derive(Debug)]
pub struct ProfileLock {
    _file: File,
}

impl ProfileLock {
    /// Waits for other verbs on the same profile to end.
    pub fn take(layout: &Layout, profile: &str) -> Result<Self> {
        let dir = layout.run.join("locks");
        std::fs::create_dir_all(&dir).map_err(|error| Trouble::file("make", &dir, &error))?;
        let path = dir.join(profile);
        let file = File::create(&path).map_err(|error| Trouble::file("open", &path, &error))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| Trouble::file("lock", &path, &error.into()))?;
        Ok(Self { _file: file })
    }
}

/// A port of the host's loopback that is free now: the usual one if possible.
pub fn free_port(wanted: Option<u16>, usual: u16) -> Result<u16> {
    let bind = |port: u16| std::net::TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let port_of = |listener: std::net::TcpListener| listener.local_addr().map(|address| address.port());
    let found = match wanted {
        Some(port) => bind(port).and_then(port_of),
        None => bind(usual).or_else(|_| bind(0)).and_then(port_of),
    };
    found.map_err(|error| port_trouble(wanted.unwrap_or(usual), &error))
}

pub fn port_trouble(port: u16, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::AddrInUse => Trouble::new(
            format!("port {port} of 127.0.0.1 is in use by another program"),
            "End that program (`ss -ltnp` shows it), or choose another port with --api-port.",
        ),
        _ => Trouble::new(
            format!("cannot listen on 127.0.0.1:{port}: {}", crate::trouble::plain(error)),
            "Choose another port with --api-port.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_and_addressed_in_order_and_gaps_are_filled() {
        let mut profile = Profile::new("dev", 6443, Egress::None, 0, 3);
        profile.nodes.remove(1);
        profile.add_node();
        let shown: Vec<String> =
            profile.nodes.iter().map(|n| format!("{} {} {}", n.name, n.ip(), n.role.as_str())).collect();
        expect_test::expect![[r#"
            dev 192.168.49.2 server
            dev-m03 192.168.49.4 agent
            dev-m02 192.168.49.3 agent"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn the_first_nodes_are_control_planes() {
        let profile = Profile::new("dev", 6443, Egress::None, 0, 1).controlled_by(3, Datastore::Etcd);
        let mut profile: Profile =
            serde_json::from_slice(&serde_json::to_vec(&profile).expect("writes")).expect("reads");
        profile.add_node();
        let roles: Vec<&str> = profile.nodes.iter().map(|node| node.role.as_str()).collect();
        assert_eq!(
            (roles.as_slice(), &profile.datastore),
            (&["server", "server", "server", "agent"][..], &Datastore::Etcd)
        );
    }

    #[test]
    fn a_datastore_is_a_word_or_urls() {
        assert_eq!(Datastore::parse("etcd"), Ok(Datastore::Etcd));
        let urls = vec!["https://a:2379".to_owned(), "https://b:2379".to_owned()];
        assert_eq!(Datastore::parse("https://a:2379, https://b:2379/"), Ok(Datastore::External(urls)));
        for wrong in ["redis", "https://", "https://a:2379,b:2379", "https://a:2379/x"] {
            assert!(Datastore::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_would_not_do_as_file_or_host_names_are_refused() {
        for (name, fine) in [("a", true), ("dev-2", true), ("", false), ("-a", false), ("a/b", false), ("A", false)] {
            assert_eq!(check_name(name).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn a_damaged_profile_is_told_from_a_missing_one() {
        let home = std::env::temp_dir().join(format!("ironclad-profile-{}", std::process::id()));
        let dirs = Layout::new(Some(home.clone()), None).profile("p");
        assert_eq!(Profile::load(&dirs), Ok(None));
        std::fs::create_dir_all(&dirs.state).expect("makes the directory");
        std::fs::write(dirs.config(), b"{\"format\":").expect("writes");
        let trouble = Profile::load(&dirs).expect_err("damaged");
        assert!(trouble.cause.starts_with("the state of cluster \"p\" is damaged"), "{trouble}");
        assert!(trouble.advice.contains("ironclad delete -p p"), "{trouble}");
        std::fs::remove_dir_all(home).expect("removes");
    }
}
