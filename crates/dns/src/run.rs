//! Keeps the zone in step with the cluster, and serves it.
//!
//! Changes only name services and namespaces to look at again.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::typed::{EndpointSlice, Namespace, Service, Typed};
use api::{Gvr, Key, Object};
use cache::index::{BY_SERVICE, service_of};
use cache::{Change, Snapshot};
use client::hub::{HubBuilder, Selection};
use client::{Hub, News};
use stdx::Rng;

use crate::Config;
use crate::compile::{Records, compile};
use crate::server::{Listeners, Server};
use crate::zone::Zone;

/// Adds what DNS follows to the cache of its process.
pub fn follow(builder: HubBuilder) -> HubBuilder {
    let names_only = Selection { metadata_only: true, ..Selection::default() };
    builder.resource(Service::GVR, &[]).resource(EndpointSlice::GVR, &[BY_SERVICE]).select(Namespace::GVR, names_only)
}

/// Serves until it is dropped. `hub` must follow what [`follow`] names. Until it has listed all of that, names of the
/// cluster are answered with SERVFAIL, which clients try again.
pub async fn run(config: Config, hub: Hub, listeners: Listeners, rng: Rng) {
    let server = Arc::new(Server::new(config, rng));
    let update = async {
        let mut changes = hub.changes();
        loop {
            let mut dirty = Dirty::default();
            // The news come first: a snapshot from before them may lack what they are about.
            let news = changes.next().await;
            dirty.mark(&hub.snapshot(), &server, news);
            while let Some(news) = changes.next_ready() {
                dirty.mark(&hub.snapshot(), &server, news);
            }
            dirty.apply(&hub.snapshot(), &server);
        }
    };
    tokio::select! {
        biased;
        () = update => {}
        () = server.clone().serve(listeners) => {}
    }
}

/// What to look at again.
#[derive(Default)]
struct Dirty {
    services: BTreeSet<Key>,
    namespaces: BTreeSet<Box<str>>,
    complete: bool,
}

impl Dirty {
    fn mark(&mut self, snapshot: &Snapshot, server: &Server, news: News) {
        match news {
            News::Changed(change) => self.mark_change(&change.0, &change.1),
            News::Resync => {
                self.complete = true;
                self.services.extend(snapshot.list(&Service::GVR, None).map(Object::key));
                self.namespaces.extend(snapshot.list(&Namespace::GVR, None).map(|object| object.name().into()));
                let zone = server.zone();
                self.services.extend(zone.services().cloned());
                self.namespaces.extend(zone.namespaces().map(Into::into));
            }
        }
    }

    fn mark_change(&mut self, resource: &Gvr, change: &Change) {
        for object in [&change.before, &change.after].into_iter().flatten() {
            if *resource == Service::GVR {
                self.services.insert(object.key());
            } else if *resource == Namespace::GVR {
                self.namespaces.insert(object.name().into());
            } else if *resource == EndpointSlice::GVR {
                self.services.extend(service_of(object));
            }
        }
    }

    /// Reads what is dirty before it takes the zone's lock.
    fn apply(self, snapshot: &Snapshot, server: &Server) {
        let services: Vec<_> = self.services.into_iter().map(|key| (records_of(snapshot, &key), key)).collect();
        let exists = |name: &str| snapshot.get(&Namespace::GVR, &Key::new("", name)).is_some();
        let namespaces: Vec<_> = self.namespaces.into_iter().map(|name| (exists(&name), name)).collect();
        let zone: &mut Zone = &mut server.zone_mut();
        for (records, key) in services {
            zone.put(&key, records);
        }
        for (exists, name) in namespaces {
            zone.put_namespace(&name, exists);
        }
        if self.complete {
            zone.set_complete();
        }
    }
}

fn records_of(snapshot: &Snapshot, key: &Key) -> Option<Records> {
    let service = snapshot.get(&Service::GVR, key)?;
    let value = key.to_string();
    let slices = snapshot.by_index(&EndpointSlice::GVR, BY_SERVICE.name, &value);
    let slices: Result<Vec<EndpointSlice>, _> = slices.map(Object::typed).collect();
    match (service.typed::<Service>(), slices) {
        (Ok(service), Ok(slices)) => Some(compile(&service, &slices)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(service = %key, "cannot read the service or its endpoints: {error}");
            None
        }
    }
}
