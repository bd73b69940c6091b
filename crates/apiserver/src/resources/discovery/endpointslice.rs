//! EndpointSlice: a part of the addresses behind a Service.

use api::status::Cause;
use api::validation::Path;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

use crate::causes::{invalid_value, required};
use crate::resource::{Column, HookContext, Hooks, Resource};
use crate::resources::warnings::ip;
use crate::tree;

const SHOWN_MAX: usize = 3;

pub fn resource() -> Resource {
    Resource {
        generation: true,
        columns: const {
            &[
                Column::text("AddressType", "io.k8s.api.discovery.v1.EndpointSlice.addressType", |slice, _| {
                    tree::text(slice, "addressType").into()
                }),
                Column::text("Ports", "io.k8s.api.discovery.v1.EndpointSlice.ports", |slice, _| ports(slice).into()),
                Column::text("Endpoints", "io.k8s.api.discovery.v1.EndpointSlice.endpoints", |slice, _| {
                    endpoints(slice).into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            prepare_update: Some(prepare_update),
            validate: Some(validate),
            validate_update: Some(validate_update),
            warn: Some(warn),
            ..Hooks::default()
        },
        ..Resource::of::<EndpointSlice>()
    }
}

fn shorten(all: &[String], none: &str) -> String {
    match all.len() {
        0 => none.to_owned(),
        count if count > SHOWN_MAX => format!("{} + {} more...", all[..SHOWN_MAX].join(","), count - SHOWN_MAX),
        _ => all.join(","),
    }
}

fn ports(slice: &Value) -> String {
    let port = |port: &Value| tree::int(port, "port").map_or_else(|| "*".to_owned(), |number| number.to_string());
    shorten(&tree::list(slice, "ports").iter().map(port).collect::<Vec<_>>(), "<unset>")
}

fn endpoints(slice: &Value) -> String {
    let all = tree::list(slice, "endpoints").iter().flat_map(|endpoint| tree::texts(endpoint, "addresses"));
    shorten(&all.map(str::to_owned).collect::<Vec<_>>(), "<unset>")
}

fn validate(slice: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree::text(slice, "addressType").is_empty() {
        causes.push(required("addressType", ""));
    }
    for (i, endpoint) in tree::list(slice, "endpoints").iter().enumerate() {
        if tree::list(endpoint, "addresses").is_empty() {
            let why = "must contain at least 1 address";
            causes.push(required(&format!("endpoints[{i}].addresses"), why));
        }
    }
    causes
}

fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    if new.get("addressType") == old.get("addressType") {
        return Vec::new();
    }
    vec![invalid_value("addressType", &new["addressType"], "field is immutable")]
}

/// Labels count as content: they say which service the slice belongs to.
fn prepare_update(new: &mut Value, old: &Value, _: &HookContext<'_>) {
    if tree::at(new, "metadata.labels") != tree::at(old, "metadata.labels") {
        let generation = tree::int(old, "metadata.generation").unwrap_or_default();
        tree::set(new, "metadata.generation", generation + 1);
    }
}

/// Names in place of addresses, and addresses in odd forms but for those that a controller made.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    const OURS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    let mut warnings = Vec::new();
    if old.is_none() && tree::text(new, "addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let by = tree::at(new, "metadata.labels").and_then(|labels| labels.get("endpointslice.kubernetes.io/managed-by"));
    if by.and_then(Value::as_str).is_some_and(|by| OURS.contains(&by)) {
        return warnings;
    }
    for (i, endpoint) in tree::list(new, "endpoints").iter().enumerate() {
        for (j, address) in tree::texts(endpoint, "addresses").into_iter().enumerate() {
            warnings.extend(ip(address, &Path::new("endpoints").index(i).child("addresses").index(j)));
        }
    }
    warnings
}
