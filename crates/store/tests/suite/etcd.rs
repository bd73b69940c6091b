//! Real members of etcd, on unix sockets in a directory of their own, so that tests need no ports.
//!
//! For members that can be cut off (with root) each has a network namespace of its own, on a bridge in one more: clients
//! still come by unix sockets, which do not care for networks. The host's own network is not touched.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use store::{EtcdOptions, EtcdStore, Store};
use tokio::time::{Instant, sleep};

/// How long members may take to agree on a leader.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Members that end with this.
pub struct Cluster {
    directory: PathBuf,
    pub members: Vec<Option<Child>>,
    arguments: Vec<String>,
    /// The bridge's namespace, and in front of a number each member's.
    network: Option<String>,
}

/// Runs `ip` with these words; whether it could.
fn ip(words: &str) -> bool {
    let status = Command::new("ip").args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Cluster {
    /// Members whose peers talk over networks that can be cut. `None`, with the reason, where that cannot be made.
    pub fn start_apart(size: usize) -> Option<Self> {
        let mut cluster = Self::empty(size, &[])?;
        let network = format!("etcd-{}", std::process::id());
        let made = ip(&format!("netns add {network}"))
            && ip(&format!("-n {network} link add name br0 type bridge"))
            && ip(&format!("-n {network} link set dev br0 up"))
            && (0..size).all(|member| {
                let own = format!("{network}-{member}");
                ip(&format!("netns add {own}"))
                    && ip(&format!("-n {network} link add m{member} type veth peer name eth0 netns {own}"))
                    && ip(&format!("-n {network} link set dev m{member} master br0"))
                    && ip(&format!("-n {network} link set m{member} up"))
                    && ip(&format!("-n {own} addr add 10.77.0.{}/24 dev eth0", member + 1))
                    && ip(&format!("-n {own} link set eth0 up"))
                    && ip(&format!("-n {own} link set lo up"))
            });
        cluster.network = Some(network);
        if !made {
            eprintln!("skipped: cannot make network namespaces");
            return None;
        }
        (0..size).for_each(|member| cluster.start_member(member));
        Some(cluster)
    }

    /// Takes the member's cable out, or puts it in again.
    pub fn cut(&self, member: usize, cut: bool) {
        let network = self.network.as_deref().expect("members that are apart");
        let to = if cut { "down" } else { "up" };
        assert!(ip(&format!("-n {network} link set m{member} {to}")), "cannot cut a member off");
    }

    /// `None`, with the reason on standard error, where there is no etcd. `apt-get install etcd-server` brings one.
    pub fn start(size: usize, arguments: &[&str]) -> Option<Self> {
        let mut cluster = Self::empty(size, arguments)?;
        (0..size).for_each(|member| cluster.start_member(member));
        Some(cluster)
    }

    fn empty(size: usize, arguments: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: there is no etcd to test with");
            return None;
        }
        // Tests are about etcd's answers, not about this machine's disk.
        let shm = PathBuf::from("/dev/shm");
        let root = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = root.join(format!("ironclad-etcd-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Some(Self { directory, members: (0..size).map(|_| None).collect(), arguments, network: None })
    }

    /// Starts a member, for the first time or again.
    pub fn start_member(&mut self, member: usize) {
        let peer = |member| match &self.network {
            Some(_) => format!("http://10.77.0.{}:2380", member + 1),
            None => format!("unix://peer:{member}"),
        };
        let peers: Vec<String> = (0..self.members.len()).map(|m| format!("m{m}={}", peer(m))).collect();
        let mut command = match &self.network {
            Some(network) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &format!("{network}-{member}"), "etcd"]);
                command
            }
            None => Command::new("etcd"),
        };
        // Sockets of a member that was killed are in its own way.
        for socket in ["client", "peer"] {
            drop(std::fs::remove_file(self.directory.join(format!("{socket}:{member}"))));
        }
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join(format!("log-{member}")));
        let child = command
            .current_dir(&self.directory)
            .args(["--name", &format!("m{member}"), "--data-dir", &format!("data-{member}")])
            .args(["--listen-client-urls", &format!("unix://client:{member}")])
            .args(["--advertise-client-urls", &format!("unix://client:{member}")])
            .args(["--listen-peer-urls", &peer(member), "--initial-advertise-peer-urls", &peer(member)])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(&self.arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        self.members[member] = Some(child.expect("etcd starts"));
    }

    pub fn options(&self) -> EtcdOptions {
        self.options_from(0)
    }

    /// As for a server that prefers the member `first`.
    pub fn options_from(&self, first: usize) -> EtcdOptions {
        let count = self.members.len();
        let endpoint = |k| format!("unix://{}/client:{}", self.directory.display(), (first + k) % count);
        EtcdOptions::new((0..count).map(endpoint).collect())
    }

    /// The member that was elected last, by its own log.
    pub fn leader(&self) -> usize {
        let elected = |member: &usize| {
            let log = std::fs::read(self.directory.join(format!("log-{member}"))).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let terms = log.split("became leader at term ").skip(1);
            terms.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()).max()
        };
        (0..self.members.len()).max_by_key(elected).unwrap_or(0)
    }

    pub fn signal(&self, member: usize, signal: Signal) {
        if let Some(child) = &self.members[member] {
            kill_process(Pid::from_child(child), signal).expect("signal");
        }
    }

    /// As `kill -9`.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// Waits until the cluster answers.
    pub async fn ready(&self) {
        let deadline = Instant::now() + START_TIMEOUT;
        let store = EtcdStore::open(self.options()).expect("open");
        while let Err(error) = store.current().await {
            assert!(Instant::now() < deadline, "etcd does not start: {error}; see {}", self.directory.display());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.members.iter_mut().flatten() {
            drop(child.kill());
            drop(child.wait());
        }
        if let Some(network) = &self.network {
            for member in 0..self.members.len() {
                ip(&format!("netns del {network}-{member}"));
            }
            ip(&format!("netns del {network}"));
        }
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}
