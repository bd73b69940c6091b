//! PID 1 of a node: makes the node's world, runs its role (and a control plane's etcd member), reaps whatever is
//! orphaned, ends everything when told to.
//!
//! One thread and no runtime; it waits in `poll` for signals, for output and for the time to start something again. A kill -9 of it takes the whole node down, as pulling a machine's plug does.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::namespace::{self, Kinds};
use linux::rtnl::{NetOp, Rtnl};
use rustix::event::{PollFd, PollFlags, Timespec};
use stdx::{Backoff, Clock, SystemClock};

use crate::driver::log::{LOG_BYTES_MAX, Log};
use crate::driver::plan::{self, Host};
use crate::driver::{cgroups, fds, member, net, steps};
use crate::layout::Layout;
use crate::preflight;
use crate::profile::{NodeSpec, Profile};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const SIGINT: i32 = 2;
const SIGCHLD: i32 = 17;
const RESTART: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
/// What ran this long is forgiven its earlier failures.
const STABLE_SECS: i64 = 60;
const ROLE_STOP_MS: i64 = 10_000;
const PODS_STOP_MS: i64 = 3_000;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PIPE_READ: usize = 16 * 1024;

/// What `ironclad init` is told.
#[derive(Clone, Debug)]
pub struct Args {
    pub layout: Layout,
    pub profile: String,
    pub node: String,
}

/// Runs a node until it is told to stop. Call it before any thread starts.
pub fn main(args: &Args) -> io::Result<()> {
    let mut notify = File::from(linux::inherit::take(fds::NOTIFY)?);
    let result = set_up(args);
    let (profile, spec, signals) = match result {
        Ok(made) => made,
        Err(error) => {
            let _ = writeln!(notify, "failed {error}");
            return Err(error);
        }
    };
    let _ = writeln!(notify, "up");
    Init { jobs: jobs(args, &profile, &spec)?, signals, notify, stopping: false }.run()
}

fn set_up(args: &Args) -> io::Result<(Profile, NodeSpec, OwnedFd)> {
    let signals = linux::process::signal_fd(&[SIGTERM, SIGINT, SIGCHLD]).map_err(kernel)?;
    let profile_dirs = args.layout.profile(&args.profile);
    let profile = Profile::load_existing(&profile_dirs).map_err(|trouble| io::Error::other(trouble.cause))?;
    let node = profile.node(&args.node).map_err(|trouble| io::Error::other(trouble.cause))?.clone();
    let dirs = profile_dirs.node(&args.node);
    let hierarchies = cgroups::of_host()?;
    let host =
        Host { hierarchies: hierarchies.clone(), binary: std::env::current_exe()?, resolv_conf: host_resolv_conf() };
    cgroups::join(&hierarchies, &args.profile, &format!("nodes/{}", args.node))?;
    connect(&node)?;
    namespace::unshare(Kinds::CGROUP.and(Kinds::MOUNT).and(Kinds::UTS).and(Kinds::IPC)).map_err(kernel)?;
    for op in plan::node_ops(&profile, &node, &dirs, &host) {
        steps::run(&op)?;
    }
    cgroups::settle(&hierarchies)?;
    let mut rtnl = Rtnl::open()?;
    apply(&mut rtnl, &net::node_ops(&node, &profile), None)?;
    Ok((profile, node, signals))
}

/// Enters a new network namespace that is joined to the fabric by a veth.
fn connect(node: &NodeSpec) -> io::Result<()> {
    let fabric = linux::inherit::take(fds::FABRIC_NET)?;
    rustix::io::fcntl_setfd(&fabric, rustix::io::FdFlags::CLOEXEC)?;
    namespace::join(&fabric, Kinds::NET).map_err(kernel)?;
    let mut rtnl = Rtnl::open()?;
    namespace::unshare(Kinds::NET).map_err(kernel)?;
    let own = File::open("/proc/thread-self/ns/net")?;
    apply(&mut rtnl, &net::port_ops(node), Some(&own))?;
    // Kept open for as long as the node lives: the fabric's namespace must not end with a killed fabric.
    std::mem::forget(fabric);
    Ok(())
}

