//! ServiceCIDR: a range of addresses for services.

use api::Gvr;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");
    Resource {
        subresources: &[Subresource::Status],
        columns: const {
            &[
                Column::text("CIDRs", "io.k8s.api.networking.v1.ServiceCIDRSpec.cidrs", |o, _| {
                    tree::texts(o, "spec.cidrs").join(",").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(prepare_create),
            validate: Some(rules::service_cidr),
            validate_update: Some(rules::service_cidr_update),
            ..Hooks::default()
        },
        ..Resource::new(gvr, "ServiceCIDR", "servicecidr", Scope::Cluster, "io.k8s.api.networking.v1.ServiceCIDR")
    }
}

fn prepare_create(cidr: &mut Value, _: &HookContext<'_>) {
    tree::set(cidr, "status", json!({}));
}
