//! RuntimeClass: how containers are run, and what that costs.

use api::status::Cause;
use api::validation::meta::labels;
use api::validation::name::dns1123_label;
use k8s_openapi::api::node::v1::RuntimeClass;
use serde_json::Value;

use crate::resource::{Column, Hooks, Resource};
use crate::resources::core::{pod_rules, resource_names};
use crate::resources::fields::{immutable, path};
use crate::resources::warnings::node_label;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        unconditional_update: false,
        columns: const {
            &[
                Column::text("Handler", "io.k8s.api.node.v1.RuntimeClass.handler", |o, _| {
                    tree::text(o, "handler").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            validate: Some(validate),
            validate_update: Some(validate_update),
            warn: Some(|class, _| warn(class)),
            ..Hooks::default()
        },
        ..Resource::of::<RuntimeClass>()
    }
}

fn validate(class: &Value) -> Vec<Cause> {
    let handler = tree::text(class, "handler");
    let mut causes = match handler {
        "" => vec![path("handler").required("")],
        _ => path("handler").invalid_each(handler, dns1123_label(handler)),
    };
    let fixed = tree::at(class, "overhead.podFixed").and_then(Value::as_object);
    for (name, amount) in fixed.into_iter().flatten() {
        // Upstream checks the overhead as if it were the limits of a container, and names it so.
        let at = path("overhead.limits").key(name);
        causes.extend(resource_names::container_resource(name, &at));
        causes.extend(resource_names::amount(name, amount, &at));
    }
    let at = path("scheduling");
    causes.extend(labels(tree::at(class, "scheduling.nodeSelector"), &at.child("nodeSelector")));
    let tolerations = tree::list(class, "scheduling.tolerations");
    causes.extend(pod_rules::tolerations(tolerations, &at.child("tolerations")));
    for (i, one) in tolerations.iter().enumerate() {
        if tolerations[..i].contains(one) {
            causes.push(at.child("tolerations").index(i).duplicate(one.clone()));
        }
    }
    causes
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    immutable(new, old, "handler")
}

fn warn(class: &Value) -> Vec<String> {
    let selected = tree::at(class, "scheduling.nodeSelector").and_then(Value::as_object);
    let old = selected.into_iter().flatten().filter_map(|(key, _)| node_label(key));
    old.map(|why| format!("scheduling.nodeSelector: {why}")).collect()
}
