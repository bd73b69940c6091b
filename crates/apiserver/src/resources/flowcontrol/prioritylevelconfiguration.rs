//! PriorityLevelConfiguration: how many requests of one level are served at once, and how others wait.

use api::Gvr;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Scope, Subresource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations");
    Resource {
        generation: true,
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Type", "Whether the level is limited.", |o, _| tree::text(o, "spec.type").into()),
                Column::text("NominalConcurrencyShares", "Its share of the seats.", |o, _| {
                    number(o, "spec.limited.nominalConcurrencyShares")
                }),
                Column::text("Queues", "How many queues it has.", |o, _| {
                    number(o, "spec.limited.limitResponse.queuing.queues")
                }),
                Column::text("HandSize", "Among how many queues a flow chooses.", |o, _| {
                    number(o, "spec.limited.limitResponse.queuing.handSize")
                }),
                Column::text("QueueLengthLimit", "How many requests wait in a queue.", |o, _| {
                    number(o, "spec.limited.limitResponse.queuing.queueLengthLimit")
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(rules::priority_level),
            validate_status: Some(rules::status),
            ..Hooks::default()
        },
        ..Resource::new(
            gvr,
            "PriorityLevelConfiguration",
            "prioritylevelconfiguration",
            Scope::Cluster,
            "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
        )
    }
}

fn number(level: &Value, path: &str) -> Value {
    tree::int(level, path).map_or(cells::NONE.into(), Value::from)
}

fn prepare_create(level: &mut Value, _: &HookContext<'_>) {
    tree::set(level, "status", json!({}));
}
