//! ClusterRoleBinding: gives a ClusterRole to subjects everywhere.

use api::validation::name::path_segment;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;

use super::{columns, role_ref_stays, validate_binding};
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        columns: const {
            &columns([
                // Upstream's printer still shows what v1beta1 said of the field.
                "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, \
                 the Authorizer must return an error.",
                "Users in the clusterRoleBinding",
                "Groups in the clusterRoleBinding",
                "ServiceAccounts in the clusterRoleBinding",
            ])
        },
        hooks: Hooks { validate: Some(validate_binding), validate_update: Some(role_ref_stays), ..Hooks::default() },
        ..Resource::of::<ClusterRoleBinding>()
    }
}
