//! What webhook configurations must be. What an older version let in may stay as it is.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1035_label, dns1123_subdomain, in_range, port_number};
use api::validation::selector::label_selector;
use serde_json::Value;

use super::match_rules::{conditions, rule};
use crate::resources::fields::{one_of_at, path};
use crate::tree;

const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const ALL_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];

/// What a configuration that is already there may keep.
struct Strictness {
    side_effects: bool,
    review_versions: bool,
    unique_names: bool,
}

const STRICT: Strictness = Strictness { side_effects: true, review_versions: true, unique_names: true };

pub fn mutating(configuration: &Value) -> Vec<Cause> {
    webhooks(configuration, true, &STRICT)
}

pub fn validating(configuration: &Value) -> Vec<Cause> {
    webhooks(configuration, false, &STRICT)
}

pub fn mutating_update(new: &Value, old: &Value) -> Vec<Cause> {
    webhooks(new, true, &strictness(old))
}

pub fn validating_update(new: &Value, old: &Value) -> Vec<Cause> {
    webhooks(new, false, &strictness(old))
}

fn strictness(old: &Value) -> Strictness {
    let hooks = tree::list(old, "webhooks");
    let names: Vec<&str> = hooks.iter().map(|hook| tree::text(hook, "name")).collect();
    let known = |hook: &Value| {
        let versions = tree::texts(hook, "admissionReviewVersions");
        versions.is_empty() || versions.iter().any(|version| REVIEW_VERSIONS.contains(version))
    };
    Strictness {
        side_effects: hooks.iter().all(|hook| SIDE_EFFECTS.contains(&tree::text(hook, "sideEffects"))),
        review_versions: hooks.iter().all(known),
        unique_names: names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)),
    }
}

fn webhooks(configuration: &Value, mutates: bool, strictness: &Strictness) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut names = Vec::new();
    for (i, hook) in tree::list(configuration, "webhooks").iter().enumerate() {
        let at = path("webhooks").index(i);
        causes.extend(webhook(hook, mutates, strictness, &at));
        causes.extend(review_versions(hook, strictness, &at.child("admissionReviewVersions")));
        let name = tree::text(hook, "name");
        if strictness.unique_names && !name.is_empty() {
            if names.contains(&name) {
                causes.push(at.child("name").duplicate(name));
            }
            names.push(name);
        }
    }
    causes
}

fn webhook(hook: &Value, mutates: bool, strictness: &Strictness, at: &Path) -> Vec<Cause> {
    let mut causes = full_name(tree::text(hook, "name"), &at.child("name"));
    for (i, one) in tree::list(hook, "rules").iter().enumerate() {
        causes.extend(rule(one, &at.child("rules").index(i)));
    }
    causes.extend(one_of_at(hook.get("failurePolicy"), &at.child("failurePolicy"), &["Fail", "Ignore"]));
    causes.extend(one_of_at(hook.get("matchPolicy"), &at.child("matchPolicy"), &["Equivalent", "Exact"]));
    let allowed = if strictness.side_effects { SIDE_EFFECTS } else { ALL_SIDE_EFFECTS };
    match hook.get("sideEffects").filter(|value| !value.is_null()) {
        None => {
            let why = format!("must specify one of {}", allowed.join(", "));
            causes.push(at.child("sideEffects").required(&why));
        }
        found => causes.extend(one_of_at(found, &at.child("sideEffects"), allowed)),
    }
    if let Some(secs) = tree::int(hook, "timeoutSeconds").filter(|secs| !in_range(*secs, 1, 30).is_empty()) {
        let why = "the timeout value must be between 1 and 30 seconds";
        causes.push(at.child("timeoutSeconds").invalid(secs, why));
    }
    for selector in ["namespaceSelector", "objectSelector"] {
        causes.extend(label_selector(hook.get(selector), &at.child(selector)));
    }
    if mutates {
        let at = at.child("reinvocationPolicy");
        causes.extend(one_of_at(hook.get("reinvocationPolicy"), &at, &["IfNeeded", "Never"]));
    }
    causes.extend(client_config(&hook["clientConfig"], &at.child("clientConfig")));
    causes.extend(conditions(hook, at));
    causes
}

