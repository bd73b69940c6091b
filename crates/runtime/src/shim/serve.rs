//! The shim's loop: one poll over its socket, its clients, its children and their output.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::cgroup::Layout;
use linux::namespace::{self, Kinds};
use linux::pidfd;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::child;
use super::container::{Asked, Container, Life, failed, open_streams, read_spec};
use super::enter;
use super::stdio::{self, Stream};
use crate::proto::{Answer, Call, ContainerDir, Exit, Message, PodDir, PodFile, ProcessFile, Request, write_json};
use crate::socket;
use crate::spec::{PidNamespace, Process};

/// Clients at a time: the runtime, and one that takes over from it.
const CLIENTS_MAX: usize = 8;
const EXECS_MAX: usize = 256;
/// The exit code of a process whose end nobody saw.
const UNKNOWN: i32 = 255;
/// As containerd reports what could not be started.
const START_FAILED: i32 = 128;

pub struct Shim {
    id: String,
    dir: PodDir,
    pod: PodFile,
    listener: OwnedFd,
    signals: OwnedFd,
    own_pid_namespace: std::fs::File,
    layout: Layout,
    clients: BTreeMap<u64, OwnedFd>,
    containers: BTreeMap<String, Container>,
    execs: BTreeMap<String, Exec>,
    next_client: u64,
    quit: bool,
}

struct Exec {
    pid: u32,
    pidfd: OwnedFd,
    starting: Option<(OwnedFd, Asked, Option<String>, Option<OwnedFd>)>,
}

enum Ready {
    Listener,
    Signals,
    Client(u64),
    Report(String),
    ExecReport(String),
    Output(String, usize),
    Adopted(String, PollFlags),
}

impl Shim {
    pub fn new(id: String, dir: PodDir, pod: PodFile, listener: OwnedFd) -> Result<Self, String> {
        let signals = linux::process::signal_fd(&[libc::SIGCHLD]).map_err(|error| error.to_string())?;
        let own_pid_namespace = std::fs::File::open("/proc/self/ns/pid").map_err(|error| error.to_string())?;
        let layout = Layout::detect().map_err(|error| error.to_string())?;
        let mut shim = Self {
            id,
            dir,
            pod,
            listener,
            signals,
            own_pid_namespace,
            layout,
            clients: BTreeMap::new(),
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            next_client: 0,
            quit: false,
        };
        shim.adopt();
        Ok(shim)
    }

    pub fn serve(mut self) -> Result<(), String> {
        let mut buffer = vec![0u8; socket::MESSAGE_MAX];
        while !self.quit {
            for ready in self.wait()? {
                match ready {
                    Ready::Listener => self.accept(),
                    Ready::Signals => self.reap(&mut buffer),
                    Ready::Client(client) => self.hear(client, &mut buffer),
                    Ready::Report(id) => self.report(&id, &mut buffer),
                    Ready::ExecReport(id) => self.exec_report(&id, &mut buffer),
                    Ready::Output(id, at) => self.output(&id, at, &mut buffer),
                    Ready::Adopted(id, flags) => self.adopted_ended(&id, flags, &mut buffer),
                }
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<Vec<Ready>, String> {
        let mut what = vec![Ready::Signals, Ready::Listener];
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
        ];
        // What is still to be learned of an adopted process comes without an event on old kernels.
        let mut again_soon = false;
        for (id, client) in &self.clients {
            what.push(Ready::Client(*id));
            fds.push(PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN));
        }
        for (id, container) in &self.containers {
            match &container.life {
                Life::Starting { report, .. } => {
                    what.push(Ready::Report(id.clone()));
                    fds.push(PollFd::from_borrowed_fd(report.as_fd(), PollFlags::IN));
                }
                Life::Adopted { seen } => {
                    again_soon |= *seen;
                    what.push(Ready::Adopted(id.clone(), PollFlags::empty()));
                    let wanted = if *seen { PollFlags::empty() } else { PollFlags::IN };
                    fds.push(PollFd::from_borrowed_fd(container.pidfd.as_fd(), wanted));
                }
                Life::Running | Life::Ended => {}
            }
            for (at, stream) in container.streams.iter().enumerate() {
                what.push(Ready::Output(id.clone(), at));
                fds.push(PollFd::from_borrowed_fd(stream.fd.as_fd(), PollFlags::IN));
            }
        }
        for (id, exec) in &self.execs {
            if let Some((report, ..)) = &exec.starting {
                what.push(Ready::ExecReport(id.clone()));
                fds.push(PollFd::from_borrowed_fd(report.as_fd(), PollFlags::IN));
            }
        }
        let soon = rustix::event::Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        match rustix::event::poll(&mut fds, again_soon.then_some(&soon)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        let ready = what.into_iter().zip(&fds).filter_map(|(what, fd)| match (what, fd.revents()) {
            (Ready::Adopted(id, _), flags) if !flags.is_empty() || again_soon => Some(Ready::Adopted(id, flags)),
            (what, flags) => (!flags.is_empty()).then_some(what),
        });
        // Output goes last index first, so that dropping an ended stream leaves the other indices right.
        let mut ready: Vec<Ready> = ready.collect();
        ready.reverse();
        Ok(ready)
    }

    fn accept(&mut self) {
        let Ok(client) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) else { return };
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.pop_first();
        }
        self.next_client += 1;
        self.clients.insert(self.next_client, client);
    }