pub fn apply(rtnl: &mut Rtnl, ops: &[NetOp], peer_ns: Option<&File>) -> io::Result<()> {
    for op in ops {
        rtnl.apply(op, peer_ns.map(File::as_fd))
            .map_err(|error| io::Error::new(error.kind(), format!("{op:?}: {}", crate::trouble::plain(&error))))?;
    }
    Ok(())
}

/// A resolver on the host's own loopback cannot be reached from a node; systemd keeps the real list beside it.
fn host_resolv_conf() -> String {
    let behind = std::fs::read_to_string("/run/systemd/resolve/resolv.conf");
    behind.or_else(|_| std::fs::read_to_string("/etc/resolv.conf")).unwrap_or_default()
}

fn kernel(error: linux::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {}", error.op, crate::trouble::plain(&error.source)))
}

/// What runs on a node: first what the role needs, last the role.
fn jobs(args: &Args, profile: &Profile, node: &NodeSpec) -> io::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    if let Some(arguments) = member::arguments(profile, node) {
        let program = preflight::find_program(member::PROGRAM).unwrap_or_else(|| PathBuf::from(member::PROGRAM));
        jobs.push(Job::new(member::PROGRAM, "member", program, arguments)?);
    }
    let role = node.role.as_str();
    let arguments = ["ironclad", role, "--profile", &args.profile, "--node", &args.node].map(str::to_owned).to_vec();
    jobs.push(Job::new(role, "role", PathBuf::from(plan::BINARY), arguments)?);
    Ok(jobs)
}

struct Running {
    pid: u32,
    output: OwnedFd,
    since: jiff::Timestamp,
}

/// A process that is kept running.
struct Job {
    /// Of its log, and as it is told to people.
    name: &'static str,
    /// How the fabric is told that it ended: `<kind>-<why>`.
    kind: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: Log,
    running: Option<Running>,
    failures: u32,
    start_at: Option<jiff::Timestamp>,
}

impl Job {
    fn new(name: &'static str, kind: &'static str, program: PathBuf, arguments: Vec<String>) -> io::Result<Self> {
        let log = Log::open(Path::new(&format!("/var/log/ironclad-{name}.log")), LOG_BYTES_MAX)?;
        let start_at = Some(SystemClock.now());
        Ok(Self { name, kind, program, arguments, log, running: None, failures: 0, start_at })
    }

    fn is_role(&self) -> bool {
        self.kind == "role"
    }

    /// Forked by hand, because the standard library's children inherit the signals that this process has blocked.
    fn spawn(&self) -> io::Result<Running> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        let null = File::open("/dev/null")?;
        let kept = std::env::vars().filter(|(key, _)| key == "RUST_LOG" || key == "RUST_BACKTRACE");
        let mut env: Vec<String> = kept.map(|(key, value)| format!("{key}={value}")).collect();
        env.extend([PATH.to_owned(), "HOME=/root".to_owned()]);
        let child = namespace::clone_into_new(Kinds::NONE, || {
            let placed = linux::process::place_fd(&null, 0)
                .and_then(|()| linux::process::place_fd(&write, 1))
                .and_then(|()| linux::process::place_fd(&write, 2));
            if placed.is_err() {
                return 126;
            }
            if !self.is_role() {
                // The sockets and pipes of the fabric are the role's.
                linux::process::close_from(3);
            }
            linux::process::reset_signals();
            let error = linux::process::exec(&self.program, &self.arguments, &env);
            eprintln!("cannot execute {}: {error}", self.program.display());
            127
        })
        .map_err(kernel)?;
        Ok(Running { pid: child.pid, output: read, since: SystemClock.now() })
    }

    fn copy_output(&mut self) {
        let Some(running) = &self.running else { return };
        let mut buffer = vec![0u8; PIPE_READ];
        while let Ok(read @ 1..) = rustix::io::read(&running.output, &mut buffer) {
            self.log.write(&buffer[..read]);
        }
    }

    fn failed(&mut self, why: &str, notify: &mut File) {
        self.failures = self.failures.saturating_add(1);
        let delay = RESTART.delay(self.failures);
        self.start_at = SystemClock.now().checked_add(delay).ok();
        self.log.write(format!("init: {} {why}; it starts again in {delay:?}\n", self.name).as_bytes());
        let _ = writeln!(notify, "{}-{why}", self.kind);
    }
}