/// `pods.example.com`: a domain with three segments or more.
fn full_name(name: &str, at: &Path) -> Vec<Cause> {
    if name.is_empty() {
        return vec![at.required("")];
    }
    let whys = dns1123_subdomain(name);
    if !whys.is_empty() {
        return vec![at.invalid(name, &whys.join(","))];
    }
    if name.split('.').count() < 3 {
        return vec![at.invalid(name, "should be a domain with at least three segments separated by dots")];
    }
    Vec::new()
}

fn client_config(config: &Value, at: &Path) -> Vec<Cause> {
    let (url, service) = (config.get("url").and_then(Value::as_str), config.get("service"));
    match (url, service) {
        (Some(url), None) => webhook_url(url, &at.child("url"), true),
        (None, Some(service)) => webhook_service(service, &at.child("service")),
        _ => vec![at.required("exactly one of url or service is required")],
    }
}

/// An address that the server calls. Also CustomResourceDefinitions have such ones.
pub fn webhook_url(text: &str, at: &Path, forces_https: bool) -> Vec<Cause> {
    let form = "; desired format: https://host[/path]";
    let Some((scheme, rest)) = text.split_once("://") else {
        let mut causes = Vec::new();
        if forces_https {
            causes.push(at.invalid("", &format!("'https' is the only allowed URL scheme{form}")));
        }
        causes.push(at.invalid("", &format!("host must be specified{form}")));
        return causes;
    };
    let mut causes = Vec::new();
    if forces_https && scheme != "https" {
        causes.push(at.invalid(scheme, &format!("'https' is the only allowed URL scheme{form}")));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        causes.push(at.invalid(host, &format!("host must be specified{form}")));
    }
    if !user.is_empty() {
        causes.push(at.invalid(user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        causes.push(at.invalid(fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        causes.push(at.invalid(query, "query parameters are not permitted in the URL"));
    }
    causes
}

pub fn webhook_service(service: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (field, what) in [("name", "service name is required"), ("namespace", "service namespace is required")] {
        if tree::text(service, field).is_empty() {
            causes.push(at.child(field).required(what));
        }
    }
    let port = tree::int(service, "port").unwrap_or(443);
    if !port_number(port).is_empty() {
        causes.push(at.child("port").invalid(port, "port is not valid: must be between 1 and 65535, inclusive"));
    }
    let Some(text) = service.get("path").and_then(Value::as_str) else { return causes };
    let at = at.child("path");
    // Only its form counts; what is escaped stays escaped.
    if !text.starts_with('/') {
        causes.push(at.invalid(text, "must start with a '/'"));
        return causes;
    }
    if text == "/" {
        return causes;
    }
    let steps: Vec<&str> = text[1..].split('/').collect();
    for (i, step) in steps.iter().enumerate() {
        if i + 1 == steps.len() && step.is_empty() {
            continue;
        }
        if step.is_empty() {
            causes.push(at.invalid(text, &format!("segment[{i}] may not be empty")));
        }
        for why in dns1123_subdomain(step) {
            causes.push(at.invalid(text, &format!("segment[{i}]: {why}")));
        }
    }
    causes
}

fn review_versions(hook: &Value, strictness: &Strictness, at: &Path) -> Vec<Cause> {
    let versions = tree::texts(hook, "admissionReviewVersions");
    let wanted = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return vec![at.required(&format!("must specify one of {wanted}"))];
    }
    let mut causes = Vec::new();
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            causes.push(at.index(i).invalid(*version, "duplicate version"));
            continue;
        }
        causes.extend(at.index(i).invalid_each(version, dns1035_label(version)));
    }
    if strictness.review_versions && !versions.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        causes.push(at.invalid(versions, &format!("must include at least one of {wanted}")));
    }
    causes
}
