//! Endpoints: the addresses behind a Service, in the form that came before EndpointSlice.

use api::Gvr;
use serde_json::Value;

use crate::resource::{Column, Resource, Scope};
use crate::tree;

/// Addresses shown before `+ N more...`.
const SHOWN_MAX: usize = 3;

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "endpoints");
    Resource {
        short_names: vec!["ep".into()],
        create_on_update: true,
        deprecated: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        columns: const {
            &[
                Column::text("Endpoints", "The addresses and ports that the service leads to.", |o, _| {
                    addresses(o).into()
                }),
                Column::age(),
            ]
        },
        ..Resource::new(gvr, "Endpoints", "endpoints", Scope::Namespaced, "io.k8s.api.core.v1.Endpoints")
    }
}

fn addresses(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in tree::list(endpoints, "subsets") {
        let ports = tree::list(subset, "ports");
        for address in tree::list(subset, "addresses") {
            let ip = tree::text(address, "ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{ip}:{}", tree::int(port, "port").unwrap_or_default())));
        }
    }
    match all.len() {
        0 => "<none>".to_owned(),
        count if count > SHOWN_MAX => format!("{} + {} more...", all[..SHOWN_MAX].join(","), count - SHOWN_MAX),
        _ => all.join(","),
    }
}
