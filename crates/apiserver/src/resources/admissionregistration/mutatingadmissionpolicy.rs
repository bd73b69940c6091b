//! MutatingAdmissionPolicy: expressions that change objects.

use k8s_openapi::api::admissionregistration::v1::MutatingAdmissionPolicy;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;

pub fn resource() -> Resource {
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
        ..Resource::of::<MutatingAdmissionPolicy>()
    }
}
