//! IngressClass: who serves ingresses of one sort.

use k8s_openapi::api::networking::v1::IngressClass;
use serde_json::Value;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        columns: const {
            &[
                Column::text("Controller", "Controller that is responsible for handling this class", |o, _| {
                    tree::text(o, "spec.controller").into()
                }),
                Column::text("Parameters", "A reference to a resource with additional parameters", |o, _| {
                    parameters(o)
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(rules::ingress_class),
            validate_update: Some(rules::ingress_class_update),
            ..Hooks::default()
        },
        ..Resource::of::<IngressClass>()
    }
}

fn parameters(class: &Value) -> Value {
    let Some(parameters) = tree::at(class, "spec.parameters") else { return cells::NONE.into() };
    let (kind, name) = (tree::text(parameters, "kind"), tree::text(parameters, "name"));
    match tree::text(parameters, "apiGroup") {
        "" => format!("{kind}/{name}").into(),
        group => format!("{kind}.{group}/{name}").into(),
    }
}
