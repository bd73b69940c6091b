//! What a ResourceQuota must be, and what of it may change.

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use super::resource_names::{amount, fits_scope, is_for_quota, quota_resource};
use crate::resources::fields::path;
use crate::tree;

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
const OPPOSITES: &[(&str, &str)] = &[("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

pub fn validate(quota: &Value) -> Vec<Cause> {
    let mut causes = amounts(quota, "spec", "hard");
    causes.extend(scopes(quota));
    causes.extend(scope_selector(quota));
    causes
}

fn amounts(quota: &Value, part: &str, field: &str) -> Vec<Cause> {
    let map = tree::at(quota, &format!("{part}.{field}")).and_then(Value::as_object);
    let mut causes = Vec::new();
    for (name, value) in map.into_iter().flatten() {
        let at = path(part).child(field).key(name);
        causes.extend(quota_resource(name, &at));
        causes.extend(amount(name, value, &at));
    }
    causes
}

/// The resources of the quota that the scope cannot be about.
fn misfits<'a>(quota: &'a Value, scope: &str) -> impl Iterator<Item = &'a String> {
    let hard = tree::at(quota, "spec.hard").and_then(Value::as_object).into_iter().flatten();
    let scope = scope.to_owned();
    hard.map(|(name, _)| name).filter(move |name| is_for_quota(name) && !fits_scope(&scope, name))
}

fn scopes(quota: &Value) -> Vec<Cause> {
    let at = path("spec.scopes");
    let scopes = tree::texts(quota, "spec.scopes");
    let refuse = |why: &str| at.invalid(scopes.clone(), why);
    let mut causes = Vec::new();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            causes.push(refuse("unsupported scope"));
        }
        causes.extend(misfits(quota, scope).map(|_| refuse("unsupported scope applied to resource")));
    }
    causes.extend(opposites(&scopes, &refuse));
    causes
}

fn opposites(scopes: &[&str], refuse: &dyn Fn(&str) -> Cause) -> Vec<Cause> {
    let conflicts = OPPOSITES.iter().filter(|(one, other)| scopes.contains(one) && scopes.contains(other));
    conflicts.map(|_| refuse("conflicting scopes")).collect()
}

fn scope_selector(quota: &Value) -> Vec<Cause> {
    let Some(selector) = tree::at(quota, "spec.scopeSelector") else { return Vec::new() };
    let at = path("spec.scopeSelector.matchExpressions");
    let mut causes = Vec::new();
    let mut names = Vec::new();
    for expression in tree::list(selector, "matchExpressions") {
        let scope = tree::text(expression, "scopeName");
        if !SCOPES.contains(&scope) {
            causes.push(at.child("scopeName").invalid(scope, "unsupported scope"));
        }
        let misfit = misfits(quota, scope);
        causes.extend(misfit.map(|_| at.invalid(selector.clone(), "unsupported scope applied to resource")));
        causes.extend(operator(expression, scope, &at));
        names.push(scope);
    }
    let shown = tree::at(quota, "spec.scopes").cloned().unwrap_or_default();
    causes.extend(opposites(&names, &|why| at.invalid(shown.clone(), why)));
    causes
}

fn operator(expression: &Value, scope: &str, at: &Path) -> Vec<Cause> {
    let (operator, values) = (tree::text(expression, "operator"), tree::texts(expression, "values"));
    let mut causes = Vec::new();
    let plain = matches!(
        scope,
        "BestEffort" | "NotBestEffort" | "Terminating" | "NotTerminating" | "CrossNamespacePodAffinity"
    );
    if plain && operator != "Exists" {
        let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                   ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                   ResourceQuotaScopeCrossNamespacePodAffinity";
        causes.push(at.child("operator").invalid(operator, why));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            causes.push(at.child("values").required(why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            causes.push(at.child("values").invalid(values, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => causes.push(at.child("operator").invalid(other, "not a valid selector operator")),
    }
    causes
}

/// Scopes are for life.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let set = |quota: &Value| {
        let mut scopes: Vec<String> = tree::texts(quota, "spec.scopes").into_iter().map(str::to_owned).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    };
    if set(new) == set(old) {
        return Vec::new();
    }
    let shown = tree::at(new, "spec.scopes").cloned().unwrap_or_default();
    vec![path("spec.scopes").invalid(shown, "field is immutable")]
}

pub fn validate_status(new: &Value, _old: &Value) -> Vec<Cause> {
    let mut causes = amounts(new, "status", "hard");
    causes.extend(amounts(new, "status", "used"));
    causes
}
