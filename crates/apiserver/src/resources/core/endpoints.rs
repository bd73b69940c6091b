//! Endpoints: the addresses behind a Service, in the form that came before EndpointSlice.

use k8s_openapi::api::core::v1::Endpoints;
use serde_json::Value;

use super::endpoints_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::tree;

/// Addresses shown before `+ N more...`.
const SHOWN_MAX: usize = 3;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ep".into()],
        create_on_update: true,
        deprecated: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        hooks: Hooks { validate: Some(endpoints_rules::validate), ..Hooks::default() },
        columns: const {
            &[
                Column::text("Endpoints", "io.k8s.api.core.v1.Endpoints.subsets", |o, _| addresses(o).into()),
                Column::age(),
            ]
        },
        ..Resource::of::<Endpoints>()
    }
}

fn addresses(endpoints: &Value) -> String {
    let subsets = tree::list(endpoints, "subsets");
    if subsets.is_empty() {
        return cells::NONE.to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let ips = || tree::list(subset, "addresses").iter().map(|address| tree::text(address, "ip"));
        let ports = tree::list(subset, "ports");
        if ports.is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for port in ports {
            let number = tree::int(port, "port").unwrap_or_default();
            all.extend(
                ips().map(|ip| if ip.contains(':') { format!("[{ip}]:{number}") } else { format!("{ip}:{number}") }),
            );
        }
    }
    match all.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        Some(more) => format!("{} + {more} more...", all[..SHOWN_MAX].join(",")),
        None => all.join(","),
    }
}
