//! PodTemplate: a pod's description on its own, for controllers that keep theirs apart.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::core::v1::PodTemplate;
use serde_json::Value;

use super::pod_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::apps::workload::{containers, labels_text};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        returns_deleted: true,
        columns: const {
            &[
                Column::text("Containers", "Names of each container in the template.", |o, _| {
                    containers(o, "template", "name").into()
                }),
                Column::text("Images", "Images referenced by each container in the template.", |o, _| {
                    containers(o, "template", "image").into()
                }),
                Column::text("Pod Labels", "The labels for the pod template.", |o, _| {
                    labels_text(tree::at(o, "template.metadata.labels")).into()
                }),
            ]
        },
        hooks: Hooks { validate: Some(validate), warn: Some(warn), ..Hooks::default() },
        ..Resource::of::<PodTemplate>()
    }
}

fn validate(object: &Value) -> Vec<Cause> {
    let empty = Value::Object(serde_json::Map::new());
    pod_rules::validate_template(object.get("template").unwrap_or(&empty), &Path::new("template"))
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some_and(|old| old["template"] == new["template"]) {
        return Vec::new();
    }
    pod_rules::warnings::template(&new["template"], &Path::new("template"))
}
