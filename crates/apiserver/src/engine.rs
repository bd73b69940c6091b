//! The generic engine: resources, verbs, admission and storage, with nothing known about HTTP.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use api::{Gvr, Status};
use stdx::{Clock, Rng, Signal};
use store::Store;
use tokio::task::JoinSet;

use crate::bootstrap;
use crate::components::Components;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::seams::Seams;
use crate::served::Served;
use crate::services::Services;
use crate::storage;
use crate::upkeep;
use crate::verbs::{self, Answer, RequestContext};
use crate::watchcache::{caches::Caches, feed};

/// What is chosen once for a cluster.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where the API server is reached from inside the cluster; the endpoint of the service `kubernetes`.
    pub advertise_address: Ipv4Addr,
    pub advertise_port: u16,
    /// Addresses of services: the network and its prefix length.
    pub service_cidr: (Ipv4Addr, u8),
    pub node_ports: (u16, u16),
    /// This server's name among several that share the store; `None` where it is the only one.
    pub replica: Option<String>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            // Documentation's own (RFC 5737): Endpoints may not name loopback.
            advertise_address: Ipv4Addr::new(192, 0, 2, 1),
            advertise_port: 6443,
            service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: (30000, 32767),
            replica: None,
        }
    }
}

/// Everything behind the filters. Shared as `Arc<Engine>`.
pub struct Engine {
    served: Arc<Served>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Rng,
    config: EngineConfig,
    caches: Arc<Caches>,
    services: Services,
    metrics: Arc<Metrics>,
    components: Components,
    seams: OnceLock<Seams>,
    /// It goes down: it tells the others no longer that it lives.
    pub(crate) leaving: AtomicBool,
    /// It does not reach the store, which other servers may.
    pub(crate) cut_off: Signal<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Engine {
    /// Fills the caches from the store and starts to follow it.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Rng,
        config: EngineConfig,
    ) -> Result<Arc<Self>, Status> {
        let served = Arc::new(Served::new(Registry::builtin()));
        let caches = served.caches().clone();
        let revision = feed::fill(&*store, &caches).await.map_err(storage::failed)?;
        served.follow_all(&*store).await.map_err(storage::failed)?;
        let services = Services::new(&config, rng.clone());
        if let Some(cache) = caches.get(&Gvr::new("", "v1", "services")) {
            services.restore(cache.table().iter());
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(feed::follow(store.clone(), served.clone(), revision));
        let tasks = Mutex::new(tasks);
        let (seams, metrics, leaving) = (OnceLock::new(), Arc::default(), AtomicBool::new(false));
        let cut_off = Signal::new(false);
        let components = Components::default();
        let engine = Arc::new(Self {
            served,
            store,
            clock,
            rng,
            config,
            caches,
            services,
            metrics,
            components,
            seams,
            leaving,
            cut_off,
            tasks,
        });
        let weak = Arc::downgrade(&engine);
        {
            let mut tasks = engine.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.spawn(upkeep::run(weak.clone()));
            tasks.spawn(crate::custom::controller::run(weak.clone()));
            tasks.spawn(crate::dangling::run(weak.clone()));
        }
        bootstrap::run(&engine).await?;
        if engine.config.replica.is_some() {
            let mut tasks = engine.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.spawn(crate::living::run(weak));
        }
        Ok(engine)
    }

    /// Connects authorization and tokens; once, before requests are served.
    pub fn connect(&self, seams: Seams) {
        self.seams.get_or_init(|| seams);
    }

    /// Creates those of the objects that do not exist (the bootstrap roles of RBAC).
    pub async fn ensure(self: &Arc<Self>, objects: Vec<serde_json::Value>) -> Result<(), Status> {
        bootstrap::ensure(self, objects).await
    }

    /// What is served at this moment; later ones may know more or fewer custom resources.
    pub fn registry(&self) -> Arc<Registry> {
        self.served.registry()
    }

    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn rng(&self) -> &Rng {
        &self.rng
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub fn caches(&self) -> &Arc<Caches> {
        &self.caches
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The parts of the control plane that run in this process.
    pub fn components(&self) -> &Components {
        &self.components
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn seams(&self) -> Result<&Seams, Status> {
        self.seams.get().ok_or_else(|| Status::failure(503, "ServiceUnavailable", "the API server is still starting"))
    }

    /// Refuses a grant of more rights than the user holds; before the seams are connected there is nobody to refuse.
    pub(crate) fn authorizer(&self) -> Option<&dyn crate::seams::Authorizer> {
        self.seams.get().map(|seams| &*seams.authorizer)
    }

    /// The objects of a resource at this moment, from the watch cache. A clone is a few pointers.
    pub fn table(&self, resource: &Gvr) -> Option<cache::Table> {
        Some(self.caches.get(resource)?.table())
    }

    /// Answers an authorized request for a resource. Connect subresources never come here.
    pub async fn dispatch(self: &Arc<Self>, context: RequestContext) -> Result<Answer, Status> {
        verbs::dispatch(self, context).await
    }
}
