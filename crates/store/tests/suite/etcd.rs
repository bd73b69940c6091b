//! Real members of etcd, on unix sockets in a directory of their own, so that tests need no ports.

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
}

impl Cluster {
    /// `None`, with the reason on standard error, where there is no etcd. `apt-get install etcd-server` brings one.
    pub fn start(size: usize, arguments: &[&str]) -> Option<Self> {
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
        let mut cluster = Self { directory, members: (0..size).map(|_| None).collect(), arguments };
        (0..size).for_each(|member| cluster.start_member(member));
        Some(cluster)
    }

    /// Starts a member, for the first time or again.
    pub fn start_member(&mut self, member: usize) {
        let peers: Vec<String> = (0..self.members.len()).map(|m| format!("m{m}=unix://peer:{m}")).collect();
        // Sockets of a member that was killed are in its own way.
        for socket in ["client", "peer"] {
            drop(std::fs::remove_file(self.directory.join(format!("{socket}:{member}"))));
        }
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join(format!("log-{member}")));
        let child = Command::new("etcd")
            .current_dir(&self.directory)
            .args(["--name", &format!("m{member}"), "--data-dir", &format!("data-{member}")])
            .args(["--listen-client-urls", &format!("unix://client:{member}")])
            .args(["--advertise-client-urls", &format!("unix://client:{member}")])
            .args(["--listen-peer-urls", &format!("unix://peer:{member}")])
            .args(["--initial-advertise-peer-urls", &format!("unix://peer:{member}")])
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
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}
