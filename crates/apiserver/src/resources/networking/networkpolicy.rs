//! NetworkPolicy: who may speak with the pods of a namespace.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::subresources::scale::selector_text;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["netpol".into()],
        generation: true,
        columns: const {
            &[
                Column::text("Pod-Selector", "io.k8s.api.networking.v1.NetworkPolicySpec.podSelector", |o, _| {
                    selector(o)
                }),
                Column::age(),
            ]
        },
        hooks: Hooks { validate: Some(policy_rules::validate), ..Hooks::default() },
        ..Resource::of::<NetworkPolicy>()
    }
}

fn selector(policy: &Value) -> Value {
    match selector_text(tree::at(policy, "spec.podSelector")) {
        empty if empty.is_empty() => cells::NONE.into(),
        text => text.into(),
    }
}
