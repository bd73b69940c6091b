//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use k8s_openapi::api::admissionregistration::v1::MutatingAdmissionPolicyBinding;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        categories: vec!["api-extensions".into()],
        generation: true,
        columns: const {
            &[
                Column::text(
                    "PolicyName",
                    "PolicyName indicates the policy definition which the policy binding binded to",
                    |o, _| tree::text(o, "spec.policyName").into(),
                ),
                Column::text(
                    "ParamRef",
                    "ParamRef specifies the parameter resource used to configure the admission control policy",
                    |o, _| super::param_ref(o),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks { validate: Some(policy_rules::mutating_binding), ..Hooks::default() },
        ..Resource::of::<MutatingAdmissionPolicyBinding>()
    }
}