    fn hear(&mut self, client: u64, buffer: &mut [u8]) {
        let Some(socket) = self.clients.get(&client) else { return };
        let (len, fds) = match socket::receive(socket, buffer, RecvFlags::DONTWAIT) {
            Ok(Some(got)) => got,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(None) | Err(_) => {
                self.clients.remove(&client);
                return;
            }
        };
        match serde_json::from_slice::<Call>(&buffer[..len]) {
            Ok(call) => {
                let asked = Asked { client, id: call.id };
                if let Some((answer, fd)) = self.carry_out(call.request, fds, asked) {
                    self.answer(asked, answer, fd.as_ref().map(AsFd::as_fd));
                }
            }
            Err(error) => {
                eprintln!("shim {}: bad message: {error}", self.id);
                self.clients.remove(&client);
            }
        }
    }

    /// `None` when the answer comes later.
    fn carry_out(&mut self, request: Request, fds: Vec<OwnedFd>, asked: Asked) -> Option<(Answer, Option<OwnedFd>)> {
        let done = match request {
            Request::Start { container } => match self.start(&container, asked) {
                Ok(()) => return None,
                Err(message) => {
                    self.never_ran(&container, &message);
                    (Answer::Failed { message }, None)
                }
            },
            Request::Exec { exec, container, process, tty } => {
                match self.exec(exec, &container, &process, tty, fds, asked) {
                    Ok(true) => return None,
                    Ok(false) => (Answer::NotFound, None),
                    Err(message) => (Answer::Failed { message }, None),
                }
            }
            Request::Hello => (Answer::Done, None),
            Request::Quit => {
                self.quit = true;
                (Answer::Done, None)
            }
            Request::SignalExec { exec, signal } => match self.execs.get(&exec) {
                Some(exec) => (pidfd::signal(&exec.pidfd, signal).map_or_else(failed, |_| Answer::Done), None),
                None => (Answer::NotFound, None),
            },
            Request::Attach { container }
            | Request::CloseStdin { container }
            | Request::Terminal { container }
            | Request::RestoreTerminal { container }
            | Request::ReopenLog { container }
            | Request::Signal { container, .. }
            | Request::Forget { container }
                if !self.containers.contains_key(&container) =>
            {
                (Answer::NotFound, None)
            }
            Request::Forget { container } => {
                self.containers.remove(&container);
                (Answer::Done, None)
            }
            Request::Attach { ref container }
            | Request::CloseStdin { ref container }
            | Request::Terminal { ref container }
            | Request::RestoreTerminal { ref container }
            | Request::ReopenLog { ref container }
            | Request::Signal { ref container, .. } => {
                let container = self.containers.get_mut(container)?;
                container.carry_out(&request, fds)
            }
        };
        Some(done)
    }

