//! How objects are converted between the versions of a definition.

use api::status::Cause;
use api::validation::{Path, name};
use serde_json::Value;

use crate::tree;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub fn check(spec: &Value) -> Vec<Cause> {
    let Some(conversion) = spec.get("conversion").filter(|conversion| !conversion.is_null()) else { return Vec::new() };
    let path = Path::new("spec.conversion");
    let mut causes = Vec::new();
    let strategy = tree::text(conversion, "strategy");
    match strategy {
        "" => causes.push(path.child("strategy").required("")),
        "None" | "Webhook" => {}
        other => causes.push(path.child("strategy").not_supported(other, &["None", "Webhook"])),
    }
    let (client_at, versions_at) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let client = tree::at(conversion, "webhook.clientConfig").filter(|client| !client.is_null());
    let versions = tree::texts(conversion, "webhook.conversionReviewVersions");
    if strategy != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        causes.extend(client.map(|_| client_at.forbidden(why)));
        causes.extend((!versions.is_empty()).then(|| versions_at.forbidden(why)));
        return causes;
    }
    match client {
        None => causes.push(client_at.required("required when strategy is set to Webhook")),
        Some(client) => match (tree::is_set(client, "url"), client.get("service").filter(|it| !it.is_null())) {
            (true, None) => causes.extend(url(tree::text(client, "url"), &client_at.child("url"))),
            (false, Some(service)) => causes.extend(service_rules(service, &client_at.child("service"))),
            _ => causes.push(client_at.required("exactly one of url or service is required")),
        },
    }
    causes.extend(review_versions(&versions, &versions_at));
    causes
}

fn review_versions(versions: &[&str], path: &Path) -> Vec<Cause> {
    if versions.is_empty() {
        return vec![path.required("")];
    }
    let mut causes = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            causes.push(path.index(index).invalid(*version, "duplicate version"));
            continue;
        }
        causes.extend(path.index(index).invalid_each(version, name::dns1035_label(version)));
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        let why = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        causes.push(path.invalid(versions.to_vec(), &why));
    }
    causes
}

/// The address of a webhook.
fn url(text: &str, path: &Path) -> Vec<Cause> {
    const FORM: &str = "; desired format: https://host[/path]";
    let Some((scheme, rest)) = text.split_once("://") else {
        let why = format!("'https' is the only allowed URL scheme{FORM}");
        let mut causes = vec![path.invalid("", &why)];
        causes.push(path.invalid("", &format!("host must be specified{FORM}")));
        return causes;
    };
    let mut causes = Vec::new();
    if scheme != "https" {
        causes.push(path.invalid(scheme, &format!("'https' is the only allowed URL scheme{FORM}")));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        causes.push(path.invalid(host, &format!("host must be specified{FORM}")));
    }
    if let Some(user) = user {
        causes.push(path.invalid(user, "user information is not permitted in the URL"));
    }
    let (before, fragment) = tail.split_once('#').map_or((tail, ""), |(before, fragment)| (before, fragment));
    if !fragment.is_empty() {
        causes.push(path.invalid(fragment, "fragments are not permitted in the URL"));
    }
    if let Some((_, query)) = before.split_once('?').filter(|(_, query)| !query.is_empty()) {
        causes.push(path.invalid(query, "query parameters are not permitted in the URL"));
    }
    causes
}

fn service_rules(service: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["name", "namespace"] {
        if tree::text(service, field).is_empty() {
            causes.push(path.child(field).required(&format!("service {field} is required")));
        }
    }
    if let Some(port) = tree::int(service, "port")
        && !name::port_number(port).is_empty()
    {
        let why = format!("port is not valid: {}", name::port_number(port).join(","));
        causes.push(path.child("port").invalid(port, &why));
    }
    let Some(target) = service.get("path").and_then(Value::as_str) else { return causes };
    let at = path.child("path");
    if target == "/" || target.is_empty() {
        return causes;
    }
    if target == "//" {
        causes.push(at.invalid(target, "segment[0] may not be empty"));
        return causes;
    }
    if !target.starts_with('/') {
        causes.push(at.invalid(target, "must start with a '/'"));
    }
    let whole = target.strip_suffix('/').unwrap_or(target);
    for (index, step) in whole.strip_prefix('/').unwrap_or(whole).split('/').enumerate() {
        if step.is_empty() {
            causes.push(at.invalid(target, &format!("segment[{index}] may not be empty")));
            continue;
        }
        for why in name::dns1123_subdomain(step) {
            causes.push(at.invalid(target, &format!("segment[{index}]: {why}")));
        }
    }
    causes
}
