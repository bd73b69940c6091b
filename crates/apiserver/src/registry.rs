//! All resources that are served, found by group, version and plural: an immutable snapshot.
//!
//! Built-in ones never change. Custom ones come and go with their definitions; a registry with one more or less shares
//! everything else with the one before ([`crate::served`] swaps them).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::Gvr;
use api::name::Str;
use rpds::RedBlackTreeMapSync;

use crate::resource::Resource;
use crate::resources;

/// The served resources. Order of [`Registry::all`] is the order of discovery: as listed in `resources/mod.rs`, then custom
/// ones by group, the most stable and newest version first.
#[derive(Clone, Default)]
pub struct Registry {
    builtin: Arc<Builtin>,
    custom: RedBlackTreeMapSync<Place, Arc<Resource>>,
}

#[derive(Clone, Default)]
struct Builtin {
    resources: Vec<Arc<Resource>>,
    by_gvr: BTreeMap<Gvr, usize>,
}

/// Group, rank of the version, version, plural.
type Place = (Str, Rank, Str, Str);

/// Upstream's order of versions: stable before beta before alpha, newer first; then all others by name.
type Rank = (u8, Reverse<u64>, Reverse<u64>);

fn rank(version: &str) -> Rank {
    let read = || -> Option<Rank> {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..end].parse().ok()?;
        let (class, minor) = match &rest[end..] {
            "" => (0, 0),
            text => match (text.strip_prefix("beta"), text.strip_prefix("alpha")) {
                (Some(minor), _) => (1, minor.parse().ok()?),
                (_, minor) => (2, minor?.parse().ok()?),
            },
        };
        Some((class, Reverse(major), Reverse(minor)))
    };
    read().unwrap_or((3, Reverse(0), Reverse(0)))
}

fn place(gvr: &Gvr) -> Place {
    (gvr.group.clone(), rank(&gvr.version), gvr.version.clone(), gvr.resource.clone())
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
        let builtin = Arc::make_mut(&mut self.builtin);
        builtin.by_gvr.insert(resource.gvr.clone(), builtin.resources.len());
        builtin.resources.push(Arc::new(resource));
    }

    /// Adds a custom resource, or puts it in the place of its former self.
    pub fn insert_custom(&mut self, resource: Arc<Resource>) {
        self.custom.insert_mut(place(&resource.gvr), resource);
    }

    pub fn remove_custom(&mut self, gvr: &Gvr) {
        self.custom.remove_mut(&place(gvr));
    }

    pub fn get(&self, gvr: &Gvr) -> Option<&Arc<Resource>> {
        match self.builtin.by_gvr.get(gvr) {
            Some(position) => Some(&self.builtin.resources[*position]),
            None => self.custom.get(&place(gvr)),
        }
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.get(&Gvr {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            resource: plural.to_owned().into(),
        })
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.builtin.resources.iter().chain(self.custom.values())
    }

    /// Every built-in resource that is stored, once. Custom ones come and go, so whoever follows them asks their
    /// definitions; one that was taken for built in would be waited for after its definition is gone.
    pub fn stored_builtin(&self) -> impl Iterator<Item = &Arc<Resource>> {
        let all = self.builtin.resources.iter();
        all.filter(|resource| resource.stored_as.is_none() && resource.review.is_none())
    }

    /// The resource whose storage `resource` uses: itself, or the one that it is stored as.
    pub fn stored<'a>(&'a self, resource: &'a Arc<Resource>) -> &'a Arc<Resource> {
        resource.stored_as.as_ref().and_then(|gvr| self.get(gvr)).unwrap_or(resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_resource_that_was_there_at_the_start_is_not_taken_for_built_in() {
        let mut registry = Registry::builtin();
        let stored = registry.stored_builtin().count();
        let maps = registry.find("", "v1", "configmaps").unwrap();
        let widgets = Gvr::new("example.com", "v1", "widgets");
        let custom = Resource { gvr: widgets.clone(), ..Resource::clone(maps) };
        registry.insert_custom(Arc::new(custom));
        assert!(registry.get(&widgets).is_some());
        assert_eq!(registry.stored_builtin().count(), stored);
        assert!(registry.stored_builtin().all(|resource| resource.gvr != widgets));
    }

    #[test]
    fn the_most_stable_and_newest_version_comes_first() {
        let mut versions = ["v1alpha1", "foo", "v2", "v1beta2", "v10", "v1", "v1beta10", "bar", "v11alpha2"];
        versions.sort_by_key(|version| (rank(version), *version));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta10", "v1beta2", "v11alpha2", "v1alpha1", "bar", "foo"]);
    }
}
