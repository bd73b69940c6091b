//! The runtime's heart: all sandboxes and containers, the news from their shims, and recovery after a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{RuntimeError, v1};
use linux::caps::Set;
use linux::cgroup::Layout;
use stdx::{Clock, Rng};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::client::{self, News, ShimClient, ShimCommand};
use crate::image::Store;
use crate::network::PodNetwork;
use crate::proto::{Exit, Message, PodDir, Request, read_json};
use crate::state::{Container, Life, Sandbox};

/// Events that a slow subscriber may be behind; then its stream breaks and it lists everything.
const EVENTS_MAX: usize = 1024;
/// Attempts to bring a pod's shim back at once.
const RESPAWNS_MAX: u32 = 5;
/// The exit code of a container whose end nobody saw.
const UNKNOWN: i32 = 255;

/// How the runtime is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Images, sandboxes and containers; on a file system that overlayfs can take as upper.
    pub root: PathBuf,
    /// Sockets and namespaces; on a tmpfs, empty after a reboot.
    pub run: PathBuf,
    pub shim: ShimCommand,
    /// Containers' logs are rotated at this size by the shim; 0 leaves it to the kubelet.
    pub log_bytes_max: u64,
    pub log_files_max: u32,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub container: String,
    pub sandbox: String,
    pub kind: v1::ContainerEventType,
    pub at_nanos: i64,
}

pub struct Core {
    pub config: Config,
    pub images: Arc<Store>,
    pub network: Arc<dyn PodNetwork>,
    pub clock: Arc<dyn Clock>,
    pub rng: Rng,
    pub layout: Layout,
    pub available_caps: Set,
    pub events: broadcast::Sender<Event>,
    sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    execs: Mutex<HashMap<String, oneshot::Sender<i32>>>,
    news: mpsc::Sender<News>,
}

