//! PriorityLevelConfiguration: how many requests of one level are served at once, and how others wait.

use k8s_openapi::api::flowcontrol::v1::PriorityLevelConfiguration;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Type", "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec.type", |o, _| {
                    tree::text(o, "spec.type").into()
                }),
                Column::text(
                    "NominalConcurrencyShares",
                    "io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
                    |o, _| number(o, "spec.limited.nominalConcurrencyShares"),
                ),
                Column::text("Queues", "io.k8s.api.flowcontrol.v1.QueuingConfiguration.queues", |o, _| {
                    number(o, "spec.limited.limitResponse.queuing.queues")
                }),
                Column::text("HandSize", "io.k8s.api.flowcontrol.v1.QueuingConfiguration.handSize", |o, _| {
                    number(o, "spec.limited.limitResponse.queuing.handSize")
                }),
                Column::text(
                    "QueueLengthLimit",
                    "io.k8s.api.flowcontrol.v1.QueuingConfiguration.queueLengthLimit",
                    |o, _| number(o, "spec.limited.limitResponse.queuing.queueLengthLimit"),
                ),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(rules::priority_level),
            validate_status: Some(rules::status),
            ..Hooks::default()
        },
        ..Resource::of::<PriorityLevelConfiguration>()
    }
}

fn number(level: &Value, path: &str) -> Value {
    tree::int(level, path).map_or(cells::NONE.into(), Value::from)
}

fn prepare_create(level: &mut Value, _: &HookContext<'_>) {
    tree::set(level, "status", json!({}));
}
