//! The kubelet: makes the pods of one node run, and tells how they are.
//!
//! ```text
//! API server, manifests --> pods (one worker a pod) --> plan(pod, observed, now) --> steps --> CRI --> runtime
//!                                  ^                                                              |
//!                                  +--- events, probes, references, timers <----------------------+
//! ```
//! It reaches containers by CRI only, cgroups, mounts and the machine by the seams of [`config`]. What is decided is
//! pure ([`plan`], [`status`], [`env`], [`qos`], [`security`], [`dns`], [`create`]); workers do it. It remembers nothing
//! on disk but volumes: a restarted kubelet learns its pods from the API and from the runtime's labels.

pub mod admission;
pub mod config;
pub mod crash;
pub mod create;
pub mod dns;
pub mod env;
mod gc;
mod hook;
mod inotify;
pub mod logs;
pub mod machine;
pub mod manifests;
mod mirror;
mod node;
pub mod observed;
pub mod plan;
pub mod pod;
mod pods;
pub mod probe;
pub mod qos;
mod references;
pub mod security;
mod server;
mod shared;
pub mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod volumes;
mod worker;

use std::sync::Arc;

use api::typed::{Node, Pod, Service, Typed};
use client::follow::Follow;
use client::hub::Selection;
use client::{Client, Env, Recorder};
use tokio::sync::watch;

pub use config::{Config, Deps};
use pod::PodRef;
use references::References;
pub use server::Server;
use shared::Shared;

/// A kubelet that runs. Dropping its future stops it; the containers of its pods run on.
pub struct Kubelet {
    shared: Arc<Shared>,
    pods: Follow,
    node: Arc<Follow>,
    running: watch::Receiver<Vec<PodRef>>,
    told: watch::Sender<Vec<PodRef>>,
}

impl Kubelet {
    /// Reads the machine and begins to follow the API. Must be called inside a tokio runtime.
    pub fn new(config: Config, deps: Deps) -> std::io::Result<Self> {
        std::fs::create_dir_all(config.root.join("pods"))?;
        let client = Client::new(Arc::clone(&deps.transport), "kubelet");
        let env = Env { clock: Arc::clone(&deps.clock), rng: deps.rng.clone() };
        let recorder = Recorder::start(client.clone(), "kubelet", &config.node_name, env.clone());
        let machine = deps.machine.facts()?;
        let gauges = deps.machine.gauges(&config.root)?;
        let allocatable_millis = node::status::allocatable(&config, &machine, &gauges);
        let node_name = config.node_name.clone();
        let shared = Arc::new(Shared {
            references: References::new(client.clone(), env.clone()),
            services: Follow::start(client.clone(), Service::GVR, Selection::default(), env.clone()),
            config,
            deps,
            recorder,
            machine,
            allocatable_millis,
            client: client.clone(),
        });
        let of = |field: &str| Selection { fields: format!("{field}={node_name}"), ..Selection::default() };
        let pods = Follow::start(client.clone(), Pod::GVR, of("spec.nodeName"), env.clone());
        let node = Arc::new(Follow::start(client, Node::GVR, of("metadata.name"), env));
        let (told, running) = watch::channel(Vec::new());
        Ok(Self { shared, pods, node, running, told })
    }

    /// The pods that this kubelet works on.
    pub fn running(&self) -> watch::Receiver<Vec<PodRef>> {
        self.running.clone()
    }

    /// The server for logs, exec and the like, to be given a listener.
    pub fn server(&self) -> Server {
        Server::new(Arc::clone(&self.shared), self.running.clone())
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let (found, statics) = watch::channel(None);
        let config = &self.shared.config;
        let manifests = manifests::follow(config.manifests.as_deref(), &config.node_name, &found);
        let mirrors = mirror::keep(Arc::clone(&self.shared), self.pods.subscribe(), statics.clone());
        gc::make_classes(&self.shared);
        let pods = pods::Pods::run(Arc::clone(&self.shared), self.pods.subscribe(), statics, self.told);
        let node = node::run(Arc::clone(&self.shared), Arc::clone(&self.node));
        tokio::join!(Box::pin(pods), Box::pin(node), Box::pin(manifests), Box::pin(mirrors));
    }
}
