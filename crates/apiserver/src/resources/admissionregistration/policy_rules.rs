//! What admission policies and their bindings must be. Expressions are stored as they are written.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1035_label, dns1123_subdomain, path_segment, qualified_name};
use api::validation::selector::label_selector;
use serde_json::Value;

use super::match_rules::{conditions, match_resources};
use crate::resources::fields::{one_of_at, path};
use crate::tree;

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_LEN_MAX: usize = 5 * 1024;

pub fn validating(policy: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &policy["spec"];
    let mut causes = common(spec, &at);
    let (validations, annotations) = (tree::list(spec, "validations"), tree::list(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        causes.push(at.child("validations").required(why));
        causes.push(at.child("auditAnnotations").required(why));
        return causes;
    }
    for (i, one) in validations.iter().enumerate() {
        causes.extend(validation(one, &at.child("validations").index(i)));
    }
    let at = at.child("auditAnnotations");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let why = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        causes.push(at.invalid(annotations.to_vec(), &why));
    }
    let mut keys = Vec::new();
    for (i, one) in annotations.iter().enumerate() {
        let at = at.index(i);
        let key = tree::text(one, "key");
        causes.extend(audit_annotation(one, tree::text(policy, "metadata.name"), &at));
        if keys.contains(&key) {
            causes.push(at.child("key").duplicate(key));
        }
        keys.push(key);
    }
    causes
}

/// What both sorts of policies have: when they fail, their parameters, what they match, variables.
fn common(spec: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    match spec.get("failurePolicy") {
        None => causes.push(at.child("failurePolicy").required("")),
        found => causes.extend(one_of_at(found, &at.child("failurePolicy"), &["Fail", "Ignore"])),
    }
    if let Some(kind) = spec.get("paramKind") {
        causes.extend(param_kind(kind, &at.child("paramKind")));
    }
    let at_match = at.child("matchConstraints");
    match spec.get("matchConstraints") {
        None => causes.push(at_match.required("")),
        Some(resources) => {
            causes.extend(match_resources(resources, &at_match));
            if tree::list(resources, "resourceRules").is_empty() {
                causes.push(at_match.child("resourceRules").required(""));
            }
        }
    }
    causes.extend(conditions(spec, at));
    for (i, variable) in tree::list(spec, "variables").iter().enumerate() {
        causes.extend(validate_variable(variable, &at.child("variables").index(i)));
    }
    causes
}

fn param_kind(kind: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let version = at.child("apiVersion");
    let text = tree::text(kind, "apiVersion");
    if text.is_empty() {
        causes.push(version.required(""));
    } else if text.matches('/').count() > 1 {
        causes.push(version.invalid(text, &format!("unexpected GroupVersion string: {text}")));
    } else {
        let (group, name) = if text == "/" { ("", "") } else { text.split_once('/').unwrap_or(("", text)) };
        let whys = if group.is_empty() { Vec::new() } else { dns1123_subdomain(group) };
        if !whys.is_empty() {
            causes.push(version.invalid(group, &whys.join(",")));
        }
        let whys = dns1035_label(name);
        if name.is_empty() {
            causes.push(version.invalid(text, "version must be specified"));
        } else if !whys.is_empty() {
            causes.push(version.invalid(name, &whys.join(",")));
        }
    }
    let name = tree::text(kind, "kind");
    let whys = dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        causes.push(at.child("kind").required(""));
    } else if !whys.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", whys.join(","));
        causes.push(at.child("kind").invalid(name, &why));
    }
    causes
}

fn validate_variable(variable: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = tree::text(variable, "name");
    let plain = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    if name.trim().is_empty() {
        causes.push(at.child("name").required("name is not specified"));
    } else if !name.bytes().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) || cel::is_word(name) {
        causes.push(at.child("name").invalid(name, "name is not a valid CEL identifier"));
    }
    if tree::text(variable, "expression").trim().is_empty() {
        causes.push(at.child("expression").required("expression is not specified"));
    }
    causes
}

