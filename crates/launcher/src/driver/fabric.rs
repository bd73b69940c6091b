//! The fabric: a small daemon, one per profile, that owns the bridge's namespace and the host's loopback ports, starts
//! every node's init and starts it again when it dies.
//!
//! One thread in a `poll` loop. It is needed to start and mend things, not to run them: when it is killed the nodes go
//! on, and the next fabric adopts them ([`super::adopt`]).

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use linux::namespace::{self, Kinds};
use linux::rtnl::Rtnl;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FlockOperation, Mode, OFlags};
use stdx::{Backoff, Clock, SystemClock};

use crate::credentials;
use crate::driver::adopt::{self, Alive, Known};
use crate::driver::control::{LINE_LEN_MAX, NodeReport, Phase, Report, Request};
use crate::driver::{cgroups, fds, init, net};
use crate::layout::{Layout, ProfileDirs};
use crate::profile::{self, Egress, NodeSpec, Profile, Role};
use crate::trouble::{Result, Trouble, plain};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const RESTART: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// How long a node may take to stop before it is killed.
const STOP_SECS_MAX: i64 = 20;
const STABLE_SECS: i64 = 60;
/// How often certificates are looked at; they live for a year and are renewed after two thirds of it.
const RENEWAL_PERIOD: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
const WATCHERS_MAX: usize = 64;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What `ironclad fabric` is told.
#[derive(Clone, Debug)]
pub struct Args {
    pub layout: Layout,
    pub profile: String,
}

struct Node {
    spec: NodeSpec,
    phase: Phase,
    wanted: bool,
    init: Option<(u32, u64, OwnedFd)>,
    notify: Option<File>,
    /// Bytes of a line that has not ended yet.
    partial: Vec<u8>,
    failures: u32,
    restarts: u32,
    message: String,
    since: jiff::Timestamp,
    start_at: Option<jiff::Timestamp>,
    kill_at: Option<jiff::Timestamp>,
}

impl Node {
    fn new(spec: NodeSpec, now: jiff::Timestamp) -> Self {
        Self {
            spec,
            phase: Phase::Stopped,
            wanted: true,
            init: None,
            notify: None,
            partial: Vec::new(),
            failures: 0,
            restarts: 0,
            message: String::new(),
            since: now,
            start_at: Some(now),
            kill_at: None,
        }
    }

    fn report(&self) -> NodeReport {
        NodeReport {
            name: self.spec.name.clone(),
            phase: self.phase,
            pid: self.init.as_ref().map(|(pid, ..)| *pid),
            restarts: self.restarts,
            message: self.message.clone(),
        }
    }
}

struct Fabric {
    layout: Layout,
    dirs: ProfileDirs,
    profile: Profile,
    nodes: Vec<Node>,
    net: OwnedFd,
    listener: TcpListener,
    control: UnixListener,
    watchers: Vec<UnixStream>,
    signals: OwnedFd,
    stopping: bool,
    changed: bool,
    /// When the nodes' certificates are looked at again.
    renew_at: jiff::Timestamp,
    /// Freed by the kernel when this process ends.
    _lock: File,
}

/// Runs the fabric until it is told to stop. Call it before any thread starts. Says `up`, or what is wrong, on
/// standard output and then lets go of it.
pub fn main(args: &Args) -> Result<()> {
    let _ = rustix::process::setsid();
    let made = Fabric::new(args);
    let mut said = io::stdout();
    let fabric = match made {
        Ok(fabric) => fabric,
        Err(trouble) => {
            let _ = writeln!(said, "{}\n{}", trouble.cause, trouble.advice);
            return Err(trouble);
        }
    };
    let _ = writeln!(said, "up");
    let _ = said.flush();
    let _ = rustix::stdio::dup2_stdout(rustix::stdio::stderr());
    fabric.run().map_err(|error| Trouble::new(plain(&error), "Type `ironclad start` to start it again."))
}

fn trouble(what: &str, error: &io::Error) -> Trouble {
    Trouble::new(
        format!("{what}: {}", plain(error)),
        "Run `ironclad start` as root on a kernel with namespaces, bridge and veth.",
    )
}

