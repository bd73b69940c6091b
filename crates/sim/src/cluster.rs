//! The simulated cluster: one API server, one control plane, any number of fake nodes that can die and come back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Key;
use apiserver::engine::EngineConfig;
use apiserver::resource::Scope;
use apiserver::{Engine, Server, ServerConfig};
use cache::{Change, Controller};
use client::{Client, Env, Hub, Recorder};
use controllers::{Served, Settings};
use pki::{Authority, TokenKey};
use stdx::Rng;
use store::MemoryStore;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::node;
use crate::trace::{SimClock, Trace};
use crate::transport::{Faults, Network};

const MASTERS: &[&str] = &["system:masters"];
const SERVICE_ACCOUNTS: &[&str] = &["system:serviceaccounts", "system:serviceaccounts:kube-system"];

pub struct Cluster {
    pub env: Env,
    pub trace: Trace,
    /// The cluster as it really is: a cache over a perfect network.
    pub truth: Hub,
    network: Network,
    controllers: Vec<Arc<dyn Controller>>,
    nodes: BTreeMap<String, AbortOnDropHandle<()>>,
    joined: u64,
    _control: JoinSet<()>,
}

impl Cluster {
    /// Starts a control plane without nodes, over a perfect network.
    pub async fn start(seed: u64) -> Self {
        let env = Env { clock: Arc::new(SimClock::start()), rng: Rng::seeded(seed) };
        let now = env.clock.now();
        let store = Arc::new(MemoryStore::new().stamping(apiserver::storage::with_revision));
        let engine = Engine::start(store, env.clock.clone(), env.rng.clone(), EngineConfig::default()).await;
        let engine = engine.expect("invariant: an empty store starts");
        let authority = Authority::ephemeral(now);
        let key = TokenKey::ephemeral().expect("invariant: a key can be made");
        let config = ServerConfig::new(authority.certificate().clone(), Arc::new(key));
        let server = Server::start(engine, config).await.expect("invariant: a server starts");
        let settings = Settings {
            served: served(&server),
            authority: "the authority".to_owned(),
            pod_range: "10.244.0.0/16".to_owned(),
            since: now,
        };
        let trace = Trace::default();
        let faults = Arc::new(Mutex::new(Faults::default()));
        let network = Network { server, faults, rng: env.rng.clone(), trace: trace.clone() };
        let controllers = controllers::all(&settings);
        let truth = Client::new(network.transport("truth", MASTERS, true), "truth");
        let truth = scheduler::run::follow(Hub::builder(truth).controllers(&controllers)).start(&env);
        let control = control_plane(&network, &controllers, &env);
        truth.synced().await;
        Self { env, trace, truth, network, controllers, nodes: BTreeMap::new(), joined: 0, _control: control }
    }

    pub fn set_faults(&self, faults: Faults) {
        *self.network.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// A user with all rights and a perfect network.
    pub fn admin(&self) -> Client {
        Client::new(self.network.transport("admin", MASTERS, true), "kubectl")
    }

    /// A user with all rights and the cluster's network, whatever its faults.
    pub fn user(&self, name: &str) -> Client {
        Client::new(self.network.transport(name, MASTERS, false), name)
    }

    /// Starts a node, or brings one back.
    pub fn start_node(&mut self, name: &str) {
        self.joined += 1;
        let user = format!("system:node:{name}");
        let client = Client::new(self.network.transport(&user, &["system:nodes"], false), "kubelet");
        let node = node::run(name.to_owned(), self.joined, client, self.env.clone());
        self.trace.add(format!("node {name} starts"));
        self.nodes.insert(name.to_owned(), AbortOnDropHandle::new(tokio::spawn(node)));
    }

    /// The node dies between two instructions.
    pub fn kill_node(&mut self, name: &str) {
        self.trace.add(format!("node {name} dies"));
        self.nodes.remove(name);
    }

    pub fn is_running(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    pub async fn pass(&self, secs: u64) {
        tokio::time::sleep(Duration::from_secs(secs)).await;
    }

    /// Every plan that is not empty, as text: at rest there is none.
    pub fn pending_plans(&self) -> Vec<String> {
        let snapshot = self.truth.snapshot();
        let mut pending = Vec::new();
        for controller in &self.controllers {
            let mut keys = std::collections::BTreeSet::<Key>::new();
            for interest in controller.watches() {
                for object in snapshot.list(&interest.resource, None) {
                    let change = Change { revision: object.revision(), before: None, after: Some(object.clone()) };
                    keys.extend(controller.wakes(&snapshot, &interest.resource, &change));
                }
            }
            for key in keys {
                match controller.plan(&snapshot, &key, self.env.clock.now()) {
                    Ok(plan) if plan.is_empty() => {}
                    Ok(plan) => pending.push(format!("{} {key}: {:?}", controller.name(), plan.steps)),
                    Err(error) => pending.push(format!("{} {key}: {error}", controller.name())),
                }
            }
        }
        pending
    }
}

fn control_plane(network: &Network, controllers: &[Arc<dyn Controller>], env: &Env) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let informers =
        Client::new(network.transport("system:kube-controller-manager", &[], false), "kube-controller-manager");
    let hub = scheduler::run::follow(Hub::builder(informers).controllers(controllers)).start(env);
    let client = Client::new(network.transport("system:kube-scheduler", &[], false), "kube-scheduler");
    let recorder = Recorder::start(client.clone(), "default-scheduler", "", env.clone());
    tasks.spawn(scheduler::run::run(client, hub.clone(), recorder, env.clone()));
    let wires = network.clone();
    let transport = move |user: &str| wires.transport(user, SERVICE_ACCOUNTS, false);
    tasks.spawn(client::driver::run(hub, controllers.to_vec(), transport, env.clone()));
    tasks
}

fn served(server: &Server) -> Vec<Served> {
    let registry = server.engine().registry();
    let served = registry.stored_builtin().map(|resource| Served {
        resource: resource.gvr.clone(),
        kind: resource.kind.kind.to_string(),
        namespaced: resource.scope == Scope::Namespaced,
    });
    served.collect()
}
