//! RoleBinding: gives a role to subjects in one namespace.

use api::Gvr;
use api::validation::name::path_segment;

use super::{columns, role_ref_stays, validate_binding};
use crate::resource::{Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings");
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
        ..Resource::new(gvr, "RoleBinding", "rolebinding", Scope::Namespaced, "io.k8s.api.rbac.v1.RoleBinding")
    }
}
