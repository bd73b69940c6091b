//! APIService: who serves a group and version: this server, or a service of the cluster.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        name_rule: api::validation::name::path_segment,
        categories: vec!["api-extensions".into()],
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("Service", "Where it is served.", |o, _| service(o)),
                Column::text("Available", "Whether it can be reached.", |o, _| available(o)),
                Column::age(),
            ]
        },
        hooks: Hooks { prepare_create: Some(prepare_create), validate: Some(rules::validate), ..Hooks::default() },
        ..Resource::of::<APIService>()
    }
}

fn service(registration: &Value) -> Value {
    let Some(service) = tree::at(registration, "spec.service") else { return "Local".into() };
    format!("{}/{}", tree::text(service, "namespace"), tree::text(service, "name")).into()
}

fn available(registration: &Value) -> Value {
    let conditions = tree::list(registration, "status.conditions");
    match conditions.iter().find(|condition| tree::text(condition, "type") == "Available") {
        None => "Unknown".into(),
        Some(found) if tree::text(found, "status") == "True" => "True".into(),
        Some(found) => format!("{} ({})", tree::text(found, "status"), tree::text(found, "reason")).into(),
    }
}

/// What this server serves itself is there as soon as it is said.
fn prepare_create(registration: &mut Value, context: &HookContext<'_>) {
    tree::set(registration, "status", json!({}));
    if !tree::is_set(registration, "spec.service") {
        let condition = json!({
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
            "lastTransitionTime": crate::verbs::timestamp(context.now),
        });
        tree::set(registration, "status.conditions", json!([condition]));
    }
}
