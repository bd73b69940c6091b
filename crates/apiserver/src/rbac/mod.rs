//! Role-based access control: who may do what, by the roles and bindings in the engine's caches.
//!
//! Rules are compiled into an index by subject ([`index`]) whenever a role or binding has changed, so that a decision
//! looks only at the bindings of the user and of the user's groups. Members of `system:masters` may do everything.

pub mod bootstrap;
mod controller_policy;
mod escalation;
mod index;
mod policy;
mod rule;

use std::sync::{Arc, Mutex, PoisonError};

use api::{Gvr, Revision, Status};
use cache::Table;
use serde_json::{Value, json};

use crate::Engine;
use crate::seams::{Access, Authorizer, Decision};
use crate::user::User;

pub use index::Index;
pub use rule::Rule;

pub const GROUP: &str = "rbac.authorization.k8s.io";
pub const ROLES: Gvr = Gvr::new(GROUP, "v1", "roles");
pub const CLUSTER_ROLES: Gvr = Gvr::new(GROUP, "v1", "clusterroles");
pub const ROLE_BINDINGS: Gvr = Gvr::new(GROUP, "v1", "rolebindings");
pub const CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new(GROUP, "v1", "clusterrolebindings");
const SUPERUSERS: &str = "system:masters";

/// The authorizer over an engine's roles and bindings.
pub struct Rbac {
    engine: Arc<Engine>,
    compiled: Mutex<Compiled>,
}

#[derive(Clone, Default)]
struct Compiled {
    /// The tables' revisions when they were last looked at.
    seen: [Revision; 4],
    /// What the index was made of: number of objects and newest revision of each table.
    made_of: [(usize, Revision); 4],
    index: Arc<Index>,
}

impl Rbac {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, compiled: Mutex::default() }
    }

    pub fn allows(&self, user: &User, access: &Access) -> bool {
        is_superuser(user) || self.index().grant(user, access).is_some()
    }

    /// The index of this moment's roles and bindings.
    pub fn index(&self) -> Arc<Index> {
        let tables = [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS].map(|gvr| self.engine.table(&gvr));
        let seen = tables.each_ref().map(|table| table.as_ref().map(Table::revision).unwrap_or_default());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.seen != seen {
            let made_of = tables.each_ref().map(|table| table.as_ref().map(contents).unwrap_or_default());
            if compiled.made_of != made_of {
                compiled.index = Arc::new(Index::new(&tables));
                compiled.made_of = made_of;
            }
            compiled.seen = seen;
        }
        compiled.index.clone()
    }
}

/// Two states of one table with equal contents are equal: a write raises the newest revision, a deletion lowers the count.
fn contents(table: &Table) -> (usize, Revision) {
    (table.len(), table.iter().map(api::Object::revision).max().unwrap_or_default())
}

fn is_superuser(user: &User) -> bool {
    user.groups.iter().any(|group| group == SUPERUSERS)
}

impl Authorizer for Rbac {
    fn authorize(&self, user: &User, access: &Access) -> Decision {
        if is_superuser(user) {
            return Decision { allowed: true, ..Decision::default() };
        }
        match self.index().grant(user, access) {
            Some(grant) => Decision { allowed: true, denied: false, reason: format!("RBAC: allowed by {grant}") },
            None => Decision::default(),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Value {
        let index = self.index();
        // What superusers may without any rule is, as upstream, not told here.
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        for rule in index.rules(user, namespace) {
            if !rule.resources.is_empty() {
                resources.push(rule.resource_tree());
            }
            if !rule.non_resource_urls.is_empty() {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
    }

    fn may_grant(&self, user: &User, resource: &Gvr, object: &Value, old: Option<&Value>) -> Result<(), Status> {
        if is_superuser(user) { Ok(()) } else { escalation::check(self, user, resource, object, old) }
    }
}
