//! Addresses and node ports of Services: who has which, in memory, rebuilt from the services at start.
//!
//! A write reserves what it wants before it commits and gives it back if it does not. Where there is one API server,
//! this table is the only judge, and what a service had and no longer has is given back with the write. Where several
//! share a store, the table follows what all of them wrote, and each write that takes a number also writes one key
//! ([`LEDGER`]) that nobody may have written since the table was read: so of two that choose at once, one chooses anew.

mod assign;
mod pool;
mod turn;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Object, Status};
use serde_json::Value;
use stdx::Rng;
use store::{Precondition, Write};

use crate::engine::{Engine, EngineConfig};
use crate::resource::Resource;
use crate::tree;
pub(crate) use pool::{Pool, Refused};
use turn::{LEDGER, Turn, Turns};

/// The cluster's own: the API server's service and DNS. They are only given to who asks for them by name.
const KUBERNETES_OFFSET: u32 = 1;
const DNS_OFFSET: u32 = 10;

pub struct Services {
    state: Arc<Mutex<State>>,
    rng: Rng,
    /// Where several API servers give out numbers.
    turns: Option<Turns>,
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
        let turns = config.replica.is_some().then(Turns::default);
        Self { state: Arc::new(Mutex::new(State { ips, ports })), rng, turns }
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

    fn clear(&self) {
        let mut state = self.state();
        state.ips.clear();
        state.ports.clear();
    }

    /// Whether another server may be faster with what this one has chosen.
    pub(crate) fn may_be_outrun(&self, resource: &Resource) -> bool {
        resource.allocates && self.turns.is_some()
    }

    /// Gives back what a service had before a write and does not have after it.
    pub fn released(&self, resource: &Resource, before: &Value, after: Option<&Value>) {
        // Of several servers each learns it from the store, in the order in which things happened.
        if resource.allocates && self.turns.is_none() {
            self.give_back(before, after);
        }
    }

    fn give_back(&self, before: &Value, after: Option<&Value>) {
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
    pub(crate) async fn assign(
        &self,
        engine: &Engine,
        resource: &Resource,
        service: &mut Value,
        old: Option<&Value>,
    ) -> Result<Reservation, Status> {
        let mut reservation = Reservation { state: self.state.clone(), ips: Vec::new(), ports: Vec::new(), turn: None };
        if !resource.allocates {
            return Ok(reservation);
        }
        if let Some(turns) = &self.turns {
            reservation.turn = Some(turns.take(engine, self).await?);
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
    turn: Option<Turn>,
}

impl Reservation {
    pub fn keep(mut self) {
        self.ips.clear();
        self.ports.clear();
    }

    /// What goes into the commit of the object, so that no other server takes a number at the same time.
    pub fn claim(&self) -> Option<(Precondition, Write)> {
        let takes = !self.ips.is_empty() || !self.ports.is_empty();
        self.turn.as_ref().filter(|_| takes).map(Turn::claim)
    }
}

/// Whether a commit failed because another server took a number meanwhile.
pub(crate) fn is_ledger(key: &[u8]) -> bool {
    key == LEDGER
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
