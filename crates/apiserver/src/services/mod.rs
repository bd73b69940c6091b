//! Addresses and node ports of Services: who has which, in memory, rebuilt from the services at start.
//!
//! There is one API server, so this table is the only judge. A write reserves what it wants before it commits and gives
//! it back if it does not; what a service had and no longer has is given back when the store says so.

mod assign;
mod pool;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Object, Status};
use serde_json::Value;
use stdx::Rng;

use crate::engine::EngineConfig;
use crate::resource::Resource;
use crate::tree;
pub(crate) use pool::{Pool, Refused};

/// The cluster's own: the API server's service and DNS. They are only given to who asks for them by name.
const KUBERNETES_OFFSET: u32 = 1;
const DNS_OFFSET: u32 = 10;

pub struct Services {
    state: Arc<Mutex<State>>,
    rng: Rng,
}

pub(crate) struct State {
    pub ips: Pool,
    pub ports: Pool,
}

impl Services {
    pub fn new(config: &EngineConfig, rng: Rng) -> Self {
        let (network, len) = config.service_cidr;
        let network = u32::from(network);
        let size = 1u32.checked_shl(32 - u32::from(len)).unwrap_or(u32::MAX);
        let ips = Pool::new(network + 1, network + size - 2, &[network + KUBERNETES_OFFSET, network + DNS_OFFSET]);
        let (first, last) = config.node_ports;
        let ports = Pool::new(u32::from(first), u32::from(last), &[]);
        Self { state: Arc::new(Mutex::new(State { ips, ports })), rng }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a stored service has.
    pub fn restore<'a>(&self, services: impl Iterator<Item = &'a Object>) {
        let mut state = self.state();
        for object in services {
            let Ok(service) = object.tree() else { continue };
            for ip in assign::ips_of(&service) {
                let _ = state.ips.take(ip);
            }
            for port in assign::ports_of(&service) {
                let _ = state.ports.take(port);
            }
        }
    }

    /// Gives back what a service had before a write and does not have after it.
    pub fn released(&self, resource: &Resource, before: &Value, after: Option<&Value>) {
        if !resource.allocates {
            return;
        }
        let kept = |of: fn(&Value) -> Vec<u32>| after.map(of).unwrap_or_default();
        let (kept_ips, kept_ports) = (kept(assign::ips_of), kept(assign::ports_of));
        let mut state = self.state();
        for ip in assign::ips_of(before).into_iter().filter(|ip| !kept_ips.contains(ip)) {
            state.ips.give_back(ip);
        }
        for port in assign::ports_of(before).into_iter().filter(|port| !kept_ports.contains(port)) {
            state.ports.give_back(port);
        }
    }

    /// Gives a Service its addresses and ports; anything else is left alone.
    pub(crate) fn assign(
        &self,
        resource: &Resource,
        service: &mut Value,
        old: Option<&Value>,
    ) -> Result<Reservation, Status> {
        let mut reservation = Reservation { state: self.state.clone(), ips: Vec::new(), ports: Vec::new() };
        if !resource.allocates {
            return Ok(reservation);
        }
        let mut state = self.state();
        let causes = assign::assign(&mut state, &self.rng, service, old, &mut reservation);
        drop(state);
        crate::resource::invalid(&resource.kind, tree::text(service, "metadata.name"), causes)?;
        Ok(reservation)
    }
}

/// What one write took. It is given back on drop unless the write happened.
pub(crate) struct Reservation {
    state: Arc<Mutex<State>>,
    pub ips: Vec<u32>,
    pub ports: Vec<u32>,
}

impl Reservation {
    pub fn keep(mut self) {
        self.ips.clear();
        self.ports.clear();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.ips.is_empty() && self.ports.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.ips.iter().for_each(|ip| state.ips.give_back(*ip));
        self.ports.iter().for_each(|port| state.ports.give_back(*port));
    }
}
