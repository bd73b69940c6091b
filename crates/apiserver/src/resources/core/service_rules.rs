//! What a Service must be, and what of it may change.

use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_label;
use serde_json::Value;

use crate::causes::{duplicate, invalid_value, required, unsupported};
use crate::tree;

pub fn validate(service: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = tree::text(service, "spec.type");
    let headless = tree::text(service, "spec.clusterIP") == "None";
    let ports = tree::list(service, "spec.ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.push(required("spec.ports", ""));
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let why = format!("may not be set to 'None' for {kind} services");
        causes.push(invalid_value("spec.clusterIPs[0]", &tree::text(service, "spec.clusterIP").into(), &why));
    }
    if kind == "ExternalName" && tree::text(service, "spec.externalName").is_empty() {
        causes.push(required("spec.externalName", ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        validate_port(port, &format!("spec.ports[{i}]"), ports.len() > 1, &mut names, &mut causes);
    }
    let mut seen: Vec<(Option<&Value>, Option<&Value>)> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let key = (port.get("port"), port.get("protocol"));
        if seen.contains(&key) {
            let shown = serde_json::json!({ "port": key.0, "protocol": key.1 });
            causes.push(duplicate(&format!("spec.ports[{i}]"), &shown));
        }
        seen.push(key);
    }
    let affinity = tree::text(service, "spec.sessionAffinity");
    if !matches!(affinity, "None" | "ClientIP") {
        causes.push(unsupported("spec.sessionAffinity", affinity, "\"ClientIP\", \"None\""));
    }
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let all = "\"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"";
        causes.push(unsupported("spec.type", kind, all));
    }
    let address = tree::text(service, "spec.clusterIP");
    if !matches!(address, "" | "None") && address.parse::<IpAddr>().is_err() {
        let why = "must be empty, 'None', or a valid IP address";
        causes.push(invalid_value("spec.clusterIPs[0]", &address.into(), why));
    }
    causes
}

fn validate_port<'a>(port: &'a Value, at: &str, named: bool, names: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    let name = tree::text(port, "name");
    if named && name.is_empty() {
        causes.push(required(&format!("{at}.name"), ""));
    } else if !name.is_empty() {
        causes.extend(Path::new(&format!("{at}.name")).invalid_each(name, dns1123_label(name)));
        if names.contains(&name) {
            causes.push(duplicate(&format!("{at}.name"), &name.into()));
        }
        names.push(name);
    }
    let number = tree::int(port, "port").unwrap_or_default();
    if !(1..=65535).contains(&number) {
        causes.push(invalid_value(&format!("{at}.port"), &number.into(), "must be between 1 and 65535, inclusive"));
    }
    let protocol = tree::text(port, "protocol");
    if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        causes.push(unsupported(&format!("{at}.protocol"), protocol, "\"SCTP\", \"TCP\", \"UDP\""));
    }
    if let Some(target) = tree::int(port, "targetPort").filter(|target| !(1..=65535).contains(target)) {
        causes.push(invalid_value(
            &format!("{at}.targetPort"),
            &target.into(),
            "must be between 1 and 65535, inclusive",
        ));
    }
}

/// The address is for life, unless the service stops or starts to have one.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let external = |service: &Value| tree::text(service, "spec.type") == "ExternalName";
    let (address, before) = (tree::text(new, "spec.clusterIP"), tree::text(old, "spec.clusterIP"));
    if external(new) || external(old) || address.is_empty() || before.is_empty() || address == before {
        return Vec::new();
    }
    vec![invalid_value("spec.clusterIPs[0]", &serde_json::json!([address]), "may not change once set")]
}
