//! MutatingWebhookConfiguration: whom to ask before objects are written, and who may change them.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;

use super::webhook_rules;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    super::webhooks::<MutatingWebhookConfiguration>(Hooks {
        validate_create: Some(webhook_rules::mutating),
        validate_update: Some(webhook_rules::mutating_update),
        ..Hooks::default()
    })
}