struct Init {
    jobs: Vec<Job>,
    signals: OwnedFd,
    notify: File,
    stopping: bool,
}

impl Init {
    fn run(mut self) -> io::Result<()> {
        loop {
            self.start_due();
            self.wait(self.jobs.iter().filter_map(|job| job.start_at).min())?;
            self.copy_output();
            for signal in linux::process::drain_signals(&self.signals) {
                match signal {
                    SIGCHLD => self.reap(),
                    _ => self.stopping = true,
                }
            }
            if self.stopping {
                return self.stop();
            }
        }
    }

    /// Waits for a signal or output, at most until `deadline`.
    fn wait(&self, deadline: Option<jiff::Timestamp>) -> io::Result<()> {
        let timeout = deadline.map(|at| {
            let left_ms = at.duration_since(SystemClock.now()).as_millis().clamp(0, 3_600_000);
            let left_ms = i64::try_from(left_ms).unwrap_or(0) + 1;
            Timespec { tv_sec: left_ms / 1000, tv_nsec: (left_ms % 1000) * 1_000_000 }
        });
        let mut polled = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        for running in self.jobs.iter().filter_map(|job| job.running.as_ref()) {
            polled.push(PollFd::from_borrowed_fd(running.output.as_fd(), PollFlags::IN));
        }
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn start_due(&mut self) {
        let now = SystemClock.now();
        for job in self.jobs.iter_mut().filter(|job| job.start_at.is_some_and(|at| at <= now)) {
            job.start_at = None;
            match job.spawn() {
                Ok(running) => job.running = Some(running),
                Err(error) => job.failed(&format!("cannot start: {error}"), &mut self.notify),
            }
        }
    }

    fn copy_output(&mut self) {
        self.jobs.iter_mut().for_each(Job::copy_output);
    }

    fn reap(&mut self) {
        while let Some((pid, exit)) = linux::process::reap() {
            let ran = |job: &&mut Job| job.running.as_ref().is_some_and(|running| running.pid == pid);
            let Some(job) = self.jobs.iter_mut().find(ran) else { continue };
            job.copy_output();
            let Some(running) = job.running.take() else { continue };
            if SystemClock.now().duration_since(running.since).as_secs() >= STABLE_SECS {
                job.failures = 0;
            }
            if !self.stopping {
                job.failed(&format!("ended: {exit:?}"), &mut self.notify);
            }
        }
    }

    /// First the role, so that it can say goodbye; then the pods and what the role needed; what is left dies with this
    /// process.
    fn stop(&mut self) -> io::Result<()> {
        let role =
            |init: &Self| init.jobs.iter().filter(|job| job.is_role()).find_map(|job| job.running.as_ref()?.pid.into());
        if let Some(pid) = role(self) {
            signal(pid, SIGTERM);
            self.wait_until(ROLE_STOP_MS, |init| role(init).is_none())?;
        }
        for pid in others() {
            signal(pid, SIGTERM);
        }
        self.wait_until(PODS_STOP_MS, |_| others().is_empty())?;
        for pid in others() {
            signal(pid, SIGKILL);
        }
        rustix::fs::sync();
        Ok(())
    }

    fn wait_until(&mut self, limit_ms: i64, done: impl Fn(&Self) -> bool) -> io::Result<()> {
        let limit = Duration::from_millis(limit_ms.unsigned_abs());
        let deadline = SystemClock.now().checked_add(limit).map_err(io::Error::other)?;
        while !done(self) && SystemClock.now() < deadline {
            self.wait(Some(deadline))?;
            self.copy_output();
            let _ = linux::process::drain_signals(&self.signals);
            self.reap();
        }
        Ok(())
    }
}

/// Every process of the node but this one; those that have ended and only wait to be reaped do not count.
fn others() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != 1).filter(|pid| !is_zombie(*pid)).collect()
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

fn signal(pid: u32, number: i32) {
    if let Ok(pidfd) = linux::pidfd::open(pid) {
        let _ = linux::pidfd::signal(&pidfd, number);
    }
}
