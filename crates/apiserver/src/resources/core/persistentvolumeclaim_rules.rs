//! What a PersistentVolumeClaim must be, and what of it may change.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, qualified_name};
use api::validation::selector::label_selector;
use serde_json::Value;

use super::persistentvolume_rules::access_modes;
use crate::resources::fields::{one_of_at, path, quantity, quantity_not_negative, quantity_positive};
use crate::tree;

const STORAGE: &str = "spec.resources.requests.storage";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const RESIZE_STATES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub fn validate(claim: &Value) -> Vec<Cause> {
    let none = Value::Null;
    spec(claim.get("spec").unwrap_or(&none), &path("spec"))
}

/// The spec of a claim; also of those that workloads and pods make.
pub fn spec(spec: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree::list(spec, "accessModes").is_empty() {
        causes.push(at.child("accessModes").required("at least 1 access mode is required"));
    }
    causes.extend(label_selector(spec.get("selector"), &at.child("selector")));
    causes.extend(access_modes(spec, at));
    let at_storage = at.child("resources").key("storage");
    match tree::at(spec, "resources.requests.storage") {
        None => causes.push(at_storage.required("")),
        Some(amount) => causes.extend(quantity_positive(amount, &at_storage)),
    }
    for field in ["storageClassName", "volumeMode", "dataSource", "dataSourceRef", "volumeAttributesClassName"] {
        let Some(value) = spec.get(field) else { continue };
        let at = at.child(field);
        match (field, value.as_str()) {
            ("volumeMode", _) => causes.extend(one_of_at(Some(value), &at, &["Block", "Filesystem"])),
            (_, Some("")) => {}
            (_, Some(class)) => causes.extend(at.invalid_each(class, dns1123_subdomain(class))),
            (_, None) => causes.extend(data_source(value, &at)),
        }
        if field == "dataSourceRef" {
            causes.extend(same_sources(spec, at_spec(&at, field)));
        }
    }
    causes
}

/// The path of the spec, from the path of one of its fields.
fn at_spec(at: &Path, field: &str) -> Path {
    let text = at.to_string();
    path(text.strip_suffix(&format!(".{field}")).unwrap_or(&text))
}

fn data_source(source: &Value, at: &Path) -> Vec<Cause> {
    let empty = ["name", "kind"].into_iter().filter(|field| tree::text(source, field).is_empty());
    let mut causes: Vec<Cause> = empty.map(|field| at.child(field).required("")).collect();
    let (group, kind) = (tree::text(source, "apiGroup"), tree::text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        causes.push(at.invalid(kind, why));
    }
    if !group.is_empty() {
        causes.extend(at.child("apiGroup").invalid_each(group, dns1123_subdomain(group)));
    }
    let namespace = tree::text(source, "namespace");
    if !namespace.is_empty() {
        causes.extend(at.child("namespace").invalid_each(namespace, dns1123_label(namespace)));
    }
    causes
}

