//! PodTemplate: a pod's description on its own, for controllers that keep theirs apart.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::core::v1::PodTemplate;
use serde_json::Value;

use super::pod_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        returns_deleted: true,
        columns: const {
            &[
                Column::text("Containers", "Names of each container in the template.", |o, _| {
                    containers(o, "name").into()
                }),
                Column::text("Images", "Images referenced by each container in the template.", |o, _| {
                    containers(o, "image").into()
                }),
                Column::text("Pod Labels", "The labels for the pod template.", |o, _| labels(o).into()),
            ]
        },
        hooks: Hooks { validate: Some(validate), ..Hooks::default() },
        ..Resource::of::<PodTemplate>()
    }
}

fn containers(object: &Value, field: &str) -> String {
    let all = tree::list(object, "template.spec.containers").iter();
    all.map(|container| tree::text(container, field)).collect::<Vec<_>>().join(",")
}

fn labels(object: &Value) -> String {
    let labels = tree::at(object, "template.metadata.labels").and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if labels.is_empty() { "<none>".to_owned() } else { labels.join(",") }
}

fn validate(object: &Value) -> Vec<Cause> {
    let empty = Value::Object(serde_json::Map::new());
    pod_rules::validate_template(object.get("template").unwrap_or(&empty), &Path::new("template"))
}
