//! MutatingAdmissionPolicy: expressions that change objects.

use api::Gvr;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource, Scope};
use crate::resources::cells;

pub fn resource() -> Resource {
    let gvr = Gvr::new("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies");
    Resource {
        unconditional_update: false,
        categories: vec!["api-extensions".into()],
        generation: true,
        columns: const {
            &[
                Column::integer(
                    "Mutations",
                    "Mutations indicates the number of mutation rules defined in this configuration",
                    |o, _| cells::count(o, "spec.mutations"),
                ),
                Column::text(
                    "ParamKind",
                    "ParamKind specifies the kind of resources used to parameterize this policy",
                    |o, _| super::param_kind(o),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks { validate: Some(policy_rules::mutating), ..Hooks::default() },
        ..Resource::new(
            gvr,
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicy",
            Scope::Cluster,
            "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
        )
    }
}