    fn answer(&mut self, asked: Asked, answer: Answer, fd: Option<BorrowedFd<'_>>) {
        self.tell(Some(asked.client), &Message::Answer { id: asked.id, answer }, fd);
    }

    /// To one client or to all. One that does not listen is let go: it asks for everything when it comes back.
    fn tell(&mut self, to: Option<u64>, message: &Message, fd: Option<BorrowedFd<'_>>) {
        let Ok(bytes) = serde_json::to_vec(message) else { return };
        let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
        self.clients.retain(|id, client| {
            to.is_some_and(|to| to != *id) || socket::send(client, &bytes, &fds, SendFlags::DONTWAIT).is_ok()
        });
    }

    fn start(&mut self, id: &str, asked: Asked) -> Result<(), String> {
        if self.containers.contains_key(id) {
            return Err("container was started before".to_owned());
        }
        let dir = self.dir.container(id);
        let spec = read_spec(&dir)?;
        let (streams, stdin, log) = open_streams(&spec, &dir, &self.pod)?;
        let (report, child_report) = socket::pair().map_err(|error| format!("socketpair: {error}"))?;
        let cgroup = self.layout.group(&spec.cgroup);
        let fork = |kinds| {
            namespace::clone_into_new(kinds, || {
                let message = child::run_container(&spec, &dir, &cgroup, &child_report);
                let _ = socket::send(&child_report, message.as_bytes(), &[], SendFlags::empty());
                127
            })
        };
        let forked = match &spec.namespaces.pid {
            PidNamespace::Own => fork(Kinds::PID),
            PidNamespace::Host => fork(Kinds::NONE),
            PidNamespace::Pod => {
                let (init, _) = enter::live(&self.dir.init_file()).ok_or("the pod's init is gone")?;
                enter::with_pid_namespace(&self.own_pid_namespace, init.pid, || fork(Kinds::NONE))
            }
            PidNamespace::Container(target) => {
                let target = self.containers.get(target).ok_or_else(|| format!("container {target} is not running"))?;
                enter::with_pid_namespace(&self.own_pid_namespace, target.pid, || fork(Kinds::NONE))
            }
        };
        let forked = forked.map_err(|error| error.to_string())?;
        let file = ProcessFile {
            pid: forked.pid,
            start_ticks: linux::process::start_ticks(forked.pid).unwrap_or_default(),
            started_at_nanos: stdio::now_nanos(),
        };
        write_json(&dir.process(), &file).map_err(|error| format!("write process file: {error}"))?;
        let life = Life::Starting { report, asked, error: None };
        let container =
            Container { dir, spec, pid: forked.pid, pidfd: forked.pidfd, life, streams, log, stdin, master: None };
        self.containers.insert(id.to_owned(), container);
        Ok(())
    }

    /// The child says something, or its end of the socket closed: it runs, or it has said why not.
    fn report(&mut self, id: &str, buffer: &mut [u8]) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Life::Starting { report, asked, error } = &mut container.life else { return };
        let asked = *asked;
        match socket::receive(&*report, buffer, RecvFlags::DONTWAIT) {
            Ok(Some((len, mut fds))) if &buffer[..len] == child::TERMINAL => {
                container.master = fds.pop();
                let copy = container.master.as_ref().and_then(|master| master.try_clone().ok());
                container.streams.extend(copy.and_then(|master| Stream::new("stdout", master).ok()));
            }
            Ok(Some((len, _))) => *error = Some(String::from_utf8_lossy(&buffer[..len]).into_owned()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(None) | Err(_) => {
                let failed = error.take();
                let (pid, master) = (container.pid, container.master.as_ref().and_then(|m| m.try_clone().ok()));
                container.life = Life::Running;
                match failed {
                    None => {
                        self.answer(asked, Answer::Started { pid }, master.as_ref().map(AsFd::as_fd));
                        // From here on the pod mostly idles.
                        linux::process::drop_program_pages();
                    }
                    Some(message) => {
                        container.life = Life::Ended;
                        container.streams.clear();
                        self.never_ran(id, &message);
                        self.answer(asked, Answer::Failed { message }, None);
                    }
                }
            }
        }
    }

