//! Endpoints: the addresses behind a Service, in the form that came before EndpointSlice.

use api::validation::Path;
use k8s_openapi::api::core::v1::Endpoints;
use serde_json::Value;

use super::endpoints_rules;
use crate::resource::{Column, Hooks, Resource};
use crate::resources::cells;
use crate::resources::warnings::ip;
use crate::tree;

/// Addresses shown before `+ N more...`.
const SHOWN_MAX: usize = 3;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ep".into()],
        create_on_update: true,
        deprecated: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        hooks: Hooks {
            validate: Some(endpoints_rules::validate),
            warn: Some(|endpoints, _| warn(endpoints)),
            ..Hooks::default()
        },
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

/// Addresses in odd forms. What the controller writes is known to be good.
fn warn(endpoints: &Value) -> Vec<String> {
    let labels = tree::at(endpoints, "metadata.labels");
    if labels
        .and_then(|labels| labels.get("endpoints.kubernetes.io/managed-by"))
        .is_some_and(|by| by == "endpoint-controller")
    {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (i, subset) in tree::list(endpoints, "subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in tree::list(subset, list).iter().enumerate() {
                let path = Path::new("subsets").index(i).child(list).index(j).child("ip");
                warnings.extend(ip(tree::text(address, "ip"), &path));
            }
        }
    }
    warnings
}
