//! ClusterRoleBinding: gives a ClusterRole to subjects everywhere.

use api::Gvr;
use api::validation::name::path_segment;

use super::{role, role_ref_stays, subjects, validate_binding};
use crate::resource::{Column, Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        columns: const {
            &[
                Column::text("Role", "The role that is bound.", |object, _| role(object).into()),
                Column::age(),
                Column::text("Users", "Users in the binding", |object, _| subjects(object, "User").into()).wide(),
                Column::text("Groups", "Groups in the binding", |object, _| subjects(object, "Group").into()).wide(),
                Column::text("ServiceAccounts", "ServiceAccounts in the binding", |object, _| {
                    subjects(object, "ServiceAccount").into()
                })
                .wide(),
            ]
        },
        hooks: Hooks { validate: Some(validate_binding), validate_update: Some(role_ref_stays), ..Hooks::default() },
        ..Resource::new(
            gvr,
            "ClusterRoleBinding",
            "clusterrolebinding",
            Scope::Cluster,
            "io.k8s.api.rbac.v1.ClusterRoleBinding",
        )
    }
}