fn kernel(error: linux::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {}", error.op, plain(&error.source)))
}

impl Fabric {
    fn new(args: &Args) -> Result<Self> {
        let dirs = args.layout.profile(&args.profile);
        std::fs::create_dir_all(&dirs.run).map_err(|error| Trouble::file("make", &dirs.run, &error))?;
        let lock = lock(&dirs)?;
        let profile = Profile::load_existing(&dirs)?;
        let signals = linux::process::signal_fd(&[SIGTERM]).map_err(|e| trouble("cannot take signals", &kernel(e)))?;
        let hierarchies = cgroups::of_host().map_err(|error| trouble("cannot read control groups", &error))?;
        cgroups::join(&hierarchies, &args.profile, "fabric")
            .map_err(|error| trouble("cannot make control groups", &error))?;
        let alive = adopt::alive(&dirs);
        let net = match alive.iter().find_map(|init| init.descriptor(fds::FABRIC_NET)) {
            Some(net) => net,
            None => make_net(&profile).map_err(|error| trouble("cannot make the nodes' network", &error))?,
        };
        let listener = match alive.iter().find_map(|init| init.descriptor(fds::LISTENER)) {
            Some(socket) => TcpListener::from(socket),
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, profile.api_port))
                .map_err(|error| profile::port_trouble(profile.api_port, &error))?,
        };
        let control = listen(&dirs)?;
        let now = SystemClock.now();
        let nodes = profile.nodes.iter().map(|spec| Node::new(spec.clone(), now)).collect();
        let layout = args.layout.clone();
        let (watchers, stopping, changed) = (Vec::new(), false, true);
        let mut fabric = Self {
            layout,
            dirs,
            profile,
            nodes,
            net,
            listener,
            control,
            watchers,
            signals,
            stopping,
            changed,
            renew_at: now + RENEWAL_PERIOD,
            _lock: lock,
        };
        fabric.adopt(alive);
        Ok(fabric)
    }

    fn adopt(&mut self, alive: Vec<Alive>) {
        let now = SystemClock.now();
        for found in alive {
            let notify = open_notify(&self.dirs.node(&found.known.name).notify()).ok();
            let Some(node) = self.nodes.iter_mut().find(|node| node.spec.name == found.known.name) else { continue };
            node.phase = found.known.phase;
            node.restarts = found.known.restarts;
            node.init = Some((found.known.pid, found.known.start_ticks, found.pidfd));
            node.notify = notify;
            (node.since, node.start_at) = (now, None);
        }
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            self.start_due();
            self.publish();
            if self.stopping && self.nodes.iter().all(|node| node.init.is_none()) {
                return self.leave();
            }
            self.wait()?;
            self.read_notes();
            self.see_deaths();
            if !linux::process::drain_signals(&self.signals).is_empty() {
                self.stop_all();
            }
            self.take_requests();
            self.kill_overdue();
            self.renew_due();
        }
    }

    /// Issues the agents' certificates again long before they end; the agents notice the new files by themselves.
    fn renew_due(&mut self) {
        let now = SystemClock.now();
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + RENEWAL_PERIOD;
        let renewed = credentials::authority(&self.dirs, now)
            .and_then(|authority| credentials::prepare(&self.profile, &self.dirs, &authority, now));
        if let Err(trouble) = renewed {
            eprintln!("certificates were not renewed: {}", trouble.cause);
        }
    }

    /// Sleeps until anything happens: a signal, a request, a note, a death, or a deadline.
    fn wait(&self) -> io::Result<()> {
        let deadlines = self.nodes.iter().flat_map(|node| [node.start_at, node.kill_at]).flatten();
        let deadlines = deadlines.chain([self.renew_at]);
        let timeout = deadlines.min().map(|at| {
            let left_ms = at.duration_since(SystemClock.now()).as_millis().clamp(0, 86_400_000);
            let left_ms = i64::try_from(left_ms).unwrap_or(0) + 1;
            Timespec { tv_sec: left_ms / 1000, tv_nsec: (left_ms % 1000) * 1_000_000 }
        });
        let mut polled = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN),
        ];
        for node in &self.nodes {
            polled.extend(node.notify.iter().map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)));
            polled.extend(node.init.iter().map(|init| PollFd::from_borrowed_fd(init.2.as_fd(), PollFlags::IN)));
        }
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn start_due(&mut self) {
        let now = SystemClock.now();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if node.start_at.is_none_or(|due| due > now) || node.init.is_some() {
                continue;
            }
            let started = self.spawn(&node.spec);
            let node = &mut self.nodes[at];
            node.start_at = None;
            node.since = now;
            self.changed = true;
            match started {
                Ok((init, notify)) => {
                    node.phase = Phase::Starting;
                    node.init = Some(init);
                    node.notify = Some(notify);
                    node.partial.clear();
                }
                Err(error) => node.died(&format!("cannot start its init: {error}"), now),
            }
        }
    }

    /// Forks a PID 1 that becomes `ironclad init`, with the shared descriptors under their agreed numbers.
    fn spawn(&self, spec: &NodeSpec) -> io::Result<((u32, u64, OwnedFd), File)> {
        let path = self.dirs.node(&spec.name).notify();
        let _ = std::fs::remove_file(&path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let notify = open_notify(&path)?;
        let for_init = open_notify(&path)?;
        let args = ["ironclad", "init", "--profile", &self.profile.name, "--node", &spec.name].map(str::to_owned);
        let env = self.environment();
        let child = namespace::clone_into_new(Kinds::PID, || {
            let placed = linux::process::close_others_on_exec()
                .and_then(|()| linux::process::place_fd(&for_init, fds::NOTIFY))
                .and_then(|()| linux::process::place_fd(&self.net, fds::FABRIC_NET))
                .and_then(|()| match spec.role {
                    Role::Server => linux::process::place_fd(&self.listener, fds::LISTENER),
                    Role::Agent => Ok(()),
                });
            if let Err(error) = placed {
                eprintln!("init of {}: {error}", spec.name);
                return 1;
            }
            linux::process::reset_signals();
            let error = linux::process::exec(Path::new("/proc/self/exe"), &args, &env);
            eprintln!("init of {}: cannot execute it: {error}", spec.name);
            1
        })
        .map_err(kernel)?;
        let ticks = linux::process::start_ticks(child.pid).unwrap_or(0);
        Ok(((child.pid, ticks, child.pidfd), notify))
    }

    fn environment(&self) -> Vec<String> {
        let kept = std::env::vars().filter(|(key, _)| matches!(key.as_str(), "RUST_LOG" | "RUST_BACKTRACE" | "PATH"));
        let mut env: Vec<String> = kept.map(|(key, value)| format!("{key}={value}")).collect();
        env.push(format!("IRONCLAD_HOME={}", self.layout.home.display()));
        env.push(format!("IRONCLAD_RUN={}", self.layout.run.display()));
        env
    }

    fn read_notes(&mut self) {
        for node in &mut self.nodes {
            let Some(file) = &mut node.notify else { continue };
            let mut buffer = [0u8; 4096];
            while let Ok(read @ 1..) = file.read(&mut buffer) {
                node.partial.extend_from_slice(&buffer[..read]);
            }
            while let Some(end) = node.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = node.partial.drain(..=end).collect();
                node.note(String::from_utf8_lossy(&line).trim_end());
                self.changed = true;
            }
        }
    }

    fn see_deaths(&mut self) {
        while linux::process::reap().is_some() {}
        let now = SystemClock.now();
        for node in &mut self.nodes {
            if node.init.as_ref().is_some_and(|(.., pidfd)| linux::pidfd::has_ended(pidfd)) {
                (node.init, node.notify, node.kill_at) = (None, None, None);
                self.changed = true;
                let message = if node.message.is_empty() { "its init died".to_owned() } else { node.message.clone() };
                node.died(&message, now);
            }
        }
    }

    fn take_requests(&mut self) {
        // One a turn; `poll` returns at once while more wait.
        let Ok((mut stream, _)) = self.control.accept() else { return };
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(Some(REQUEST_TIMEOUT));
        let mut line = Vec::new();
        let mut byte = [0u8; 1];
        while line.len() < usize::try_from(LINE_LEN_MAX).unwrap_or(0) && matches!(stream.read(&mut byte), Ok(1)) {
            if byte[0] == b'\n' {
                break;
            }
            line.push(byte[0]);
        }
        let Ok(request) = serde_json::from_slice::<Request>(&line) else { return };
        match request {
            Request::Status => return send(&mut stream, &self.report()),
            Request::Watch => {}
            Request::Stop => self.stop_all(),
            Request::StartNode { name } => self.want(&name, true),
            Request::StopNode { name } => self.want(&name, false),
            Request::Reload => self.reload(),
        }
        self.changed = true;
        if self.watchers.len() < WATCHERS_MAX && stream.set_nonblocking(true).is_ok() {
            self.watchers.push(stream);
        }
    }

    fn want(&mut self, name: &str, wanted: bool) {
        let now = SystemClock.now();
        let Some(node) = self.nodes.iter_mut().find(|node| node.spec.name == name) else { return };
        node.wanted = wanted;
        match (wanted, &node.init) {
            (true, None) => node.start_at = Some(now),
            (false, Some(_)) => node.stop(now),
            (false, None) => (node.phase, node.start_at) = (Phase::Stopped, None),
            (true, Some(_)) => {}
        }
    }

    fn stop_all(&mut self) {
        self.stopping = true;
        for name in self.nodes.iter().map(|node| node.spec.name.clone()).collect::<Vec<_>>() {
            self.want(&name, false);
        }
    }

    /// Takes up nodes that were added to the profile and lets go of stopped ones that were removed from it.
    fn reload(&mut self) {
        let Ok(profile) = Profile::load_existing(&self.dirs) else { return };
        let now = SystemClock.now();
        self.nodes.retain(|node| node.init.is_some() || profile.nodes.contains(&node.spec));
        for spec in &profile.nodes {
            if self.nodes.iter().all(|node| node.spec != *spec) {
                self.nodes.push(Node::new(spec.clone(), now));
            }
        }
        self.profile = profile;
    }

    fn kill_overdue(&mut self) {
        let now = SystemClock.now();
        for node in &mut self.nodes {
            if node.kill_at.is_some_and(|at| at <= now) {
                node.kill_at = None;
                node.signal(SIGKILL);
            }
        }
    }

    fn report(&self) -> Report {
        Report { fabric_pid: std::process::id(), nodes: self.nodes.iter().map(Node::report).collect() }
    }

    /// Tells watchers and the next fabric what has changed.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let known: Vec<Known> = self.nodes.iter().filter_map(Node::known).collect();
        if let Err(trouble) = adopt::save(&self.dirs, &known) {
            eprintln!("{}", trouble.cause);
        }
        let report = self.report();
        let mut line = serde_json::to_vec(&report).unwrap_or_default();
        line.push(b'\n');
        self.watchers.retain_mut(|watcher| watcher.write_all(&line).is_ok());
    }

    fn leave(self) -> io::Result<()> {
        if self.profile.egress == Egress::Nat {
            undo_uplink(&self.profile);
        }
        let _ = std::fs::remove_dir_all(&self.dirs.run);
        Ok(())
    }
}