impl Core {
    pub fn open(
        config: Config,
        network: Arc<dyn PodNetwork>,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Result<(Self, mpsc::Receiver<News>), String> {
        for dir in [
            config.root.join("sandboxes"),
            config.root.join("containers"),
            config.run.join("pods"),
            config.run.join("netns"),
        ] {
            std::fs::create_dir_all(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
        }
        let images = Store::open(&config.root.join("images")).map_err(|error| error.to_string())?;
        let layout = Layout::detect().map_err(|error| error.to_string())?;
        let (news, receiver) = mpsc::channel(client::NEWS_MAX);
        let core = Self {
            config,
            images: Arc::new(images),
            network,
            clock,
            rng,
            layout,
            available_caps: Set::available(),
            events: broadcast::Sender::new(EVENTS_MAX),
            sandboxes: Mutex::default(),
            containers: Mutex::default(),
            execs: Mutex::default(),
            news,
        };
        Ok((core, receiver))
    }

    pub fn now_nanos(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    /// 64 hex digits, as other runtimes' ids.
    pub fn new_id(&self) -> String {
        (0..4).map(|_| format!("{:016x}", self.rng.next_u64())).collect()
    }

    pub fn pod_dir(&self, sandbox: &str) -> PodDir {
        PodDir(self.config.run.join("pods").join(sandbox))
    }

    pub fn sandboxes(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Sandbox>>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn containers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Container>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By id, or by the start of one if it is the only one.
    pub fn sandbox(&self, id: &str) -> Result<Arc<Sandbox>, RuntimeError> {
        find(&self.sandboxes(), id).ok_or_else(|| RuntimeError::not_found(format!("sandbox {id:?} not found")))
    }

    pub fn container(&self, id: &str) -> Result<Arc<Container>, RuntimeError> {
        find(&self.containers(), id).ok_or_else(|| RuntimeError::not_found(format!("container {id:?} not found")))
    }

    pub fn containers_of(&self, sandbox: &str) -> Vec<Arc<Container>> {
        self.containers().values().filter(|container| container.sandbox_id == sandbox).cloned().collect()
    }

    pub fn layers_used(&self) -> BTreeSet<String> {
        self.containers().values().flat_map(|container| container.fixed.layers.clone()).collect()
    }

    pub fn tell(&self, container: &Container, kind: v1::ContainerEventType) {
        let event = Event {
            container: container.id.clone(),
            sandbox: container.sandbox_id.clone(),
            kind,
            at_nanos: self.now_nanos(),
        };
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    pub fn expect_exec(&self, exec: &str) -> oneshot::Receiver<i32> {
        let (tell, told) = oneshot::channel();
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).insert(exec.to_owned(), tell);
        told
    }

    pub fn forget_exec(&self, exec: &str) {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(exec);
    }

    /// The pod's shim, started if it is not there.
    pub async fn shim(&self, sandbox: &Sandbox) -> Result<Arc<ShimClient>, RuntimeError> {
        let mut shim = sandbox.shim.lock().await;
        if let Some(shim) = &*shim {
            return Ok(shim.clone());
        }
        if !sandbox.record().ready {
            return Err(RuntimeError::new(
                cri::Code::FailedPrecondition,
                format!("sandbox {} is not ready", sandbox.id),
            ));
        }
        let started = self.start_shim(sandbox).await.map_err(RuntimeError::internal)?;
        *shim = Some(started.clone());
        Ok(started)
    }

    /// Starts a shim and waits until it has taken over what runs.
    pub async fn start_shim(&self, sandbox: &Sandbox) -> Result<Arc<ShimClient>, String> {
        let (command, id, dir) = (self.config.shim.clone(), sandbox.id.clone(), sandbox.pod.clone());
        tokio::task::spawn_blocking(move || client::spawn(&command, &id, &dir))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("start shim: {error}"))?;
        self.connect_shim(sandbox).await
    }

    async fn connect_shim(&self, sandbox: &Sandbox) -> Result<Arc<ShimClient>, String> {
        let client = ShimClient::connect(&sandbox.id, &sandbox.pod.socket(), self.news.clone());
        let client = client.map_err(|error| format!("connect to shim: {error}"))?;
        client.tell(Request::Hello).await.map_err(|error| {
            let log = std::fs::read_to_string(sandbox.pod.log()).unwrap_or_default();
            format!("shim: {error}: {}", log.lines().last().unwrap_or_default())
        })?;
        Ok(Arc::new(client))
    }

    /// Learns from the files what happened while no shim or no runtime was there to tell.
    fn catch_up(&self, container: &Container) {
        if matches!(container.life(), Life::Exited { .. }) {
            return;
        }
        if let Ok(Some(exit)) = read_json::<Exit>(&container.run.exit()) {
            self.ended(container, exit);
        } else if container.run.process().exists() {
            container.started(self.now_nanos());
            container.hold_stdin();
        }
    }

    fn ended(&self, container: &Container, exit: Exit) {
        if container.ended(exit) {
            *container.terminal.lock().unwrap_or_else(PoisonError::into_inner) = None;
            *container.stdin.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.tell(container, v1::ContainerEventType::ContainerStoppedEvent);
        }
    }

    /// Handles what shims tell until the runtime is dropped.
    pub async fn listen(self: Arc<Self>, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::Message(Message::Exited { container, exit }) => {
                    let Ok(container) = self.container(&container) else { continue };
                    let _started = container.starting.lock().await;
                    self.ended(&container, exit);
                }
                News::Message(Message::ExecExited { exec, code }) => {
                    let told = self.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(&exec);
                    if let Some(tell) = told {
                        let _ = tell.send(code);
                    }
                }
                News::Message(Message::Answer { .. }) => {}
                News::Gone { sandbox } => self.shim_gone(&sandbox).await,
            }
        }
    }

    async fn shim_gone(&self, id: &str) {
        let Ok(sandbox) = self.sandbox(id) else { return };
        let mut shim = sandbox.shim.lock().await;
        *shim = None;
        // Nobody will tell how its execs end: their waiters see the channel close. Those of other pods wait on.
        let prefix = format!("{id}/");
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).retain(|exec, _| !exec.starts_with(&prefix));
        if !sandbox.record().ready {
            return;
        }
        for attempt in 0..RESPAWNS_MAX {
            match self.start_shim(&sandbox).await {
                Ok(client) => {
                    tracing::info!(sandbox = id, "the shim was gone and is back");
                    self.restore(&sandbox, &client).await;
                    *shim = Some(client);
                    return;
                }
                Err(error) => tracing::warn!(sandbox = id, %error, "cannot bring the shim back"),
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
        }
    }

    async fn restore(&self, sandbox: &Sandbox, client: &ShimClient) {
        use std::os::fd::AsFd;
        for container in self.containers_of(&sandbox.id) {
            self.catch_up(&container);
            let terminal = container.terminal.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(terminal) = terminal {
                let request = Request::RestoreTerminal { container: container.id.clone() };
                if let Err(error) = client.call(request, &[terminal.as_fd()]).await {
                    tracing::warn!(container = container.id, %error, "cannot restore the terminal");
                }
            }
        }
    }

    /// Loads all that an earlier runtime left and reconnects its shims. No container is disturbed.
    pub async fn recover(&self) -> Result<(), String> {
        for dir in children(&self.config.root.join("sandboxes")) {
            let pod = self.pod_dir(&name_of(&dir));
            match Sandbox::load(&dir, pod) {
                Ok(Some(sandbox)) => drop(self.sandboxes().insert(sandbox.id.clone(), Arc::new(sandbox))),
                Ok(None) => crate::sandbox::clear_leftover(&dir, &self.pod_dir(&name_of(&dir))),
                Err(error) => return Err(format!("read {}: {error}", dir.display())),
            }
        }
        for dir in children(&self.config.root.join("containers")) {
            match Container::load(&dir, |sandbox| self.pod_dir(sandbox)) {
                Ok(Some(container)) if self.sandbox(&container.sandbox_id).is_ok() => {
                    self.containers().insert(container.id.clone(), Arc::new(container));
                }
                Ok(_) => drop(std::fs::remove_dir_all(&dir)),
                Err(error) => return Err(format!("read {}: {error}", dir.display())),
            }
        }
        let sandboxes: Vec<_> = self.sandboxes().values().cloned().collect();
        futures::future::join_all(sandboxes.iter().map(|sandbox| self.recover_sandbox(sandbox))).await;
        let layers_used = self.layers_used();
        self.images.collect(&layers_used).map_err(|error| error.to_string())
    }

    async fn recover_sandbox(&self, sandbox: &Sandbox) {
        let mut shim = sandbox.shim.lock().await;
        if sandbox.record().ready && sandbox.pod.pod_file().exists() {
            let mut client = self.connect_shim(sandbox).await;
            if client.is_err() {
                client = self.start_shim(sandbox).await;
            }
            match client {
                Ok(client) => {
                    *shim = Some(client);
                    self.containers_of(&sandbox.id).iter().for_each(|container| self.catch_up(container));
                    return;
                }
                Err(error) => tracing::warn!(sandbox = sandbox.id, %error, "cannot reach or start the pod's shim"),
            }
        }
        // The machine was started anew: nothing of the pod is left but its record.
        let _ = sandbox.update(|record| record.ready = false);
        for container in self.containers_of(&sandbox.id) {
            self.catch_up(&container);
            if container.is_running() {
                // After a restart of the machine there is nothing to kill; else nothing may run that nobody watches.
                if let Err(error) = self.layout.group(&container.fixed.cgroup).kill() {
                    tracing::debug!(container = container.id, %error, "nothing to kill");
                }
                let finished_at_nanos = self.now_nanos();
                self.ended(&container, Exit { code: UNKNOWN, finished_at_nanos, oom_killed: false, start_error: None });
            }
        }
    }
}

fn find<T>(all: &BTreeMap<String, Arc<T>>, id: &str) -> Option<Arc<T>> {
    if let Some(found) = all.get(id) {
        return Some(found.clone());
    }
    let mut matching = all.range(id.to_owned()..).take_while(|(key, _)| !id.is_empty() && key.starts_with(id));
    match (matching.next(), matching.next()) {
        (Some((_, found)), None) => Some(found.clone()),
        _ => None,
    }
}

fn children(dir: &std::path::Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