fn validation(one: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree::text(one, "expression").trim().is_empty() {
        causes.push(at.child("expression").required("expression is not specified"));
    }
    let expression = tree::text(one, "messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        causes.push(at.child("messageExpression").invalid(expression, "must be non-empty if specified"));
    }
    let message = tree::text(one, "message");
    if !message.is_empty() && message.trim().is_empty() {
        causes.push(at.child("message").invalid(message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        causes.push(at.child("message").invalid(message, "message must not contain line breaks"));
    }
    let reasons = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
    causes.extend(one_of_at(one.get("reason"), &at.child("reason"), reasons));
    causes
}

fn audit_annotation(one: &Value, policy: &str, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let key = tree::text(one, "key");
    if policy.is_empty() {
        causes.push(at.child("key").invalid(key, "requires metadata.name be non-empty"));
    } else {
        let full = format!("{policy}/{key}");
        causes.extend(at.child("key").invalid_each(&full, qualified_name(&full)));
    }
    let expression = tree::text(one, "valueExpression").trim();
    if expression.is_empty() {
        causes.push(at.child("valueExpression").required("valueExpression is not specified"));
    } else if expression.len() > AUDIT_EXPRESSION_LEN_MAX {
        let why = format!("must not exceed {AUDIT_EXPRESSION_LEN_MAX} bytes in length");
        causes.push(at.child("valueExpression").required(&why));
    }
    causes
}

pub fn mutating(policy: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &policy["spec"];
    let mut causes = common(spec, &at);
    let mutations = tree::list(spec, "mutations");
    if mutations.is_empty() {
        causes.push(at.child("mutations").required("mutations must contain at least one item"));
    }
    for (i, one) in mutations.iter().enumerate() {
        causes.extend(mutation(one, &at.child("mutations").index(i)));
    }
    match tree::text(spec, "reinvocationPolicy") {
        "" => causes.push(at.child("reinvocationPolicy").required("")),
        _ => {
            let at = at.child("reinvocationPolicy");
            causes.extend(one_of_at(spec.get("reinvocationPolicy"), &at, &["IfNeeded", "Never"]));
        }
    }
    causes
}

fn mutation(one: &Value, at: &Path) -> Vec<Cause> {
    let kinds = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
    let kind = tree::text(one, "patchType");
    if kind.is_empty() {
        return vec![at.child("patchType").required("")];
    }
    if !kinds.iter().any(|(known, _)| *known == kind) {
        return vec![at.child("patchType").not_supported(kind, &["ApplyConfiguration", "JSONPatch"])];
    }
    let mut causes = Vec::new();
    for (name, field) in kinds {
        let expression = tree::text(one, &format!("{field}.expression"));
        match (name == kind, one.get(field).is_some()) {
            (true, false) => {
                causes.push(at.child(field).required(&format!("must be specified when patchType is {kind}")));
            }
            (true, true) if expression.trim().is_empty() => {
                causes.push(at.child(field).child("expression").required("expression is not specified"));
            }
            (false, true) => {
                causes.push(at.child(field).forbidden(&format!("must not be specified when patchType is {kind}")));
            }
            _ => {}
        }
    }
    causes
}

pub fn validating_binding(binding: &Value) -> Vec<Cause> {
    let mut causes = mutating_binding(binding);
    let at = path("spec.validationActions");
    let actions = tree::texts(binding, "spec.validationActions");
    let supported = &["Audit", "Deny", "Warn"];
    for (i, action) in actions.iter().enumerate() {
        if !supported.contains(action) {
            causes.push(at.index(i).not_supported(*action, supported));
        }
        if actions[..i].contains(action) {
            causes.push(at.index(i).duplicate(*action));
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        causes.push(at.invalid(actions.clone(), why));
    }
    if actions.is_empty() {
        causes.push(at.required("at least one validation action is required"));
    }
    causes
}

/// Policy, parameters and resources: all that a MutatingAdmissionPolicyBinding has.
pub fn mutating_binding(binding: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &binding["spec"];
    let mut causes = match tree::text(spec, "policyName") {
        "" => vec![at.child("policyName").required("")],
        name => at.child("policyName").invalid_each(name, dns1123_subdomain(name)),
    };
    if let Some(reference) = spec.get("paramRef") {
        causes.extend(param_ref(reference, &at.child("paramRef")));
    }
    if let Some(resources) = spec.get("matchResources") {
        causes.extend(match_resources(resources, &at.child("matchResources")));
    }
    causes
}

fn param_ref(reference: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (name, selector) = (tree::text(reference, "name"), reference.get("selector"));
    let both = "name and selector are mutually exclusive";
    if !name.is_empty() {
        causes.extend(at.child("name").invalid_each(name, path_segment(name)));
        if selector.is_some() {
            causes.push(at.child("name").forbidden(both));
        }
    }
    if selector.is_some() {
        causes.extend(label_selector(selector, &at.child("selector")));
        if !name.is_empty() {
            causes.push(at.child("selector").forbidden(both));
        }
    }
    if name.is_empty() && selector.is_none() {
        causes.push(at.required("one of name or selector must be specified"));
    }
    let action = at.child("parameterNotFoundAction");
    match tree::text(reference, "parameterNotFoundAction") {
        "" => causes.push(action.required("")),
        "Allow" | "Deny" => {}
        other => causes.push(action.not_supported(other, &["Deny", "Allow"])),
    }
    causes
}
