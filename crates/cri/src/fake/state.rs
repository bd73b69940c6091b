//! The fake's state: sandboxes, containers and images, and the changes that they can go through.
//!
//! ```text
//! container: Created -> Running -> Exited -> (removed)      sandbox: Ready -> NotReady -> (removed)
//! ```

use std::collections::{BTreeMap, VecDeque};

use tokio::task::AbortHandle;

use super::script::{Behaviour, Pull};
use super::{Labels, normal};
use crate::{RuntimeError, v1};

/// How many calls the trace remembers.
const TRACE_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct State {
    pub sandboxes: BTreeMap<String, v1::PodSandboxStatus>,
    pub containers: BTreeMap<String, Container>,
    /// Normalized name -> size in bytes.
    pub images: BTreeMap<String, u64>,
    pub pulls: BTreeMap<String, Pull>,
    pub behaviours: BTreeMap<String, Behaviour>,
    pub faults: BTreeMap<&'static str, VecDeque<RuntimeError>>,
    pub every_image: bool,
    pub network_down: bool,
    pub pod_cidr: String,
    pub trace: VecDeque<String>,
    ids: u64,
    addresses: u32,
}

pub(crate) struct Container {
    pub sandbox: String,
    pub status: v1::ContainerStatus,
    pub image: String,
    /// The task that ends the container by its script.
    pub end: Option<AbortHandle>,
}

impl Container {
    pub fn name(&self) -> &str {
        self.status.metadata.as_ref().map_or("", |m| &m.name)
    }

    pub fn attempt(&self) -> u32 {
        self.status.metadata.as_ref().map_or(0, |m| m.attempt)
    }

    pub fn is_running(&self) -> bool {
        self.status.state == v1::ContainerState::ContainerRunning as i32
    }

    fn disarm(&mut self) {
        if let Some(end) = self.end.take() {
            end.abort();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl State {
    /// An id that looks like a runtime's: 64 hex digits, in order of creation.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("{:064x}", self.ids)
    }

    /// The next address of the pod CIDR, which is taken for a /24 or larger.
    pub fn next_address(&mut self) -> String {
        self.addresses += 1;
        let cidr = if self.pod_cidr.is_empty() { "10.88.0.0/16" } else { &self.pod_cidr };
        let base = cidr.split('/').next().unwrap_or_default().parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST);
        std::net::Ipv4Addr::from(u32::from(base) + 1 + self.addresses).to_string()
    }

    pub fn note(&mut self, line: String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    pub fn fault(&mut self, call: &'static str) -> Result<(), RuntimeError> {
        match self.faults.get_mut(call).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|c| c.is_running())
    }

    /// The sandbox with that id, or that of the container with that id.
    pub fn sandbox_of(&self, id: &str) -> Option<&v1::PodSandboxStatus> {
        let sandbox = self.containers.get(id).map_or(id, |c| &c.sandbox);
        self.sandboxes.get(sandbox)
    }

    pub fn behaviour(&self, image: &str) -> Behaviour {
        self.behaviours.get(&normal(image)).cloned().unwrap_or_else(Behaviour::runs_forever)
    }

    /// Moves a running container to Exited; false when it was not running.
    pub fn finish(&mut self, id: &str, exit_code: i32, reason: &str, message: &str, now: i64) -> bool {
        let Some(container) = self.containers.get_mut(id).filter(|c| c.is_running()) else { return false };
        container.end = None;
        let status = &mut container.status;
        status.state = v1::ContainerState::ContainerExited as i32;
        status.exit_code = exit_code;
        reason.clone_into(&mut status.reason);
        message.clone_into(&mut status.message);
        status.finished_at = now;
        true
    }

    pub fn container(&self, id: &str) -> Result<&Container, RuntimeError> {
        self.containers.get(id).ok_or_else(|| RuntimeError::not_found(format!("container {id:?}: not found")))
    }

    pub fn image(&self, name: &str) -> Option<v1::Image> {
        let full = normal(name);
        let by_id = |(image, size): (&String, &u64)| (image_id(image) == name).then(|| (image.clone(), *size));
        let (full, size) = match self.images.get(&full) {
            Some(size) => (full, *size),
            None => self.images.iter().find_map(by_id)?,
        };
        Some(image_message(&full, size))
    }
}

pub(crate) fn image_message(full: &str, size: u64) -> v1::Image {
    v1::Image {
        id: image_id(full),
        repo_tags: if full.contains('@') { Vec::new() } else { vec![full.to_owned()] },
        repo_digests: vec![format!("{}@{}", full.split([':', '@']).next().unwrap_or(full), image_id(full))],
        size,
        ..v1::Image::default()
    }
}

/// A made-up digest that is the same for the same name.
pub(crate) fn image_id(full: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in full.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("sha256:{hash:064x}")
}

/// Whether `labels` has every pair of `selector`.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