impl Node {
    fn note(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "up" => self.phase = Phase::Up,
            "ready" => {
                (self.phase, self.message, self.failures) = (Phase::Ready, String::new(), 0);
            }
            "failed" => self.message = rest.to_owned(),
            _ if word.starts_with("role-") => {
                self.phase = Phase::Up;
                self.restarts = self.restarts.saturating_add(1);
                self.message = format!("{} {}", self.spec.role.as_str(), line.trim_start_matches("role-"));
            }
            // The other members go on, and so does the role.
            _ if word.starts_with("member-") => {
                self.restarts = self.restarts.saturating_add(1);
                self.message = format!("etcd {}", line.trim_start_matches("member-"));
            }
            _ => {}
        }
    }

    fn died(&mut self, why: &str, now: jiff::Timestamp) {
        if !self.wanted {
            (self.phase, self.message) = (Phase::Stopped, String::new());
            return;
        }
        if now.duration_since(self.since).as_secs() >= STABLE_SECS {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        self.phase = Phase::Waiting;
        self.message = why.to_owned();
        self.start_at = now.checked_add(RESTART.delay(self.failures)).ok();
        eprintln!("node {}: {why}; it starts again in {:?}", self.spec.name, RESTART.delay(self.failures));
    }

    fn stop(&mut self, now: jiff::Timestamp) {
        self.phase = Phase::Stopping;
        self.start_at = None;
        self.kill_at = now.checked_add(Duration::from_secs(STOP_SECS_MAX.unsigned_abs())).ok();
        self.signal(SIGTERM);
    }

    fn signal(&self, number: i32) {
        if let Some((.., pidfd)) = &self.init {
            let _ = linux::pidfd::signal(pidfd, number);
        }
    }

    fn known(&self) -> Option<Known> {
        let (pid, start_ticks, _) = self.init.as_ref()?;
        let (pid, start_ticks) = (*pid, *start_ticks);
        Some(Known { name: self.spec.name.clone(), pid, start_ticks, phase: self.phase, restarts: self.restarts })
    }
}

