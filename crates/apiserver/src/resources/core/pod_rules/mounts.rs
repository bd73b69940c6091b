//! Where a container sees its volumes: mounts and block devices, and the form of paths.

use std::collections::{BTreeMap, BTreeSet};

use api::status::Cause;
use api::validation::Path;
use serde_json::Value;

use super::volumes::Volumes;
use crate::tree;

/// Names of volumes with their path in the container; a later one of the same name counts.
fn by_name<'a>(list: &'a [Value], field: &str) -> BTreeMap<&'a str, &'a str> {
    list.iter().map(|item| (tree::text(item, "name"), tree::text(item, field))).collect()
}

pub fn mounts(container: &Value, volumes: &Volumes<'_>, path: &Path, out: &mut Vec<Cause>) {
    let devices = by_name(tree::list(container, "volumeDevices"), "devicePath");
    let mut points = BTreeSet::new();
    for (i, mount) in tree::list(container, "volumeMounts").iter().enumerate() {
        let at = path.index(i);
        let (name, point) = (tree::text(mount, "name"), tree::text(mount, "mountPath"));
        if name.is_empty() {
            out.push(at.child("name").required(""));
        }
        if volumes.get(name).is_none() {
            out.push(at.child("name").not_found(name));
        }
        if point.is_empty() {
            out.push(at.child("mountPath").required(""));
        }
        if !points.insert(point) {
            out.push(at.child("mountPath").invalid(point, "must be unique"));
        }
        if devices.contains_key(name) {
            out.push(at.child("name").invalid(name, "must not already exist in volumeDevices"));
        }
        if devices.values().any(|device| *device == point) {
            out.push(at.child("mountPath").invalid(point, "must not already exist as a path in volumeDevices"));
        }
        sub_path(mount, &at, path, out);
        propagation(mount, container, &path.child("mountPropagation"), out);
        recursive_read_only(mount, &path.child("recursiveReadOnly"), out);
    }
}

/// Upstream names the list, not the item, for what is wrong with the form of a sub-path.
fn sub_path(mount: &Value, at: &Path, list: &Path, out: &mut Vec<Cause>) {
    let (plain, expression) = (tree::text(mount, "subPath"), tree::text(mount, "subPathExpr"));
    if !plain.is_empty() {
        relative_path_without_backsteps(plain, &list.child("subPath"), out);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            out.push(at.child("subPathExpr").invalid(expression, why));
        }
        relative_path_without_backsteps(expression, &list.child("subPathExpr"), out);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path, out: &mut Vec<Cause>) {
    let Some(mode) = tree::at(mount, "mountPropagation").and_then(Value::as_str) else { return };
    if !matches!(mode, "Bidirectional" | "HostToContainer" | "None") {
        out.push(path.not_supported(mode, &["Bidirectional", "HostToContainer", "None"]));
    }
    if mode == "Bidirectional" && !tree::flag(container, "securityContext.privileged") {
        out.push(path.forbidden("Bidirectional mount propagation is available only to privileged containers"));
    }
}

fn recursive_read_only(mount: &Value, path: &Path, out: &mut Vec<Cause>) {
    match tree::at(mount, "recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !tree::flag(mount, "readOnly") {
                out.push(path.forbidden("may only be specified when readOnly is true"));
            }
            if !matches!(tree::text(mount, "mountPropagation"), "" | "None") {
                out.push(path.forbidden("may only be specified when mountPropagation is None or not specified"));
            }
        }
        Some(other) => out.push(path.not_supported(other, &["Disabled", "Enabled", "IfPossible"])),
    }
}

pub fn devices(container: &Value, volumes: &Volumes<'_>, path: &Path, out: &mut Vec<Cause>) {
    let mounts = by_name(tree::list(container, "volumeMounts"), "mountPath");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in tree::list(container, "volumeDevices").iter().enumerate() {
        let at = path.index(i);
        let (name, point) = (tree::text(device, "name"), tree::text(device, "devicePath"));
        if name.is_empty() {
            out.push(at.child("name").required(""));
        }
        if names.contains(name) {
            out.push(at.child("name").invalid(name, "must be unique"));
        }
        match volumes.get(name) {
            None => out.push(at.child("name").not_found(name)),
            Some(volume) if !["persistentVolumeClaim", "ephemeral"].iter().any(|kind| tree::is_set(volume, kind)) => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                out.push(at.child("name").invalid(name, why));
            }
            Some(_) => {}
        }
        if point.is_empty() {
            out.push(at.child("devicePath").required(""));
        }
        if paths.contains(point) {
            out.push(at.child("devicePath").invalid(point, "must be unique"));
        }
        if has_backstep(point) {
            out.push(at.child("devicePath").invalid(point, "can not contain backsteps ('..')"));
        } else {
            paths.insert(point);
        }
        if mounts.contains_key(name) {
            out.push(at.child("name").invalid(name, "must not already exist in volumeMounts"));
        }
        if mounts.values().any(|mount| *mount == point) {
            out.push(at.child("devicePath").invalid(point, "must not already exist as a path in volumeMounts"));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}

fn has_backstep(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

pub fn no_backsteps(text: &str, path: &Path, out: &mut Vec<Cause>) {
    if has_backstep(text) {
        out.push(path.invalid(text, "must not contain '..'"));
    }
}

pub fn relative_path_without_backsteps(text: &str, path: &Path, out: &mut Vec<Cause>) {
    if text.starts_with('/') {
        out.push(path.invalid(text, "must be a relative path"));
    }
    no_backsteps(text, path, out);
}

/// A file within a volume; names that begin with two dots are the volume's own.
pub fn relative_path(text: &str, path: &Path, out: &mut Vec<Cause>) {
    relative_path_without_backsteps(text, path, out);
    if text.starts_with("..") && !text.starts_with("../") {
        out.push(path.invalid(text, "must not start with '..'"));
    }
}
