//! ValidatingWebhookConfiguration: whom to ask whether objects may be written.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;

use super::webhook_rules;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    super::webhooks::<ValidatingWebhookConfiguration>(Hooks {
        validate_create: Some(webhook_rules::validating),
        validate_update: Some(webhook_rules::validating_update),
        ..Hooks::default()
    })
}
