//! ValidatingWebhookConfiguration: whom to ask whether objects may be written.

use api::Gvr;

use super::webhook_rules;
use crate::resource::{Column, Hooks, Resource, Scope};
use crate::resources::cells;

pub fn resource() -> Resource {
    let gvr = Gvr::new("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
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
        ..Resource::new(
            gvr,
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfiguration",
            Scope::Cluster,
            "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        )
    }
}
