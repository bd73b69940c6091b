//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use k8s_openapi::api::admissionregistration::v1::MutatingAdmissionPolicyBinding;

use super::policy_rules;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    super::binding::<MutatingAdmissionPolicyBinding>(Hooks {
        validate: Some(policy_rules::mutating_binding),
        ..Hooks::default()
    })
}
