//! What a HorizontalPodAutoscaler must be, in the form of v2.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, path_segment, qualified_name};
use serde_json::Value;

use crate::resources::apps::workload::{count, negative};
use crate::tree;

const PERIOD_SECS_MAX: i64 = 1800;
const WINDOW_SECS_MAX: i64 = 3600;
const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

type Check = fn(&Value, &Path) -> Vec<Cause>;

/// The sources of a metric: its type and its field, in the order in which upstream looks at them.
const SOURCES: &[(&str, &str, Check)] = &[
    ("Object", "object", object_source),
    ("External", "external", external_source),
    ("Pods", "pods", pods_source),
    ("Resource", "resource", resource_source),
    ("ContainerResource", "containerResource", container_resource_source),
];

pub fn validate_create(scaler: &Value) -> Vec<Cause> {
    spec(scaler, None)
}

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    spec(new, Some(old))
}

/// An update may keep what was allowed when the old one was written.
fn spec(scaler: &Value, old: Option<&Value>) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &scaler["spec"];
    let mut causes = Vec::new();
    let (least, most) = (tree::int(spec, "minReplicas"), count(spec, "maxReplicas"));
    let bound = i64::from(old.and_then(|old| tree::int(old, "spec.minReplicas")) != Some(0));
    if let Some(least) = least.filter(|least| *least < bound) {
        causes.push(path.child("minReplicas").invalid(least, &format!("must be greater than or equal to {bound}")));
    }
    let at = path.child("maxReplicas");
    match most {
        0 => causes.push(at.required("must be set and greater than 0")),
        ..0 => causes.push(at.invalid(most, "must be greater than 0")),
        _ => {}
    }
    if least.is_some_and(|least| most < least) {
        causes.push(at.invalid(most, "must be greater than or equal to `minReplicas`"));
    }
    // The one scalable kind of the core group.
    let core = tree::text(spec, "scaleTargetRef.kind") == "ReplicationController";
    let kept = old.is_some_and(|old| {
        let target = tree::at(old, "spec.scaleTargetRef.apiVersion");
        target == spec["scaleTargetRef"].get("apiVersion")
            && group_of(tree::text(old, "spec.scaleTargetRef.apiVersion")).is_none_or(str::is_empty)
    });
    causes.extend(reference(&spec["scaleTargetRef"], &path.child("scaleTargetRef"), core || kept));
    causes.extend(metrics(spec, &path.child("metrics")));
    for rules in ["scaleUp", "scaleDown"] {
        if let Some(of) = tree::at(spec, &format!("behavior.{rules}")).filter(|of| !of.is_null()) {
            causes.extend(scaling_rules(of, &path.child("behavior").child(rules)));
        }
    }
    causes
}

/// The group of an apiVersion; `None` for what is none.
fn group_of(api_version: &str) -> Option<&str> {
    match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [_] | ["", ""] => Some(""),
        [group, _] => Some(group),
        _ => None,
    }
}

fn reference(reference: &Value, path: &Path, groupless: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["kind", "name"] {
        match tree::text(reference, field) {
            "" => causes.push(path.child(field).required("")),
            text => causes.extend(path.child(field).invalid_each(text, path_segment(text))),
        }
    }
    let version = tree::text(reference, "apiVersion");
    match group_of(version) {
        None => {
            let why = format!("unexpected GroupVersion string: {version}");
            causes.push(path.child("apiVersion").invalid(version, &why));
        }
        Some("") if !groupless => {
            causes.push(path.child("apiVersion").invalid(version, "apiVersion must specify API group"));
        }
        Some(_) => {}
    }
    causes
}

fn metrics(spec: &Value, path: &Path) -> Vec<Cause> {
    let metrics = tree::list(spec, "metrics");
    let mut causes: Vec<Cause> =
        metrics.iter().enumerate().flat_map(|(at, one)| metric(one, &path.index(at))).collect();
    let outside = metrics.iter().any(|one| matches!(tree::text(one, "type"), "Object" | "External"));
    if tree::int(spec, "minReplicas") == Some(0) && !outside {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        causes.push(path.forbidden(why));
    }
    causes
}

fn metric(metric: &Value, path: &Path) -> Vec<Cause> {
    let kind = tree::text(metric, "type");
    let mut causes = Vec::new();
    if kind.is_empty() {
        causes.push(path.child("type").required("must specify a metric source type"));
    }
    let known = METRIC_TYPES.contains(&kind);
    let unsupported = || path.child("type").not_supported(kind, METRIC_TYPES);
    if !known {
        causes.push(unsupported());
    }
    let present = |field: &str| metric.get(field).filter(|source| !source.is_null());
    let given: Vec<_> = SOURCES.iter().filter(|(_, field, _)| present(field).is_some()).collect();
    if let Some((_, field, check)) = given.first() {
        causes.extend(check(&metric[*field], &path.child(field)));
    }
    let wanted = SOURCES.iter().find(|(name, ..)| *name == kind).map(|(_, field, _)| *field);
    match wanted {
        Some(field) if present(field).is_none() => {
            causes.push(path.child(field).required("must populate information for the given metric source"));
        }
        Some(_) => {}
        None => causes.push(unsupported()),
    }
    if given.len() != 1 {
        let extra = given.iter().filter(|(_, field, _)| Some(*field) != wanted);
        causes.extend(
            extra.map(|(_, field, _)| path.child(field).forbidden("must populate the given metric source only")),
        );
    }
    causes
}

fn has(source: &Value, field: &str) -> bool {
    tree::is_set(source, &format!("target.{field}"))
}

fn identifier(source: &Value, path: &Path) -> Vec<Cause> {
    let path = path.child("metric").child("name");
    match tree::text(source, "metric.name") {
        "" => vec![path.required("must specify a metric name")],
        name => path.invalid_each(name, path_segment(name)),
    }
}

