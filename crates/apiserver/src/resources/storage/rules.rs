//! What the kinds of storage.k8s.io must be, and what of them may change.

use std::collections::BTreeMap;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_subdomain, qualified_name};
use api::validation::number::nonnegative;
use api::validation::selector::label_selector;
use serde_json::Value;

use crate::resources::core::persistentvolume_rules;
use crate::resources::fields::{immutable, one_of, path, quantity_not_negative};
use crate::tree;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
const ATTACHMENT_BYTES_MAX: usize = 256 * 1024;
const ERROR_BYTES_MAX: usize = 1024;
const NODE_ID_LEN_MAX: usize = 256;
const DRIVER_NAME_LEN_MAX: usize = 63;

pub fn storage_class(class: &Value) -> Vec<Cause> {
    let mut causes = provisioner(class, "provisioner");
    causes.extend(parameters(class, true));
    causes.extend(one_of(class, "reclaimPolicy", &["Delete", "Retain"]));
    match class.get("volumeBindingMode") {
        None => causes.push(path("volumeBindingMode").required("")),
        Some(_) => causes.extend(one_of(class, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"])),
    }
    causes.extend(topologies(class));
    causes
}

fn provisioner(class: &Value, field: &str) -> Vec<Cause> {
    match tree::text(class, field) {
        "" => vec![path(field).required("")],
        name => {
            let name = name.to_lowercase();
            path(field).invalid_each(&name, qualified_name(&name))
        }
    }
}

fn parameters(class: &Value, may_be_empty: bool) -> Vec<Cause> {
    let at = path("parameters");
    let parameters: Vec<_> = class.get("parameters").and_then(Value::as_object).into_iter().flatten().collect();
    if parameters.len() > PARAMETERS_MAX {
        return vec![at.too_long(PARAMETERS_MAX)];
    }
    let empty = parameters.iter().filter(|(key, _)| key.is_empty());
    let mut causes: Vec<Cause> = empty.map(|_| at.invalid("", "field can not be empty.")).collect();
    let size: usize = parameters.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > PARAMETERS_BYTES_MAX {
        causes.push(at.too_long(PARAMETERS_BYTES_MAX));
    }
    if !may_be_empty && parameters.is_empty() {
        causes.push(at.required("must contain at least one key/value pair"));
    }
    causes
}

fn topologies(class: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen: Vec<BTreeMap<&str, Vec<&str>>> = Vec::new();
    for (i, term) in tree::list(class, "allowedTopologies").iter().enumerate() {
        let at = path("allowedTopologies").index(i).child("matchLabelExpressions");
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (j, requirement) in tree::list(term, "matchLabelExpressions").iter().enumerate() {
            let at = at.index(j);
            let key = tree::text(requirement, "key");
            let mut set = Vec::new();
            if tree::list(requirement, "values").is_empty() {
                causes.push(at.child("values").required(""));
            }
            for (k, value) in tree::texts(requirement, "values").into_iter().enumerate() {
                if set.contains(&value) {
                    causes.push(at.child("values").index(k).duplicate(value));
                }
                set.push(value);
            }
            causes.extend(at.child("key").invalid_each(key, qualified_name(key)));
            set.sort_unstable();
            if values.insert(key, set).is_some() {
                causes.push(at.child("key").duplicate(key));
            }
        }
        if seen.contains(&values) {
            causes.push(at.duplicate(""));
        }
        seen.push(values);
    }
    causes
}

/// Fields that are for life, with upstream's word for each.
fn forbid_changes(new: &Value, old: &Value, fields: &[&str]) -> Vec<Cause> {
    let changed = fields.iter().filter(|field| tree::at(new, field) != tree::at(old, field));
    changed.map(|field| path(field).forbidden(&format!("updates to {field} are forbidden."))).collect()
}

pub fn storage_class_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = forbid_changes(new, old, &["parameters", "provisioner", "reclaimPolicy"]);
    causes.extend(immutable(new, old, "volumeBindingMode"));
    causes
}

pub fn volume_attributes_class(class: &Value) -> Vec<Cause> {
    let mut causes = provisioner(class, "driverName");
    causes.extend(parameters(class, false));
    causes
}

pub fn volume_attributes_class_update(new: &Value, old: &Value) -> Vec<Cause> {
    forbid_changes(new, old, &["driverName", "parameters"])
}

pub fn csi_driver(driver: &Value) -> Vec<Cause> {
    let policies = &["File", "None", "ReadWriteOnceWithFSType"];
    let mut causes = one_of(driver, "spec.fsGroupPolicy", policies);
    let mut audiences = Vec::new();
    for (i, request) in tree::list(driver, "spec.tokenRequests").iter().enumerate() {
        let at = path("spec.tokenRequests").index(i);
        let audience = tree::text(request, "audience");
        if audiences.contains(&audience) {
            causes.push(at.child("audience").duplicate(audience));
            continue;
        }
        audiences.push(audience);
        let Some(secs) = tree::int(request, "expirationSeconds") else { continue };
        let at = at.child("expirationSeconds");
        if secs < 600 {
            causes.push(at.invalid(secs, "may not specify a duration less than 10 minutes"));
        }
        if secs > 1 << 32 {
            causes.push(at.invalid(secs, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    for mode in tree::texts(driver, "spec.volumeLifecycleModes") {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            causes.push(path("spec.volumeLifecycleModes").not_supported(mode, &["Persistent", "Ephemeral"]));
        }
    }
    let period = "spec.nodeAllocatableUpdatePeriodSeconds";
    if let Some(secs) = tree::int(driver, period).filter(|secs| *secs < 10) {
        causes.push(path(period).invalid(secs, "must be greater than or equal to 10 seconds"));
    }
    causes
}

pub fn csi_driver_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let attach = "spec.attachRequired";
    if tree::at(new, attach) != tree::at(old, attach) {
        let value = tree::at(new, attach).cloned().unwrap_or_default();
        // Upstream names a field that does not exist.
        causes.push(path("spec.attachedRequired").invalid(value, "field is immutable"));
    }
    causes.extend(immutable(new, old, "spec.volumeLifecycleModes"));
    causes
}

/// The name of a driver, in objects that refer to one.
pub fn driver_name(name: &str, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name.is_empty() {
        causes.push(at.required(""));
    }
    if name.len() > DRIVER_NAME_LEN_MAX {
        causes.push(at.too_long(DRIVER_NAME_LEN_MAX));
    }
    let whys = dns1123_subdomain(&name.to_lowercase());
    causes.extend(at.invalid_each(name, whys));
    causes
}

pub fn csi_node(node: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut names = Vec::new();
    for (i, driver) in tree::list(node, "spec.drivers").iter().enumerate() {
        let at = path("spec.drivers").index(i);
        let name = tree::text(driver, "name");
        causes.extend(driver_name(name, &at.child("name")));
        let id = tree::text(driver, "nodeID");
        if id.is_empty() {
            causes.push(at.child("nodeID").required(""));
        }
        if id.len() > NODE_ID_LEN_MAX {
            let why = format!("must be {NODE_ID_LEN_MAX} characters or less");
            causes.push(at.child("nodeID").invalid(id, &why));
        }
        causes.extend(nonnegative(tree::at(driver, "allocatable.count"), &at.child("allocatable").child("count")));
        if names.contains(&name) {
            causes.push(at.child("name").duplicate(name));
        }
        names.push(name);
        causes.extend(topology_keys(driver, &at));
    }
    causes
}

fn topology_keys(driver: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = Vec::new();
    for key in tree::texts(driver, "topologyKeys") {
        if key.is_empty() {
            causes.push(at.required(""));
        }
        if seen.contains(&key) {
            causes.push(at.duplicate(key));
        }
        seen.push(key);
        causes.extend(at.invalid_each(key, qualified_name(key)));
    }
    causes
}

/// A driver may come and go, but not change; how many volumes it can take may.
pub fn csi_node_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let without_count = |driver: &Value| {
        let mut driver = driver.clone();
        tree::remove(&mut driver, "allocatable");
        driver
    };
    for before in tree::list(old, "spec.drivers") {
        for now in tree::list(new, "spec.drivers").iter().filter(|now| now.get("name") == before.get("name")) {
            if without_count(now) != without_count(before) {
                causes.push(path("spec.drivers").invalid(without_count(now), "field is immutable"));
            }
        }
    }
    causes
}

pub fn csi_storage_capacity(capacity: &Value) -> Vec<Cause> {
    let mut causes = label_selector(capacity.get("nodeTopology"), &path("nodeTopology"));
    let class = tree::text(capacity, "storageClassName");
    causes.extend(path("storageClassName").invalid_each(class, dns1123_subdomain(class)));
    causes.extend(quantity_not_negative(capacity.get("capacity"), &path("capacity")));
    causes
}

pub fn csi_storage_capacity_update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = immutable(new, old, "nodeTopology");
    causes.extend(immutable(new, old, "storageClassName"));
    causes
}

pub fn volume_attachment(attachment: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree::text(attachment, "spec.attacher").is_empty() {
        causes.push(path("spec.attacher").required(""));
    }
    causes.extend(attachment_source(attachment));
    let node = tree::text(attachment, "spec.nodeName");
    causes.extend(path("spec.nodeName").invalid_each(node, dns1123_subdomain(node)));
    causes.extend(volume_attachment_status(attachment));
    causes
}

fn attachment_source(attachment: &Value) -> Vec<Cause> {
    let at = path("spec.source");
    let both = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = ("spec.source.inlineVolumeSpec", "spec.source.persistentVolumeName");
    match (tree::at(attachment, inline), tree::at(attachment, name)) {
        (None, None) => vec![at.required(both)],
        (Some(_), Some(_)) => vec![at.forbidden(both)],
        (None, Some(name)) if name.as_str() == Some("") => {
            vec![at.child("persistentVolumeName").required("must specify non empty persistentVolumeName")]
        }
        (None, Some(_)) => Vec::new(),
        (Some(inline), None) => persistentvolume_rules::spec(inline, &at.child("inlineVolumeSpec"), true),
    }
}

fn volume_attachment_status(attachment: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let metadata = tree::at(attachment, "status.attachmentMetadata").and_then(Value::as_object);
    let size: usize =
        metadata.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ATTACHMENT_BYTES_MAX {
        causes.push(path("status.attachmentMetadata").too_long(ATTACHMENT_BYTES_MAX));
    }
    for field in ["attachError", "detachError"] {
        let at = path("status").child(field);
        let error = tree::at(attachment, &format!("status.{field}")).cloned().unwrap_or_default();
        if tree::text(&error, "message").len() > ERROR_BYTES_MAX {
            causes.push(at.child("message").too_long(ATTACHMENT_BYTES_MAX));
        }
        if let Some(code) = tree::int(&error, "errorCode").filter(|code| *code < 0) {
            causes.push(at.child("errorCode").invalid(code, "must be between 0 and 2147483647, inclusive"));
        }
    }
    causes
}

pub fn volume_attachment_create(attachment: &Value) -> Vec<Cause> {
    let attacher = tree::text(attachment, "spec.attacher");
    let mut causes = driver_name(attacher, &path("spec.attacher"));
    if let Some(name) = tree::at(attachment, "spec.source.persistentVolumeName").and_then(Value::as_str) {
        causes.extend(path("spec.source.persistentVolumeName").invalid_each(name, dns1123_subdomain(name)));
    }
    causes
}

pub fn volume_attachment_update(new: &Value, old: &Value) -> Vec<Cause> {
    immutable(new, old, "spec")
}
