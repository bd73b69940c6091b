//! MutatingWebhookConfiguration: whom to ask before objects are written, and who may change them.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;

use super::webhook_rules;
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
                    "Webhooks",
                    "Webhooks indicates the number of webhooks registered in this configuration",
                    |o, _| cells::count(o, "webhooks"),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate_create: Some(webhook_rules::mutating),
            validate_update: Some(webhook_rules::mutating_update),
            ..Hooks::default()
        },
        ..Resource::of::<MutatingWebhookConfiguration>()
    }
}
