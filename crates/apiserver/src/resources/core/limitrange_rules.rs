//! What a LimitRange must be: its bounds may not contradict each other.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::qualified_name;
use serde_json::Value;

use super::resource_names::{any_resource, container_resource, may_overcommit};
use crate::resources::fields::{path, quantity};
use crate::tree;

const TYPES: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];

/// The bounds of one resource.
#[derive(Default)]
struct Bounds {
    max: Option<Quantity>,
    min: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

pub fn validate(range: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut types = Vec::new();
    for (i, limit) in tree::list(range, "spec.limits").iter().enumerate() {
        let at = path("spec.limits").index(i);
        let kind = tree::text(limit, "type");
        causes.extend(limit_type(kind, &at.child("type")));
        if types.contains(&kind) {
            causes.push(at.child("type").duplicate(kind));
        }
        types.push(kind);
        causes.extend(validate_limit(limit, kind, &at));
    }
    causes
}

fn limit_type(kind: &str, at: &Path) -> Vec<Cause> {
    let whys = qualified_name(kind);
    if whys.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        return vec![at.invalid(kind, "must be a standard limit type or fully qualified")];
    }
    at.invalid_each(kind, whys)
}

fn validate_limit(limit: &Value, kind: &str, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut bounds: BTreeMap<String, Bounds> = BTreeMap::new();
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let here = at.child(field);
        let entries: Vec<_> = limit.get(field).and_then(Value::as_object).into_iter().flatten().collect();
        if kind == "Pod" && matches!(field, "default" | "defaultRequest") {
            if !entries.is_empty() {
                causes.push(here.forbidden("may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        if field == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let found = |field: &str| tree::at(limit, field).is_some_and(|all| all.get("storage").is_some());
            if !found("min") && !found("max") {
                let why = "either minimum or maximum storage value is required, but neither was provided";
                causes.push(at.child("limits").required(why));
            }
        }
        for (name, amount) in entries {
            let rule = if matches!(kind, "Pod" | "Container") { container_resource } else { any_resource };
            causes.extend(rule(name, &here.key(name)));
            let entry = bounds.entry(name.clone()).or_default();
            let slot = match field {
                "max" => &mut entry.max,
                "min" => &mut entry.min,
                "default" => &mut entry.default,
                "defaultRequest" => &mut entry.request,
                _ => &mut entry.ratio,
            };
            *slot = quantity(amount);
        }
    }
    for (name, bounds) in &bounds {
        causes.extend(consistent(name, bounds, at));
    }
    causes
}

fn consistent(name: &str, bounds: &Bounds, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Bounds { max, min, default, request, .. } = bounds;
    // (left, its words, right, its words, field of the cause, what it shows)
    let rules = [
        (min, "min value", max, "max value", "min", min),
        (min, "min value", request, "default request value", "defaultRequest", request),
        (request, "default request value", max, "max value", "defaultRequest", request),
        (request, "default request value", default, "default limit value", "defaultRequest", request),
        (min, "min value", default, "default value", "default", min),
        (default, "default value", max, "max value", "default", max),
    ];
    for (left, left_words, right, right_words, field, shown) in rules {
        if let (Some(left), Some(right), Some(shown)) = (left, right, shown)
            && left > right
        {
            let why = format!("{left_words} {left} is greater than {right_words} {right}");
            causes.push(at.child(field).key(name).invalid(shown.to_string(), &why));
        }
    }
    causes.extend(ratio(name, bounds, at));
    if let (Some(default), Some(request), false) = (default, request, may_overcommit(name))
        && default != request
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        causes.push(at.child("defaultRequest").key(name).invalid(request.to_string(), &why));
    }
    causes
}

fn ratio(name: &str, bounds: &Bounds, at: &Path) -> Vec<Cause> {
    let Some(ratio) = bounds.ratio else { return Vec::new() };
    let at = at.child("maxLimitRequestRatio").key(name);
    let mut causes = Vec::new();
    if ratio < Quantity::from_milli(1000) {
        causes.push(at.invalid(ratio.to_string(), &format!("ratio {ratio} is less than 1")));
    }
    if let (Some(min), Some(max)) = (bounds.min, bounds.max) {
        let limit = max.as_f64() / min.as_f64();
        if ratio.as_f64() > limit {
            let why = format!("ratio {ratio} is greater than max/min = {limit:.6}");
            causes.push(at.invalid(ratio.to_string(), &why));
        }
    }
    causes
}