    fn never_ran(&mut self, id: &str, message: &str) {
        let exit = Exit {
            code: START_FAILED,
            finished_at_nanos: stdio::now_nanos(),
            oom_killed: false,
            start_error: Some(message.to_owned()),
        };
        self.write_exit(&self.dir.container(id), &exit);
    }

    fn write_exit(&self, dir: &ContainerDir, exit: &Exit) {
        if let Err(error) = write_json(&dir.exit(), exit) {
            eprintln!("shim {}: write {}: {error}", self.id, dir.exit().display());
        }
    }

    fn exec(
        &mut self,
        exec: String,
        container: &str,
        process: &Process,
        tty: bool,
        fds: Vec<OwnedFd>,
        asked: Asked,
    ) -> Result<bool, String> {
        let Some(container) = self.containers.get(container).filter(|c| !matches!(c.life, Life::Ended)) else {
            return Ok(false);
        };
        if self.execs.len() >= EXECS_MAX {
            return Err(format!("{EXECS_MAX} processes are being run in this pod already"));
        }
        let mut stdio = match (tty, <[OwnedFd; 3]>::try_from(fds)) {
            (true, _) => None,
            (false, Ok(fds)) => Some(fds),
            (false, Err(_)) => return Err("exec needs three descriptors".to_owned()),
        };
        let (report, child_report) = socket::pair().map_err(|error| format!("socketpair: {error}"))?;
        let cgroup = self.layout.group(&container.spec.cgroup);
        let init = &container.pidfd;
        let mut fork = || {
            namespace::clone_into_new(Kinds::NONE, || {
                let message = child::run_exec(process, init, &cgroup, stdio.take(), &child_report);
                let _ = socket::send(&child_report, message.as_bytes(), &[], SendFlags::empty());
                127
            })
        };
        let forked = match container.spec.namespaces.pid {
            PidNamespace::Host => fork(),
            PidNamespace::Own | PidNamespace::Pod | PidNamespace::Container(_) => {
                enter::with_pid_namespace(&self.own_pid_namespace, container.pid, fork)
            }
        };
        let forked = forked.map_err(|error| error.to_string())?;
        let starting = Some((report, asked, None, None));
        self.execs.insert(exec, Exec { pid: forked.pid, pidfd: forked.pidfd, starting });
        Ok(true)
    }

    fn exec_report(&mut self, id: &str, buffer: &mut [u8]) {
        let Some(exec) = self.execs.get_mut(id) else { return };
        let Some((report, asked, error, master)) = &mut exec.starting else { return };
        let asked = *asked;
        match socket::receive(&*report, buffer, RecvFlags::DONTWAIT) {
            Ok(Some((len, mut fds))) if &buffer[..len] == child::TERMINAL => *master = fds.pop(),
            Ok(Some((len, _))) => *error = Some(String::from_utf8_lossy(&buffer[..len]).into_owned()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(None) | Err(_) => {
                let (error, master, pid) = (error.take(), master.take(), exec.pid);
                exec.starting = None;
                match error {
                    None => self.answer(asked, Answer::Started { pid }, master.as_ref().map(AsFd::as_fd)),
                    Some(message) => {
                        self.execs.remove(id);
                        self.answer(asked, Answer::Failed { message }, None);
                    }
                }
            }
        }
    }

    fn output(&mut self, id: &str, at: usize, buffer: &mut [u8]) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(stream) = container.streams.get_mut(at) else { return };
        if !stream.pump(&mut container.log, buffer) {
            container.streams.remove(at).finish(&mut container.log, buffer);
        }
    }

