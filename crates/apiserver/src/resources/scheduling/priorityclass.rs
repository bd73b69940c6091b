//! PriorityClass: a name for a priority of pods.

use api::status::Cause;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde_json::Value;

use crate::resource::{Column, Hooks, Resource};
use crate::resources::fields::{immutable, path};
use crate::tree;

/// Classes of the cluster itself: name, value and what it is for.
pub const SYSTEM: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
const PREFIX: &str = "system-";
const USER_VALUE_MAX: i64 = 1_000_000_000;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["pc".into()],
        generation: true,
        columns: const {
            &[
                Column::integer("Value", "io.k8s.api.scheduling.v1.PriorityClass.value", |o, _| {
                    tree::int(o, "value").unwrap_or_default().into()
                }),
                Column::boolean("Global-Default", "io.k8s.api.scheduling.v1.PriorityClass.globalDefault", |o, _| {
                    tree::flag(o, "globalDefault").into()
                }),
                Column::age(),
                Column::text("PreemptionPolicy", "io.k8s.api.scheduling.v1.PriorityClass.preemptionPolicy", |o, _| {
                    tree::text(o, "preemptionPolicy").into()
                }),
            ]
        },
        hooks: Hooks { validate_create: Some(validate), validate_update: Some(validate_update), ..Hooks::default() },
        ..Resource::of::<PriorityClass>()
    }
}

fn validate(class: &Value) -> Vec<Cause> {
    let name = tree::text(class, "metadata.name");
    let value = tree::int(class, "value").unwrap_or_default();
    let mut causes = Vec::new();
    if name.starts_with(PREFIX) {
        if let Some(error) = not_of_the_system(name, value, tree::flag(class, "globalDefault")) {
            let why =
                format!("priority class names with '{PREFIX}' prefix are reserved for system use only. error: {error}");
            causes.push(path("metadata.name").forbidden(&why));
        }
    } else if value > USER_VALUE_MAX {
        let why = format!("maximum allowed value of a user defined priority is {USER_VALUE_MAX}");
        causes.push(path("value").forbidden(&why));
    }
    let at = path("preemptionPolicy");
    match class.get("preemptionPolicy").and_then(Value::as_str) {
        Some("") => causes.push(at.required("")),
        None | Some("PreemptLowerPriority" | "Never") => {}
        Some(other) => causes.push(at.not_supported(other, &["PreemptLowerPriority", "Never"])),
    }
    causes
}

fn not_of_the_system(name: &str, value: i64, global: bool) -> Option<String> {
    match SYSTEM.iter().find(|(known, ..)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, wanted, _)) if *wanted != value => Some(format!("value of {name} PriorityClass must be {wanted}")),
        Some(_) if global => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if new.get("value") != old.get("value") {
        causes.push(path("value").forbidden("may not be changed in an update."));
    }
    causes.extend(immutable(new, old, "preemptionPolicy"));
    causes
}
