//! What the runtime knows of sandboxes and containers, in memory and on disk.
//!
//! ```text
//!  sandbox:   (made) -> ready -> not ready -> (removed)
//!  container: created -> running -> exited -> (removed)
//! ```
//! The configuration (`config.pb`, CRI's own message) never changes after creation; the rest is a small record, written
//! whole and renamed at each change. Only forward steps are made.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cri::v1;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::client::ShimClient;
use crate::compile::PodFiles;
use crate::proto::{ContainerDir, Exit, PodDir, read_json, write_file, write_json};

#[derive(Debug)]
pub struct Sandbox {
    pub id: String,
    pub config: v1::PodSandboxConfig,
    pub dir: PathBuf,
    pub pod: PodDir,
    pub record: Mutex<SandboxRecord>,
    /// Empty while there is no shim. Held while one is started, so that callers wait for it.
    pub shim: tokio::sync::Mutex<Option<Arc<ShimClient>>>,
    /// One call that changes the sandbox at a time.
    pub lifecycle: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SandboxRecord {
    pub created_at_nanos: i64,
    pub ready: bool,
    pub ips: Vec<String>,
    /// Whether the network must be taken down.
    pub networked: bool,
}

#[derive(Debug)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    pub config: v1::ContainerConfig,
    pub dir: PathBuf,
    pub run: ContainerDir,
    pub fixed: ContainerRecord,
    pub life: watch::Sender<Life>,
    pub lifecycle: tokio::sync::Mutex<()>,
    /// Held while it is started: the news of its end waits until its start is on record.
    pub starting: tokio::sync::Mutex<()>,
    /// Its terminal's master, kept so that it outlives the shim.
    pub terminal: Mutex<Option<Arc<std::os::fd::OwnedFd>>>,
    /// A writing end of its input, so that the death of its shim is not the end of its input.
    pub stdin: Mutex<Option<std::os::fd::OwnedFd>>,
    /// The last sample of processor time: (time, used), both in nanoseconds.
    pub cpu_sample: Mutex<Option<(i64, u64)>>,
}

/// What is settled at creation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub sandbox_id: String,
    pub created_at_nanos: i64,
    pub image_id: String,
    /// The image's name for people: what the user wrote if the image has that tag, else its first tag.
    pub image_name: String,
    pub image_ref: String,
    pub layers: Vec<String>,
    pub stop_signal: i32,
    pub cgroup: String,
    pub log_path: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    #[default]
    Created,
    Running {
        started_at_nanos: i64,
    },
    Exited {
        started_at_nanos: i64,
        exit: Exit,
    },
}

impl Sandbox {
    pub fn files(&self) -> PodFiles {
        let options = crate::compile::pod_namespace_options(&self.config);
        let node = v1::NamespaceMode::Node as i32;
        let own = |mode: i32, path: PathBuf| (mode != node).then_some(path);
        let namespaces = self.pod.0.join("ns");
        PodFiles {
            hostname: self.dir.join("hostname"),
            resolv_conf: self.dir.join("resolv.conf"),
            hosts: self.dir.join("hosts"),
            shm: own(options.ipc, self.pod.0.join("shm")).unwrap_or_else(|| PathBuf::from("/dev/shm")),
            net: own(options.network, self.netns()),
            ipc: own(options.ipc, namespaces.join("ipc")),
            // A pod in the node's network also has its name, as upstream.
            uts: own(options.network, namespaces.join("uts")),
        }
    }

    /// `<run>/netns/<id>`, beside `<run>/pods/<id>`.
    pub fn netns(&self) -> PathBuf {
        let run = self.pod.0.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        run.join("netns").join(&self.id)
    }

