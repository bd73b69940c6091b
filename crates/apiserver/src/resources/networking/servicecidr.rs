//! ServiceCIDR: a range of addresses for services.

use k8s_openapi::api::networking::v1::ServiceCIDR;
use serde_json::{Value, json};

use super::rules;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
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
        ..Resource::of::<ServiceCIDR>()
    }
}

fn prepare_create(cidr: &mut Value, _: &HookContext<'_>) {
    tree::set(cidr, "status", json!({}));
}
