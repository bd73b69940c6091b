//! What a controller, the scheduler or the proxy sees of the cluster at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::object::DecodeError;
use api::typed::Typed;
use api::{Gvr, Key, Object};

use crate::table::Table;

/// A set of tables, one a resource. Copy on write: cheap to clone; never changes under its reader.
#[derive(Clone, Default)]
pub struct Snapshot {
    tables: BTreeMap<Gvr, Arc<Table>>,
}

impl Snapshot {
    pub fn insert(&mut self, resource: Gvr, table: Table) {
        self.tables.insert(resource, Arc::new(table));
    }

    pub fn remove(&mut self, resource: &Gvr) {
        self.tables.remove(resource);
    }

    pub fn table(&self, resource: &Gvr) -> Option<&Table> {
        self.tables.get(resource).map(|table| &**table)
    }

    pub fn table_mut(&mut self, resource: &Gvr) -> Option<&mut Table> {
        self.tables.get_mut(resource).map(Arc::make_mut)
    }

    pub fn resources(&self) -> impl Iterator<Item = &Gvr> {
        self.tables.keys()
    }

    pub fn get(&self, resource: &Gvr, key: &Key) -> Option<&Object> {
        self.tables.get(resource)?.get(key)
    }

    /// All objects of the resource, or those of one namespace.
    pub fn list<'a>(&'a self, resource: &Gvr, namespace: Option<&'a str>) -> Box<dyn Iterator<Item = &'a Object> + 'a> {
        match (self.tables.get(resource), namespace) {
            (None, _) => Box::new(std::iter::empty()),
            (Some(table), None) => Box::new(table.iter()),
            (Some(table), Some(namespace)) => Box::new(table.in_namespace(namespace)),
        }
    }

    pub fn by_index<'a>(
        &'a self,
        resource: &Gvr,
        index: &'a str,
        value: &'a str,
    ) -> Box<dyn Iterator<Item = &'a Object> + 'a> {
        match self.tables.get(resource) {
            None => Box::new(std::iter::empty()),
            Some(table) => Box::new(table.by_index(index, value)),
        }
    }

    /// The typed object, where it exists.
    pub fn typed<T: Typed>(&self, namespace: &str, name: &str) -> Result<Option<T>, DecodeError> {
        self.get(&T::GVR, &Key::new(namespace, name)).map(Object::typed).transpose()
    }
}
