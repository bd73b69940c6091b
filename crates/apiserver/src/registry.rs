//! All resources that are served, found by group, version and plural.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Gvr;

use crate::resource::Resource;
use crate::resources;

/// The served resources. Order of [`Registry::all`] is the order of discovery: as listed in `resources/mod.rs`.
#[derive(Clone, Default)]
pub struct Registry {
    resources: Vec<Arc<Resource>>,
    by_gvr: BTreeMap<Gvr, usize>,
}

impl Registry {
    /// Every built-in resource.
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for resource in resources::all() {
            registry.insert(resource);
        }
        registry
    }

    pub fn insert(&mut self, resource: Resource) {
        self.by_gvr.insert(resource.gvr.clone(), self.resources.len());
        self.resources.push(Arc::new(resource));
    }

    pub fn get(&self, gvr: &Gvr) -> Option<&Arc<Resource>> {
        self.by_gvr.get(gvr).map(|position| &self.resources[*position])
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.get(&Gvr {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            resource: plural.to_owned().into(),
        })
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// The resource whose storage `resource` uses: itself, or the one that it is stored as.
    pub fn stored<'a>(&'a self, resource: &'a Arc<Resource>) -> &'a Arc<Resource> {
        resource.stored_as.as_ref().and_then(|gvr| self.get(gvr)).unwrap_or(resource)
    }
}