    fn reap(&mut self, buffer: &mut [u8]) {
        linux::process::drain_signals(&self.signals);
        while let Some((pid, exit)) = linux::process::reap() {
            // A program may end so soon that its report of having started is not read yet: that comes first.
            let container = self.containers.iter().find(|(_, c)| c.pid == pid).map(|(id, _)| id.clone());
            if let Some(id) = container {
                while matches!(self.containers.get(&id).map(|c| &c.life), Some(Life::Starting { .. })) {
                    self.report(&id, buffer);
                }
                self.ended(&id, exit.code(), buffer);
                continue;
            }
            let exec = self.execs.iter().find(|(_, exec)| exec.pid == pid).map(|(id, _)| id.clone());
            if let Some(id) = exec {
                while self.execs.get(&id).is_some_and(|exec| exec.starting.is_some()) {
                    self.exec_report(&id, buffer);
                }
                if self.execs.remove(&id).is_some() {
                    self.tell(None, &Message::ExecExited { exec: id, code: exit.code() }, None);
                }
            }
        }
    }

    fn adopted_ended(&mut self, id: &str, flags: PollFlags, buffer: &mut [u8]) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Life::Adopted { seen } = &mut container.life else { return };
        match pidfd::exit_of_any(&container.pidfd) {
            Some(exit) => self.ended(id, exit.code(), buffer),
            // Reaped, and yet no word of how it ended: a kernel before 6.15.
            None if flags.contains(PollFlags::HUP) || linux::process::start_ticks(container.pid).is_none() => {
                self.ended(id, UNKNOWN, buffer);
            }
            None => *seen |= flags.contains(PollFlags::IN),
        }
    }

    fn ended(&mut self, id: &str, code: i32, buffer: &mut [u8]) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if matches!(container.life, Life::Ended) {
            return;
        }
        container.life = Life::Ended;
        let cgroup = self.layout.group(&container.spec.cgroup);
        if container.spec.namespaces.pid != PidNamespace::Own {
            // With its own PID namespace, what else ran in the container has ended with it. Otherwise see to it.
            let _ = cgroup.kill();
        }
        for stream in container.streams.drain(..) {
            stream.finish(&mut container.log, buffer);
        }
        (container.stdin, container.master, container.log) = (None, None, None);
        let exit =
            Exit { code, finished_at_nanos: stdio::now_nanos(), oom_killed: cgroup.oom_kills() > 0, start_error: None };
        let dir = container.dir.clone();
        self.write_exit(&dir, &exit);
        self.tell(None, &Message::Exited { container: id.to_owned(), exit }, None);
    }

    /// Takes over what an earlier shim left: containers with a process file and no exit file.
    fn adopt(&mut self) {
        let entries = std::fs::read_dir(self.dir.containers()).into_iter().flatten().flatten();
        let ids: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        for id in ids {
            let dir = self.dir.container(&id);
            if dir.exit().exists() || !dir.process().exists() {
                continue;
            }
            let opened = read_spec(&dir).and_then(|spec| open_streams(&spec, &dir, &self.pod).map(|s| (spec, s)));
            match (enter::live(&dir.process()), opened) {
                (Some((file, pidfd)), Ok((spec, (streams, stdin, log)))) => {
                    let life = Life::Adopted { seen: false };
                    let container =
                        Container { dir, spec, pid: file.pid, pidfd, life, streams, log, stdin, master: None };
                    self.containers.insert(id, container);
                }
                (_, opened) => {
                    // It ended while no shim was there to see: what it said last is still in its FIFOs.
                    let mut oom_killed = false;
                    if let Ok((spec, (streams, _, mut log))) = opened {
                        let mut buffer = vec![0u8; 16 * 1024];
                        streams.into_iter().for_each(|stream| stream.finish(&mut log, &mut buffer));
                        oom_killed = self.layout.group(&spec.cgroup).oom_kills() > 0;
                    }
                    let now = stdio::now_nanos();
                    let exit = Exit { code: UNKNOWN, finished_at_nanos: now, oom_killed, start_error: None };
                    self.write_exit(&dir, &exit);
                }
            }
        }
    }
}
