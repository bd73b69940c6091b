//! NetworkPolicy: who may speak with the pods of a namespace.

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::apps::workload::selector_text;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["netpol".into()],
        generation: true,
        columns: const {
            &[
                Column::text("Pod-Selector", "io.k8s.api.networking.v1.NetworkPolicySpec.podSelector", |o, _| {
                    selector_text(tree::at(o, "spec.podSelector")).into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks { validate: Some(policy_rules::validate), ..Hooks::default() },
        ..Resource::of::<NetworkPolicy>()
    }
}
