//! The cluster's names, indexed for lookups: by service, by address, by namespace. Pure.
//!
//! Invariant: `by_address` holds exactly the addresses of `services`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use api::Key;

use crate::compile::{Kind, Records};

/// What an address belongs to. A service's own address comes before endpoints, as in answers to PTR queries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Service(Key),
    /// The service, and the endpoint's label under its name.
    Endpoint(Key, Box<str>),
}

#[derive(Clone, Debug, Default)]
pub struct Zone {
    services: BTreeMap<Key, Records>,
    by_address: HashMap<IpAddr, BTreeSet<Owner>>,
    namespaces: BTreeSet<Box<str>>,
    /// Counts changes: the serial of the SOA record.
    serial: u32,
    /// All of it is known. Before, nothing can be denied.
    complete: bool,
}

impl Zone {
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Records> {
        self.services.get(&Key::new(namespace, name))
    }

    pub fn services(&self) -> impl Iterator<Item = &Key> {
        self.services.keys()
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(|name| &**name)
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = &Owner> {
        self.by_address.get(&address).into_iter().flatten()
    }

    pub fn serial(&self) -> u32 {
        self.serial
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn set_complete(&mut self) {
        self.complete = true;
    }

    pub fn put_namespace(&mut self, name: &str, exists: bool) {
        let changed = if exists { self.namespaces.insert(name.into()) } else { self.namespaces.remove(name) };
        self.serial = self.serial.wrapping_add(u32::from(changed));
    }

    /// What the service is now; nothing when it is gone.
    pub fn put(&mut self, key: &Key, records: Option<Records>) {
        if self.services.get(key) == records.as_ref() {
            return;
        }
        self.serial = self.serial.wrapping_add(1);
        if let Some(old) = self.services.remove(key) {
            for (address, owner) in owned(key, &old) {
                if let Some(owners) = self.by_address.get_mut(&address) {
                    owners.remove(&owner);
                    if owners.is_empty() {
                        self.by_address.remove(&address);
                    }
                }
            }
        }
        if let Some(records) = records {
            for (address, owner) in owned(key, &records) {
                self.by_address.entry(address).or_default().insert(owner);
            }
            self.services.insert(key.clone(), records);
        }
    }
}

fn owned<'a>(key: &'a Key, records: &'a Records) -> impl Iterator<Item = (IpAddr, Owner)> + 'a {
    let addresses: &[IpAddr] = match &records.kind {
        Kind::Cluster { addresses, .. } => addresses,
        Kind::Headless | Kind::External(_) => &[],
    };
    let own = addresses.iter().map(|address| (*address, Owner::Service(key.clone())));
    let endpoints = records.endpoints.iter();
    own.chain(endpoints.map(|e| (e.address, Owner::Endpoint(key.clone(), e.label.clone()))))
}