fn object_source(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = reference(&source["describedObject"], &path.child("describedObject"), true);
    causes.extend(identifier(source, path));
    causes.extend(target(source, path));
    if !has(source, "value") && !has(source, "averageValue") {
        let why = "must set either a target value or averageValue";
        causes.push(path.child("target").child("averageValue").required(why));
    }
    causes
}

fn external_source(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = identifier(source, path);
    causes.extend(target(source, path));
    match (has(source, "value"), has(source, "averageValue")) {
        (false, false) => {
            let why = "must set either a target value for metric or a per-pod target";
            causes.push(path.child("target").child("averageValue").required(why));
        }
        (true, true) => {
            let why = "may not set both a target value for metric and a per-pod target";
            causes.push(path.child("target").child("value").forbidden(why));
        }
        (true, false) | (false, true) => {}
    }
    causes
}

fn pods_source(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = identifier(source, path);
    causes.extend(target(source, path));
    if !has(source, "averageValue") {
        let why = "must specify a positive target averageValue";
        causes.push(path.child("target").child("averageValue").required(why));
    }
    causes
}

fn resource_source(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree::text(source, "name").is_empty() {
        causes.push(path.child("name").required("must specify a resource name"));
    }
    causes.extend(resource_target(source, path));
    causes
}

fn container_resource_source(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    match tree::text(source, "name") {
        "" => causes.push(path.child("name").required("must specify a resource name")),
        name => causes.extend(container_resource_name(name, &path.child("name"))),
    }
    match tree::text(source, "container") {
        "" => causes.push(path.child("container").required("must specify a container")),
        name => causes.extend(path.child("container").invalid_each(name, dns1123_label(name))),
    }
    causes.extend(resource_target(source, path));
    causes
}

fn container_resource_name(name: &str, path: &Path) -> Vec<Cause> {
    let mut causes = path.invalid_each(name, qualified_name(name));
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !name.contains('/') && !standard {
        causes.push(path.invalid(name, "must be a standard resource for containers"));
    }
    causes
}

fn resource_target(source: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = target(source, path);
    let path = path.child("target");
    match (has(source, "averageUtilization"), has(source, "averageValue")) {
        (false, false) => {
            let why = "must set either a target raw value or a target utilization";
            causes.push(path.child("averageUtilization").required(why));
        }
        (true, true) => {
            let why = "may not set both a target raw value and a target utilization";
            causes.push(path.child("averageValue").forbidden(why));
        }
        (true, false) | (false, true) => {}
    }
    causes
}

fn target(source: &Value, path: &Path) -> Vec<Cause> {
    let (target, path) = (&source["target"], path.child("target"));
    let mut causes = Vec::new();
    let kind = tree::text(target, "type");
    if kind.is_empty() {
        causes.push(path.child("type").required("must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        causes.push(path.child("type").invalid(kind, "must be either Utilization, Value, or AverageValue"));
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = target.get(field).and_then(Value::as_str).filter(|text| sign(text) <= 0) {
            causes.push(path.child(field).invalid(amount, "must be positive"));
        }
    }
    if let Some(percent) = tree::int(target, "averageUtilization").filter(|percent| *percent < 1) {
        causes.push(path.child("averageUtilization").invalid(percent, "must be greater than 0"));
    }
    causes
}

fn sign(quantity: &str) -> i32 {
    let zero = Quantity::from_milli(0);
    Quantity::parse(quantity).map_or(0, |amount| amount.cmp(&zero) as i32)
}

fn scaling_rules(rules: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let window = path.child("stabilizationWindowSeconds");
    match tree::int(rules, "stabilizationWindowSeconds") {
        Some(secs) if secs < 0 => causes.push(window.invalid(secs, "must be greater than or equal to zero")),
        Some(secs) if secs > WINDOW_SECS_MAX => {
            causes.push(window.invalid(secs, &format!("must be less than or equal to {WINDOW_SECS_MAX}")));
        }
        _ => {}
    }
    let select = rules.get("selectPolicy").and_then(Value::as_str);
    if let Some(policy) = select.filter(|policy| !matches!(*policy, "Max" | "Min" | "Disabled")) {
        causes.push(path.child("selectPolicy").not_supported(policy, &["Disabled", "Max", "Min"]));
    }
    let policies = tree::list(rules, "policies");
    if policies.is_empty() {
        causes.push(path.child("policies").required("must specify at least one Policy"));
    }
    for (at, policy) in policies.iter().enumerate() {
        causes.extend(scaling_policy(policy, &path.child("policies").index(at)));
    }
    if let Some(tolerance) = rules.get("tolerance").and_then(Value::as_str).filter(|text| sign(text) < 0) {
        causes.push(path.child("tolerance").invalid(tolerance, "must be greater than or equal to 0"));
    }
    causes
}

fn scaling_policy(policy: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let kind = tree::text(policy, "type");
    if !matches!(kind, "Pods" | "Percent") {
        causes.push(path.child("type").not_supported(kind, &["Percent", "Pods"]));
    }
    for field in ["value", "periodSeconds"] {
        let number = count(policy, field);
        if number <= 0 {
            causes.push(path.child(field).invalid(number, "must be greater than zero"));
        }
    }
    let period = count(policy, "periodSeconds");
    if period > PERIOD_SECS_MAX {
        let why = format!("must be less than or equal to {PERIOD_SECS_MAX}");
        causes.push(path.child("periodSeconds").invalid(period, &why));
    }
    causes
}

pub fn validate_status(scaler: &Value) -> Vec<Cause> {
    negative(&scaler["status"], &Path::new("status"), &["currentReplicas", "desiredReplicas"])
}
