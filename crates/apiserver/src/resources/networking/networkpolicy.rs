//! NetworkPolicy: who may speak with the pods of a namespace.

use api::validation::Path;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;

use super::policy_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::apps::workload::selector_text;
use crate::resources::warnings::cidr;
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
        hooks: Hooks {
            validate: Some(policy_rules::validate),
            warn: Some(|policy, _| warn(policy)),
            ..Hooks::default()
        },
        ..Resource::of::<NetworkPolicy>()
    }
}

fn warn(policy: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in tree::list(policy, &format!("spec.{list}")).iter().enumerate() {
            let path = Path::new("spec").child(list).index(i).child(peers);
            for (j, peer) in tree::list(rule, peers).iter().enumerate() {
                let path = path.index(j).child("ipBlock");
                warnings.extend(cidr(tree::text(peer, "ipBlock.cidr"), &path.child("cidr")));
                for (k, except) in tree::texts(peer, "ipBlock.except").into_iter().enumerate() {
                    warnings.extend(cidr(except, &path.child("except").index(k)));
                }
            }
        }
    }
    warnings
}
