//! FlowSchema: which requests belong to which level of priority.

use k8s_openapi::api::flowcontrol::v1::FlowSchema;
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
                Column::text(
                    "PriorityLevel",
                    "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference.name",
                    |o, _| tree::text(o, "spec.priorityLevelConfiguration.name").into(),
                ),
                Column::text(
                    "MatchingPrecedence",
                    "io.k8s.api.flowcontrol.v1.FlowSchemaSpec.matchingPrecedence",
                    |o, _| tree::int(o, "spec.matchingPrecedence").unwrap_or_default().into(),
                ),
                Column::text(
                    "DistinguisherMethod",
                    "io.k8s.api.flowcontrol.v1.FlowSchemaSpec.distinguisherMethod",
                    |o, _| cells::text_or(o, "spec.distinguisherMethod.type", cells::NONE),
                ),
                Column::age(),
                Column::text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration", |o, _| {
                    dangling(o)
                }),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(rules::flow_schema),
            validate_status: Some(rules::status),
            ..Hooks::default()
        },
        ..Resource::of::<FlowSchema>()
    }
}

fn dangling(schema: &Value) -> Value {
    let mut conditions = tree::list(schema, "status.conditions").iter();
    let found = conditions.find(|condition| tree::text(condition, "type") == "Dangling");
    found.map_or("?", |condition| tree::text(condition, "status")).into()
}

fn prepare_create(schema: &mut Value, _: &HookContext<'_>) {
    tree::set(schema, "status", json!({}));
}