/// One fabric a profile.
fn lock(dirs: &ProfileDirs) -> Result<File> {
    let path = dirs.fabric_lock();
    let file = File::create(&path).map_err(|error| Trouble::file("open", &path, &error))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Trouble::new(format!("cluster \"{}\" is already supervised", dirs.name), "Type `ironclad status` to see it.")
    })?;
    Ok(file)
}

fn listen(dirs: &ProfileDirs) -> Result<UnixListener> {
    let path = dirs.control_socket();
    let _ = std::fs::remove_file(&path);
    let bound = UnixListener::bind(&path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(listener)
    });
    bound.map_err(|error| Trouble::file("listen on", &path, &error))
}

/// Opened for both ways, so that neither side sees an end when the other is away.
fn open_notify(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// A new network namespace with the nodes' bridge; the calling thread is back in the host's afterwards.
fn make_net(profile: &Profile) -> io::Result<OwnedFd> {
    let host = File::open("/proc/thread-self/ns/net")?;
    namespace::unshare(Kinds::NET).map_err(kernel)?;
    let made = || -> io::Result<OwnedFd> {
        let fabric = File::open("/proc/thread-self/ns/net")?;
        init::apply(&mut Rtnl::open()?, &net::fabric_ops(), None)?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        Ok(fabric.into())
    };
    let fabric = made();
    namespace::join(&host, Kinds::NET).map_err(kernel)?;
    let fabric = fabric?;
    if profile.egress == Egress::Nat {
        make_uplink(profile, &host, &fabric)?;
    }
    Ok(fabric)
}

/// The one thing that is done to the host's network, and only with `--egress nat`.
fn make_uplink(profile: &Profile, host: &File, fabric: &OwnedFd) -> io::Result<()> {
    let uplink = net::uplink(profile);
    let fabric_file = File::from(fabric.try_clone()?);
    init::apply(&mut Rtnl::open()?, &uplink.host, Some(&fabric_file))?;
    nft(&uplink.host_rules)?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    namespace::join(fabric, Kinds::NET).map_err(kernel)?;
    let made = Rtnl::open().and_then(|mut rtnl| init::apply(&mut rtnl, &uplink.fabric, None));
    let ruled = made.and_then(|()| nft(&uplink.fabric_rules));
    namespace::join(host, Kinds::NET).map_err(kernel)?;
    ruled
}

pub fn undo_uplink(profile: &Profile) {
    let uplink = net::uplink(profile);
    let _ = nft(&uplink.host_rules_undo);
    let delete = linux::rtnl::NetOp::DeleteLink { name: uplink.host_link };
    let _ = Rtnl::open().and_then(|mut rtnl| rtnl.apply(&delete, None));
}

fn nft(rules: &str) -> io::Result<()> {
    let mut child = std::process::Command::new("nft").args(["-f", "-"]).stdin(std::process::Stdio::piped()).spawn()?;
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(rules.as_bytes())?;
    }
    let status = child.wait_with_output()?.status;
    if status.success() { Ok(()) } else { Err(io::Error::other("nft refused the rules for --egress nat")) }
}

fn send(stream: &mut UnixStream, report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.write_all(&line);
}