    pub fn record(&self) -> SandboxRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut SandboxRecord)) -> std::io::Result<()> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut record);
        write_json(&self.dir.join("state.json"), &*record)
    }

    pub fn save_config(&self) -> std::io::Result<()> {
        write_file(&self.dir.join("config.pb"), &self.config.encode_to_vec())
    }

    /// `None` when its making was cut short.
    pub fn load(dir: &Path, pod: PodDir) -> std::io::Result<Option<Self>> {
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(record) = read_json(&dir.join("state.json"))? else { return Ok(None) };
        let config = v1::PodSandboxConfig::decode(std::fs::read(dir.join("config.pb"))?.as_slice())?;
        Ok(Some(Self::new(id, config, dir.to_owned(), pod, record)))
    }

    pub fn new(id: String, config: v1::PodSandboxConfig, dir: PathBuf, pod: PodDir, record: SandboxRecord) -> Self {
        Self {
            id,
            config,
            dir,
            pod,
            record: Mutex::new(record),
            shim: tokio::sync::Mutex::default(),
            lifecycle: tokio::sync::Mutex::default(),
        }
    }
}

impl Container {
    pub fn new(
        id: String,
        config: v1::ContainerConfig,
        dir: PathBuf,
        run: ContainerDir,
        fixed: ContainerRecord,
        life: Life,
    ) -> Self {
        Self {
            id,
            sandbox_id: fixed.sandbox_id.clone(),
            config,
            dir,
            run,
            fixed,
            life: watch::Sender::new(life),
            lifecycle: tokio::sync::Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            terminal: Mutex::default(),
            stdin: Mutex::default(),
            cpu_sample: Mutex::default(),
        }
    }

    pub fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    pub fn is_running(&self) -> bool {
        matches!(*self.life.borrow(), Life::Running { .. })
    }

    /// Keeps its input open while it runs, unless it was closed for good.
    pub fn hold_stdin(&self) {
        use rustix::fs::{Mode, OFlags};
        if !self.config.stdin || self.config.tty || !self.is_running() || self.run.stdin_closed().exists() {
            return;
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let held = rustix::fs::open(self.run.stream("stdin"), flags, Mode::empty()).ok();
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Lets its input end, once the shim lets go of it too.
    pub fn close_stdin(&self) {
        if let Err(error) = std::fs::write(self.run.stdin_closed(), []) {
            tracing::warn!(container = self.id, %error, "cannot record the end of its input");
        }
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records that it runs, unless it has ended already.
    pub fn started(&self, now_nanos: i64) {
        self.change(|life| match life {
            Life::Created => Some(Life::Running { started_at_nanos: now_nanos }),
            Life::Running { .. } | Life::Exited { .. } => None,
        });
    }

    /// `false` if its end was known.
    pub fn ended(&self, exit: Exit) -> bool {
        self.change(|life| match life {
            Life::Created => Some(Life::Exited { started_at_nanos: 0, exit }),
            Life::Running { started_at_nanos } => Some(Life::Exited { started_at_nanos: *started_at_nanos, exit }),
            Life::Exited { .. } => None,
        })
    }

    fn change(&self, next: impl FnOnce(&Life) -> Option<Life>) -> bool {
        let changed = self.life.send_if_modified(|life| match next(life) {
            Some(new) => {
                *life = new;
                true
            }
            None => false,
        });
        if changed && let Err(error) = write_json(&self.dir.join("life.json"), &self.life()) {
            tracing::warn!(container = self.id, %error, "cannot record the container's state");
        }
        changed
    }

    pub fn save(&self) -> std::io::Result<()> {
        write_file(&self.dir.join("config.pb"), &self.config.encode_to_vec())?;
        write_json(&self.dir.join("life.json"), &self.life())?;
        write_json(&self.dir.join("record.json"), &self.fixed)
    }

    /// `None` when its making was cut short. `pod` tells the pod's run directory.
    pub fn load(dir: &Path, pod: impl FnOnce(&str) -> PodDir) -> std::io::Result<Option<Self>> {
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(fixed) = read_json::<ContainerRecord>(&dir.join("record.json"))? else { return Ok(None) };
        let config = v1::ContainerConfig::decode(std::fs::read(dir.join("config.pb"))?.as_slice())?;
        let life = read_json(&dir.join("life.json"))?.unwrap_or_default();
        let run = pod(&fixed.sandbox_id).container(&id);
        Ok(Some(Self::new(id, config, dir.to_owned(), run, fixed, life)))
    }
}
