//! What a PersistentVolume must be, and what of it may change.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_subdomain;
use serde_json::Value;

use super::persistentvolume_sources::SOURCES;
use super::pod_rules::node_selector;
use crate::resources::fields::{one_of_at, path, quantity, quantity_positive};
use crate::tree;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const INLINE: &str = "may not be specified in the context of inline volumes";

pub fn validate(volume: &Value) -> Vec<Cause> {
    let none = Value::Null;
    spec(volume.get("spec").unwrap_or(&none), &path("spec"), false)
}

/// The spec of a volume, or of one that stands inside of a VolumeAttachment.
pub fn spec(spec: &Value, at: &Path, inline: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    if inline {
        for field in ["claimRef", "capacity"] {
            if tree::at(spec, field).is_some() {
                causes.push(at.child(field).forbidden(INLINE));
            }
        }
        if spec.get("csi").is_none() {
            causes.push(at.child("csi").required("has to be specified in the context of inline volumes"));
        }
    }
    if tree::list(spec, "accessModes").is_empty() {
        causes.push(at.child("accessModes").required(""));
    }
    causes.extend(access_modes(spec, at));
    if !inline {
        causes.extend(capacity(spec, &at.child("capacity")));
    }
    let policy = tree::text(spec, "persistentVolumeReclaimPolicy");
    let at_policy = at.child("persistentVolumeReclaimPolicy");
    match policy {
        "" => {}
        "Retain" => {}
        _ if inline => causes.push(at_policy.forbidden("may only be Retain in the context of inline volumes")),
        "Delete" | "Recycle" => {}
        other => causes.push(at_policy.not_supported(other, &["Delete", "Recycle", "Retain"])),
    }
    let affinity = spec.get("nodeAffinity");
    let mut has_affinity = false;
    if let Some(affinity) = affinity {
        let at = at.child("nodeAffinity");
        if inline {
            causes.push(at.forbidden(INLINE));
        } else {
            has_affinity = true;
            causes.extend(node_affinity(affinity, &at));
        }
    }
    causes.extend(sources(spec, at, has_affinity));
    let root = spec.get("hostPath").is_some_and(|source| is_root(tree::text(source, "path")));
    if root && policy == "Recycle" {
        causes.push(at_policy.forbidden("may not be 'recycle' for a hostPath mount of '/'"));
    }
    causes.extend(class_and_mode(spec, at, inline));
    causes
}

pub fn access_modes(spec: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("accessModes");
    let modes = tree::texts(spec, "accessModes");
    let unknown = modes.iter().filter(|mode| !MODES.contains(mode));
    let mut causes: Vec<Cause> = unknown.map(|mode| at.not_supported(*mode, MODES)).collect();
    let others = modes.iter().any(|mode| *mode != "ReadWriteOncePod" && MODES.contains(mode));
    if others && modes.contains(&"ReadWriteOncePod") {
        causes.push(at.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
    causes
}

fn capacity(spec: &Value, at: &Path) -> Vec<Cause> {
    let capacity = spec.get("capacity").and_then(Value::as_object);
    let mut causes = Vec::new();
    if capacity.is_none_or(serde_json::Map::is_empty) {
        causes.push(at.required(""));
    }
    if capacity.is_none_or(|all| !all.contains_key("storage") || all.len() > 1) {
        causes.push(at.not_supported(spec.get("capacity").cloned().unwrap_or_default(), &["storage"]));
    }
    for (name, amount) in capacity.into_iter().flatten() {
        let at = at.key(name);
        if quantity(amount).is_some_and(|amount| amount < Quantity::ZERO) {
            causes.push(at.invalid(amount.clone(), "must be a valid resource quantity"));
        }
        causes.extend(quantity_positive(amount, &at));
    }
    causes
}

fn node_affinity(affinity: &Value, at: &Path) -> Vec<Cause> {
    let Some(required) = affinity.get("required") else {
        return vec![at.child("required").required("must specify required node constraints")];
    };
    node_selector(required, &at.child("required"))
}

/// Exactly one of them, each with its own rules.
fn sources(spec: &Value, at: &Path, has_affinity: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = false;
    for source in SOURCES {
        let Some(found) = spec.get(source.field) else { continue };
        if std::mem::replace(&mut seen, true) && source.field != "flexVolume" {
            causes.push(at.child(source.shown).forbidden("may not specify more than 1 volume type"));
            continue;
        }
        causes.extend(source.check(found, at));
        if source.field == "local" && !has_affinity {
            causes.push(at.child("nodeAffinity").required("Local volume requires node affinity"));
        }
    }
    if !seen {
        causes.push(at.required("must specify a volume type"));
    }
    causes
}

fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|step| matches!(step, "" | "."))
}

fn class_and_mode(spec: &Value, at: &Path, inline: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let class = tree::text(spec, "storageClassName");
    if !class.is_empty() {
        let at = at.child("storageClassName");
        match inline {
            true => causes.push(at.forbidden(INLINE)),
            false => causes.extend(at.invalid_each(class, dns1123_subdomain(class))),
        }
    }
    let at_mode = at.child("volumeMode");
    match spec.get("volumeMode").and_then(Value::as_str) {
        Some(mode) if inline && mode != "Filesystem" => {
            let why = "may not specify volumeMode other than Filesystem in the context of inline volumes";
            causes.push(at_mode.forbidden(why));
        }
        _ => causes.extend(one_of_at(spec.get("volumeMode"), &at_mode, &["Block", "Filesystem"])),
    }
    if let Some(class) = spec.get("volumeAttributesClassName").and_then(Value::as_str) {
        let at_class = at.child("volumeAttributesClassName");
        match class {
            "" => causes.push(at_class.required("an empty string is disallowed")),
            class => causes.extend(at_class.invalid_each(class, dns1123_subdomain(class))),
        }
        if spec.get("csi").is_none() {
            causes.push(at.child("csi").required("has to be specified when using volumeAttributesClassName"));
        }
    }
    causes
}

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut present = new.clone();
    let secret = "spec.csi.controllerExpandSecretRef";
    if tree::at(old, "spec.csi").is_some() && tree::at(old, secret).is_none() {
        tree::remove(&mut present, secret);
    }
    let changed = SOURCES.iter().any(|source| present["spec"].get(source.field) != old["spec"].get(source.field));
    if changed {
        causes.push(
            path("spec.persistentvolumesource").forbidden("spec.persistentvolumesource is immutable after creation"),
        );
    }
    // Upstream leaves out where the two fields stand.
    let moved = |field: &str| tree::at(new, &format!("spec.{field}")) != tree::at(old, &format!("spec.{field}"));
    if moved("volumeMode") {
        let mode = tree::at(new, "spec.volumeMode").cloned().unwrap_or_default();
        causes.push(path("volumeMode").invalid(mode, "field is immutable"));
    }
    if tree::at(old, "spec.nodeAffinity").is_some() && moved("nodeAffinity") {
        let affinity = tree::at(new, "spec.nodeAffinity").cloned().unwrap_or_default();
        causes.push(path("nodeAffinity").invalid(affinity, "field is immutable"));
    }
    let class = "spec.volumeAttributesClassName";
    if tree::at(old, class).is_some() && tree::at(new, class).is_none() {
        causes.push(path(class).forbidden("update from non-nil value to nil is forbidden"));
    }
    causes
}
