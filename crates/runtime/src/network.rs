//! The pod network as the runtime sees it: something that puts interfaces into a network namespace and tells the
//! addresses. The room `net` implements it; [`Loopback`] serves tests and pods that need no network.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cri::v1;

/// A pod that gets a network.
#[derive(Clone, Debug)]
pub struct PodNet {
    pub netns: PathBuf,
    pub sandbox_id: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub annotations: std::collections::BTreeMap<String, String>,
    pub port_mappings: Vec<v1::PortMapping>,
}

/// Both calls may be repeated. Errors are texts for the pod's events, as a CNI plugin's would be.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// The pod's addresses, the first one being its podIP.
    async fn setup(&self, pod: &PodNet) -> Result<Vec<String>, String>;
    async fn teardown(&self, pod: &PodNet) -> Result<(), String>;
    /// `Err` says why no pod can have a network yet.
    async fn ready(&self) -> Result<(), String>;
    /// The node's pod range, once the control plane has assigned it. Comma separated for dual stack.
    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), String>;
}

/// Only `lo`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loopback;

#[async_trait]
impl PodNetwork for Loopback {
    async fn setup(&self, pod: &PodNet) -> Result<Vec<String>, String> {
        let netns: &Path = &pod.netns;
        let up = linux::netns::run_in(netns, linux::netns::loopback_up).and_then(|done| done);
        up.map(|()| vec!["127.0.0.1".to_owned()]).map_err(|error| error.to_string())
    }

    async fn teardown(&self, _pod: &PodNet) -> Result<(), String> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn set_pod_cidr(&self, _cidr: &str) -> Result<(), String> {
        Ok(())
    }
}
