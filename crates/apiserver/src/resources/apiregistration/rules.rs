//! What an APIService must be.

use api::status::Cause;
use api::validation::name::{dns1035_label, dns1123_subdomain, port_number};
use serde_json::Value;

use crate::resources::fields::path;
use crate::tree;

pub fn validate(registration: &Value) -> Vec<Cause> {
    let (group, version) = (tree::text(registration, "spec.group"), tree::text(registration, "spec.version"));
    let name = tree::text(registration, "metadata.name");
    let mut causes = Vec::new();
    let wanted = format!("{version}.{group}");
    if !name.is_empty() && name != wanted {
        let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        causes.push(path("metadata.name").invalid(name, &why));
    }
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        causes.push(path("spec.group").required(why));
    }
    if !group.is_empty() {
        causes.extend(path("spec.group").invalid_each(group, dns1123_subdomain(group)));
    }
    causes.extend(path("spec.version").invalid_each(version, dns1035_label(version)));
    for (field, max) in [("spec.groupPriorityMinimum", 20_000), ("spec.versionPriority", 1_000)] {
        let number = tree::int(registration, field).unwrap_or_default();
        if !(1..=max).contains(&number) {
            causes.push(path(field).invalid(number, &format!("must be positive and less than {max}")));
        }
    }
    causes.extend(backend(registration));
    causes
}

fn backend(registration: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let bundle = tree::text(registration, "spec.caBundle");
    let unverified = tree::flag(registration, "spec.insecureSkipTLSVerify");
    let (at_bundle, at_unverified) = (path("spec.caBundle"), path("spec.insecureSkipTLSVerify"));
    let Some(service) = tree::at(registration, "spec.service") else {
        if !bundle.is_empty() {
            let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
            causes.push(at_bundle.invalid(format!("{bytes} bytes"), "local APIServices may not have a caBundle"));
        }
        if unverified {
            causes.push(at_unverified.invalid(true, "local APIServices may not have insecureSkipTLSVerify"));
        }
        return causes;
    };
    for field in ["namespace", "name"] {
        if tree::text(service, field).is_empty() {
            causes.push(path("spec.service").child(field).required(""));
        }
    }
    let port = tree::int(service, "port").unwrap_or(443);
    let whys = port_number(port);
    if !whys.is_empty() {
        let why = format!("port is not valid: {}", whys.join(","));
        causes.push(path("spec.service.port").invalid(port, &why));
    }
    if unverified && !bundle.is_empty() {
        causes.push(at_unverified.invalid(true, "may not be true if caBundle is present"));
    }
    causes
}
