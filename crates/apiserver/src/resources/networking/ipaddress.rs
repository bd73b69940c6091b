//! IPAddress: an address of a service, taken.

use k8s_openapi::api::networking::v1::IPAddress;
use serde_json::Value;

use super::rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ip".into()],
        name_rule: rules::canonical_ip,
        columns: const { &[Column::text("ParentRef", "io.k8s.api.networking.v1.IPAddressSpec.parentRef", |o, _| parent(o))] },
        hooks: Hooks {
            validate: Some(rules::ip_address),
            validate_update: Some(rules::ip_address_update),
            ..Hooks::default()
        },
        ..Resource::of::<IPAddress>()
    }
}

fn parent(address: &Value) -> Value {
    let Some(parent) = tree::at(address, "spec.parentRef") else { return cells::NONE.into() };
    let mut text = tree::text(parent, "resource").to_owned();
    for (separator, field) in [('.', "group"), ('/', "namespace")] {
        let part = tree::text(parent, field);
        if !part.is_empty() {
            text.push(separator);
            text.push_str(part);
        }
    }
    format!("{}/{}", text.to_lowercase(), tree::text(parent, "name")).into()
}
