//! ValidatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;

use super::policy_rules;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    super::binding::<ValidatingAdmissionPolicyBinding>(Hooks {
        validate: Some(policy_rules::validating_binding),
        ..Hooks::default()
    })
}
