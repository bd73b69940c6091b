//! ValidatingAdmissionPolicy: expressions that objects must fulfil.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use serde_json::{Value, json};

use super::policy_rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        categories: vec!["api-extensions".into()],
        generation: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::integer(
                    "Validations",
                    "Validations indicates the number of validation rules defined in this configuration",
                    |o, _| cells::count(o, "spec.validations"),
                ),
                Column::text(
                    "ParamKind",
                    "ParamKind specifies the kind of resources used to parameterize this policy",
                    |o, _| super::param_kind(o),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(policy_rules::validating),
            ..Hooks::default()
        },
        ..Resource::of::<ValidatingAdmissionPolicy>()
    }
}

fn prepare_create(policy: &mut Value, _: &HookContext<'_>) {
    tree::set(policy, "status", json!({}));
}
