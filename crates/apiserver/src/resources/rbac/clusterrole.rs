//! ClusterRole: what may be done anywhere, or in a namespace where it is bound.

use api::validation::name::path_segment;
use k8s_openapi::api::rbac::v1::ClusterRole;

use super::validate_cluster_role;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        hooks: Hooks { validate: Some(validate_cluster_role), ..Hooks::default() },
        ..Resource::of::<ClusterRole>()
    }
}