/// The two fields for a source may not contradict each other.
fn same_sources(spec: &Value, at: Path) -> Vec<Cause> {
    let (Some(source), Some(reference)) = (spec.get("dataSource"), spec.get("dataSourceRef")) else {
        return Vec::new();
    };
    let shown = at.child("dataSource").to_string();
    if !tree::text(reference, "namespace").is_empty() {
        return vec![at.invalid(shown, "may not be specified when dataSourceRef.namespace is specified")];
    }
    let same = ["apiGroup", "kind", "name"].iter().all(|field| source.get(field) == reference.get(field));
    if same { Vec::new() } else { vec![at.invalid(shown, "must match dataSourceRef")] }
}

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    // Whoever binds the claim names its volume, once.
    if tree::text(&before, "volumeName").is_empty() {
        tree::copy(&mut before, &now, "volumeName");
    }
    let annotation =
        |claim: &Value| tree::at(claim, "metadata.annotations").and_then(|all| all.get(BETA_CLASS)).cloned();
    if annotation(new) != annotation(old) && !class_from_annotation(new, old) {
        let shown = annotation(new).unwrap_or_else(|| "".into());
        causes.push(path("metadata.annotations").key(BETA_CLASS).invalid(shown, "field is immutable"));
    }
    let class = "storageClassName";
    let wanted = now.get(class).cloned();
    let given_later = before.get(class).is_none() && wanted.is_some();
    if given_later && annotation(old).is_none_or(|annotation| Some(annotation) == wanted) {
        tree::remove(&mut now, class);
    }
    if tree::text(new, "status.phase") == "Bound" && tree::at(&now, "resources.requests").is_some() {
        tree::copy(&mut now, &before, "resources.requests.storage");
    }
    tree::copy(&mut now, &before, "volumeAttributesClassName");
    if now != before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                   claims";
        causes.push(path("spec").forbidden(why));
    }
    causes.extend(shrunk(new, old));
    let mode = "spec.volumeMode";
    if tree::at(new, mode) != tree::at(old, mode) {
        let mode = tree::at(new, mode).cloned().unwrap_or_default();
        causes.push(path("volumeMode").invalid(mode, "field is immutable"));
    }
    let class = "spec.volumeAttributesClassName";
    if tree::at(old, class).is_some() {
        match tree::at(new, class).and_then(Value::as_str) {
            None => causes.push(path(class).forbidden("update from non-nil value to nil is forbidden")),
            Some("") => causes.push(path(class).forbidden("update from non-nil value to an empty string is forbidden")),
            Some(_) => {}
        }
    }
    causes
}

fn class_from_annotation(new: &Value, old: &Value) -> bool {
    let annotation =
        |claim: &Value| tree::at(claim, "metadata.annotations").and_then(|all| all.get(BETA_CLASS)).cloned();
    let was = annotation(old);
    let class = |claim: &Value| tree::at(claim, "spec.storageClassName").cloned();
    was.is_some() && class(old).is_none() && class(new) == was && annotation(new).is_none_or(|now| Some(now) == was)
}

/// A claim may shrink only after an expansion that failed, and not below what it has.
fn shrunk(new: &Value, old: &Value) -> Vec<Cause> {
    let amount = |object: &Value, path: &str| tree::at(object, path).and_then(quantity).unwrap_or(Quantity::ZERO);
    let (wanted, before, has) = (amount(new, STORAGE), amount(old, STORAGE), amount(old, "status.capacity.storage"));
    if wanted < before && wanted <= has {
        return vec![path(STORAGE).forbidden("field can not be less than status.capacity")];
    }
    Vec::new()
}

pub fn validate_status(new: &Value, _old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let entries = |field: &str| {
        let map = tree::at(new, &format!("status.{field}")).and_then(Value::as_object);
        map.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    for (name, amount) in entries("capacity") {
        causes.extend(quantity_not_negative(Some(&amount), &path("status.capacity").key(&name)));
    }
    let at = path("status.allocatedResourceStatus");
    for (name, state) in entries("allocatedResourceStatuses") {
        causes.extend(resource_key(&name, &at));
        if !RESIZE_STATES.contains(&state.as_str().unwrap_or_default()) {
            causes.push(at.not_supported(name, RESIZE_STATES));
        }
    }
    let at = path("status.allocatedResources");
    for (name, amount) in entries("allocatedResources") {
        let refused = resource_key(&name, &at);
        if refused.is_empty() {
            causes.extend(quantity_not_negative(Some(&amount), &at.key(&name)));
        }
        causes.extend(refused);
    }
    causes
}

fn resource_key(name: &str, at: &Path) -> Vec<Cause> {
    let whys = qualified_name(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if whys.is_empty() && native && name != "storage" {
        return vec![at.not_supported(name, &["storage"])];
    }
    at.invalid_each(name, whys)
}
