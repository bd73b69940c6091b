//! ClusterRole: what may be done anywhere, or in a namespace where it is bound.

use api::Gvr;
use api::validation::name::path_segment;

use super::validate_rules;
use crate::resource::{Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        hooks: Hooks { validate: Some(validate_rules), ..Hooks::default() },
        ..Resource::new(gvr, "ClusterRole", "clusterrole", Scope::Cluster, "io.k8s.api.rbac.v1.ClusterRole")
    }
}
