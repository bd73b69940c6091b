//! The generic engine: resources, verbs, admission and storage, with nothing known about HTTP.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use api::{Gvr, Status};
use stdx::{Clock, Rng};
use store::Store;

use crate::registry::Registry;
use crate::seams::Seams;
use crate::verbs::{Answer, RequestContext};

/// What is chosen once for a cluster.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where the API server is reached from inside the cluster; the endpoint of the service `kubernetes`.
    pub advertise_address: Ipv4Addr,
    pub advertise_port: u16,
    /// Addresses of services: the network and its prefix length.
    pub service_cidr: (Ipv4Addr, u8),
    pub node_ports: (u16, u16),
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            advertise_address: Ipv4Addr::LOCALHOST,
            advertise_port: 6443,
            service_cidr: (Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: (30000, 32767),
        }
    }
}

/// Everything behind the filters. Shared as `Arc<Engine>`.
pub struct Engine {
    registry: Registry,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Rng,
    config: EngineConfig,
    seams: OnceLock<Seams>,
}

impl Engine {
    /// Fills the caches from the store and starts to follow it.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Rng,
        config: EngineConfig,
    ) -> Result<Arc<Self>, Status> {
        let engine = Self { registry: Registry::builtin(), store, clock, rng, config, seams: OnceLock::new() };
        Ok(Arc::new(engine))
    }

    /// Connects authorization and tokens; once, before requests are served.
    pub fn connect(&self, seams: Seams) {
        self.seams.get_or_init(|| seams);
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
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

    /// The objects of a resource at this moment, from the watch cache. A clone is a few pointers.
    pub fn table(&self, _resource: &Gvr) -> Option<cache::Table> {
        None
    }

    /// Answers an authorized request for a resource. Connect subresources never come here.
    pub async fn dispatch(self: &Arc<Self>, _context: RequestContext) -> Result<Answer, Status> {
        Err(Status::failure(501, "NotImplemented", "the engine is being laid"))
    }
}
