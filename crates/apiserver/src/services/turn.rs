//! One write at a time takes numbers on this server, and of several servers the one whose commit comes first.
//!
//! The turn begins with what all servers have written: the ledger's revision, then every service up to at least there.

use std::sync::{Arc, Mutex, PoisonError};

use api::{Gvr, Revision, Status};
use bytes::Bytes;
use store::{Precondition, Write};
use tokio::sync::OwnedMutexGuard;

use super::Services;
use crate::engine::Engine;
use crate::storage;
use crate::watchcache::{Look, Registration};

/// Written with every commit that takes an address or a port. It is no object: nothing serves it.
pub const LEDGER: &[u8] = b"/registry/ranges/services";
const SERVICES: Gvr = Gvr::new("", "v1", "services");

/// Where this server has come in what happened to services.
#[derive(Default)]
pub struct Turns(Arc<tokio::sync::Mutex<Place>>);

#[derive(Default)]
struct Place(Mutex<Option<Registration>>);

/// Held until the write is done.
pub struct Turn {
    _alone: OwnedMutexGuard<Place>,
    ledger: Option<Revision>,
}

impl Turns {
    /// Waits for the turn, and brings the table of numbers up to date.
    pub async fn take(&self, engine: &Engine, services: &Services) -> Result<Turn, Status> {
        let place = self.0.clone().lock_owned().await;
        let found = engine.store().get(LEDGER).await.map_err(storage::failed)?;
        engine.caches().catch_up(&**engine.store()).await?;
        place.follow(engine, services);
        Ok(Turn { _alone: place, ledger: found.map(|entry| entry.modified) })
    }
}

impl Place {
    fn follow(&self, engine: &Engine, services: &Services) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(events) = place.as_ref().and_then(|place| match place.look() {
            Look::Events(events) => Some(events),
            Look::Nothing => Some(Vec::new()),
            Look::Gone | Look::Closed => None,
        }) {
            for event in events {
                let after = event.after.as_ref().and_then(|object| object.tree().ok());
                if let Some(before) = event.before.as_ref().and_then(|object| object.tree().ok()) {
                    services.give_back(&before, after.as_ref());
                }
                services.restore(event.after.iter());
            }
            return;
        }
        // The first look, or one that comes too late: everything anew.
        let Some(cache) = engine.caches().get(&SERVICES) else { return };
        let (table, registration) = cache.list_and_watch(None);
        services.clear();
        services.restore(table.iter());
        *place = Some(registration);
    }
}

impl Turn {
    pub fn claim(&self) -> (Precondition, Write) {
        let precondition = match self.ledger {
            Some(revision) => Precondition::ModifiedAt(LEDGER.into(), revision),
            None => Precondition::Absent(LEDGER.into()),
        };
        (precondition, Write::Put(LEDGER.into(), Bytes::from_static(b"{}")))
    }
}
