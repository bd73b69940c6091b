//! RoleBinding: gives a role to subjects in one namespace.

use api::validation::name::path_segment;
use k8s_openapi::api::rbac::v1::RoleBinding;

use super::{columns, role_ref_stays, validate_binding};
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        columns: const {
            &columns([
                "io.k8s.api.rbac.v1.RoleBinding.roleRef",
                "Users in the roleBinding",
                "Groups in the roleBinding",
                "ServiceAccounts in the roleBinding",
            ])
        },
        hooks: Hooks { validate: Some(validate_binding), validate_update: Some(role_ref_stays), ..Hooks::default() },
        ..Resource::of::<RoleBinding>()
    }
}
