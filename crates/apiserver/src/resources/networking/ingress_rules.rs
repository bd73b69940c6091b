//! What an Ingress must be.

use std::net::IpAddr;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, ip, port_name, port_number, wildcard_subdomain};
use serde_json::Value;

use super::rules::typed_reference;
use crate::resources::fields::path;
use crate::tree;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub fn validate(ingress: &Value) -> Vec<Cause> {
    let at = path("spec");
    let rules = tree::list(ingress, "spec.rules");
    let backend = tree::at(ingress, "spec.defaultBackend");
    let mut causes = Vec::new();
    if rules.is_empty() && backend.is_none() {
        causes.push(at.invalid(Value::Null, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(backend) = backend {
        causes.extend(validate_backend(backend, &at.child("defaultBackend")));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("rules").index(i);
        causes.extend(rule_host(tree::text(rule, "host"), &at.child("host")));
        if let Some(http) = rule.get("http") {
            causes.extend(http_rule(http, &at.child("http")));
        }
    }
    for (i, tls) in tree::list(ingress, "spec.tls").iter().enumerate() {
        let at = at.child("tls").index(i);
        for (j, host) in tree::texts(tls, "hosts").into_iter().enumerate() {
            causes.extend(at.child("hosts").index(j).invalid_each(host, host_form(host)));
        }
        let secret = tree::text(tls, "secretName");
        if !secret.is_empty() {
            causes.extend(at.child("secretName").invalid_each(secret, dns1123_subdomain(secret)));
        }
    }
    if let Some(class) = tree::at(ingress, "spec.ingressClassName").and_then(Value::as_str) {
        causes.extend(at.child("ingressClassName").invalid_each(class, dns1123_subdomain(class)));
    }
    causes
}

fn host_form(host: &str) -> Vec<String> {
    if host.contains('*') { wildcard_subdomain(host) } else { dns1123_subdomain(host) }
}

fn rule_host(host: &str, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if host.is_empty() {
        return causes;
    }
    if host.parse::<IpAddr>().is_ok() {
        causes.push(at.invalid(host, "must be a DNS name, not an IP address"));
    }
    causes.extend(at.invalid_each(host, host_form(host)));
    causes
}

fn http_rule(http: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("paths");
    let mut causes = Vec::new();
    let paths = tree::list(http, "paths");
    if paths.is_empty() {
        causes.push(at.required(""));
    }
    for (i, one) in paths.iter().enumerate() {
        causes.extend(http_path(one, &at.index(i)));
    }
    causes
}

fn http_path(one: &Value, at: &Path) -> Vec<Cause> {
    let kind = tree::text(one, "pathType");
    if kind.is_empty() {
        return vec![at.child("pathType").required("pathType must be specified")];
    }
    let text = tree::text(one, "path");
    let refuse = |why: &str| at.child("path").invalid(text, why);
    let mut causes = Vec::new();
    let strict = matches!(kind, "Exact" | "Prefix");
    match kind {
        "Exact" | "Prefix" | "ImplementationSpecific" => {
            if !text.starts_with('/') && (strict || !text.is_empty()) {
                causes.push(refuse("must be an absolute path"));
            }
        }
        other => {
            let supported = &["Exact", "ImplementationSpecific", "Prefix"];
            causes.push(at.child("pathType").not_supported(other, supported));
        }
    }
    if strict && !text.is_empty() {
        for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
            if text.contains(sequence) {
                causes.push(refuse(&format!("must not contain '{sequence}'")));
            }
        }
        for suffix in ["/..", "/."] {
            if text.ends_with(suffix) {
                causes.push(refuse(&format!("cannot end with '{suffix}'")));
            }
        }
    }
    let none = Value::Null;
    causes.extend(validate_backend(one.get("backend").unwrap_or(&none), &at.child("backend")));
    causes
}

fn validate_backend(backend: &Value, at: &Path) -> Vec<Cause> {
    let (resource, service) = (backend.get("resource"), backend.get("service"));
    match (resource, service) {
        (Some(_), Some(_)) => vec![at.invalid("", "cannot set both resource and service backends")],
        (Some(resource), None) => typed_reference(resource, &at.child("resource")),
        (None, None) => vec![at.invalid("", "resource or service backend is required")],
        (None, Some(service)) => service_backend(service, at),
    }
}

fn service_backend(service: &Value, at: &Path) -> Vec<Cause> {
    let here = at.child("service");
    let mut causes = Vec::new();
    match tree::text(service, "name") {
        "" => causes.push(here.child("name").required("")),
        name => causes.extend(here.child("name").invalid_each(name, dns1123_label(name))),
    }
    let (name, number) = (tree::text(service, "port.name"), tree::int(service, "port.number").unwrap_or_default());
    let port = here.child("port");
    match (name, number) {
        ("", 0) => causes.push(at.required("port name or number is required")),
        ("", number) => {
            causes.extend(port_number(number).iter().map(|why| port.child("number").invalid(number, why)));
        }
        (name, 0) => causes.extend(port.child("name").invalid_each(name, port_name(name))),
        _ => causes.push(at.invalid("", "cannot set both port name & port number")),
    }
    causes
}

/// The old annotation and the field may not contradict each other.
pub fn validate_create(ingress: &Value) -> Vec<Cause> {
    let annotation = tree::at(ingress, "metadata.annotations").and_then(|all| all.get(CLASS_ANNOTATION));
    let class = tree::at(ingress, "spec.ingressClassName");
    match (annotation, class) {
        (Some(annotation), Some(class)) if annotation != class => {
            let at = path("annotations").child(CLASS_ANNOTATION);
            vec![at.invalid(annotation.clone(), "must match `ingressClassName` when both are specified")]
        }
        _ => Vec::new(),
    }
}

pub fn validate_status(new: &Value, _old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, at_balancer) in tree::list(new, "status.loadBalancer.ingress").iter().enumerate() {
        let at = path("status.loadBalancer.ingress").index(i);
        let address = tree::text(at_balancer, "ip");
        if !address.is_empty() {
            causes.extend(at.child("ip").invalid_each(address, ip(address)));
        }
        let host = tree::text(at_balancer, "hostname");
        if !host.is_empty() {
            let at = at.child("hostname");
            causes.extend(at.invalid_each(host, dns1123_subdomain(host)));
            if host.parse::<IpAddr>().is_ok() {
                causes.push(at.invalid(host, "must be a DNS name, not an IP address"));
            }
        }
    }
    causes
}
