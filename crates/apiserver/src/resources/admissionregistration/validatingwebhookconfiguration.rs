//! ValidatingWebhookConfiguration: whom to ask whether objects may be written.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;

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
            validate_create: Some(webhook_rules::validating),
            validate_update: Some(webhook_rules::validating_update),
            ..Hooks::default()
        },
        ..Resource::of::<ValidatingWebhookConfiguration>()
    }
}
