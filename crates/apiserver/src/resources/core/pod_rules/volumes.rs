//! Volumes: every source, one file apart for projected ones.
//!
//! Most sources only ask for fields that must be there: those are rows of [`NEEDED`].

use std::collections::{BTreeMap, BTreeSet};

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain, in_range};
use serde_json::Value;

use super::mounts::{no_backsteps, relative_path, relative_path_without_backsteps};
use super::{Asked, containers, projected};
use crate::resources::core::persistentvolumeclaim_rules;
use crate::tree;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MODE_MAX: i64 = 0o777;
const ISCSI_NAMED_MAX: usize = 64;
const DRIVER_NAME_MAX: usize = 63;

/// The volumes that containers may use, by name. Those with something wrong are not among them.
#[derive(Default)]
pub struct Volumes<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Volumes<'a> {
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).copied()
    }
}

pub fn all<'a>(spec: &'a Value, path: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) -> Volumes<'a> {
    let volumes = tree::list(spec, "volumes");
    let pod = asked.pod.filter(|pod| !pod.is_empty());
    let made: BTreeSet<String> = volumes
        .iter()
        .filter(|volume| tree::is_set(volume, "ephemeral"))
        .filter_map(|volume| pod.map(|pod| format!("{pod}-{}", tree::text(volume, "name"))))
        .collect();
    let mut good = Volumes::default();
    for (i, volume) in volumes.iter().enumerate() {
        let at = path.index(i);
        let name = tree::text(volume, "name");
        let mut own = Vec::new();
        sources(volume, &at, asked, &mut own);
        if name.is_empty() {
            own.push(at.child("name").required(""));
        } else {
            own.extend(at.child("name").invalid_each(name, dns1123_label(name)));
        }
        if good.0.contains_key(name) {
            own.push(at.child("name").duplicate(name));
        }
        if own.is_empty() {
            good.0.insert(name, volume);
        }
        out.extend(own);
        let claim = tree::text(volume, "persistentVolumeClaim.claimName");
        if made.contains(claim) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            out.push(at.child("persistentVolumeClaim").child("claimName").invalid(claim, why));
        }
    }
    good
}

/// All sources, in the order in which upstream looks: of several, the first is the volume's and the others are too many.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

fn sources(volume: &Value, path: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    let mut found = false;
    for name in SOURCES {
        let Some(source) = volume.get(*name).filter(|source| !source.is_null()) else { continue };
        if found {
            // Two names differ here from those of the fields; clients may look for them.
            let named = match *name {
                "cephfs" => "cephFS",
                "downwardAPI" => "downwarAPI",
                other => other,
            };
            out.push(path.child(named).forbidden("may not specify more than 1 volume type"));
        } else {
            let at = path.child(if *name == "gcePersistentDisk" { "persistentDisk" } else { name });
            one(name, source, volume, &at, path, asked, out);
        }
        found = true;
        if *name == "iscsi" {
            iscsi_named(source, volume, path, out);
        }
    }
    if !found {
        out.push(path.required("must specify a volume type"));
    }
}

/// Fields that a source must have, and nothing else is asked of them.
const NEEDED: &[(&str, &[&str])] = &[
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("nfs", &["server", "path"]),
    ("gitRepo", &["repository"]),
    ("iscsi", &["targetPortal"]),
];

fn one(name: &str, source: &Value, volume: &Value, path: &Path, at: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    let needed = NEEDED.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, fields)| fields);
    for field in needed {
        if tree::text(source, field).is_empty() && tree::list(source, field).is_empty() {
            out.push(path.child(field).required(""));
        }
    }
    match name {
        "emptyDir" => empty_dir(source, path, out),
        "hostPath" => host_path(source, path, out),
        "gitRepo" => relative_path_without_backsteps(tree::text(source, "directory"), &path.child("directory"), out),
        "gcePersistentDisk" | "awsElasticBlockStore" => between(source, "partition", 1, path, out),
        "secret" | "configMap" => items(source, path, out),
        "nfs" if !tree::text(source, "path").starts_with('/') => {
            out.push(path.child("path").invalid(tree::text(source, "path"), "must be an absolute path"));
        }
        "iscsi" => iscsi(source, path, out),
        "flocker" => flocker(source, path, out),
        "cinder" => secret_ref(source, "secretRef", path, out),
        "quobyte" => quobyte(source, path, out),
        "downwardAPI" => projected::downward(source, path, out),
        "fc" => fibre_channel(source, path, out),
        "flexVolume" => flex_options(source, path, out),
        "azureDisk" => azure_disk(source, path, out),
        "storageos" => storage_os(source, path, out),
        "projected" => projected::volume(source, path, out),
        "csi" => csi(source, path, out),
        "ephemeral" => ephemeral(source, volume, path, at, asked, out),
        "image" => {
            if asked.is_pod() && tree::text(source, "reference").is_empty() {
                out.push(path.child("reference").required(""));
            }
            containers::pull_policy(tree::text(source, "pullPolicy"), &path.child("pullPolicy"), out);
        }
        _ => {}
    }
}

fn empty_dir(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    let limit = Quantity::parse(tree::text(source, "sizeLimit")).unwrap_or_default();
    if limit < Quantity::ZERO {
        out.push(path.child("sizeLimit").forbidden("SizeLimit field must be a valid resource quantity"));
    }
}

fn host_path(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    const TYPES: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let text = tree::text(source, "path");
    if text.is_empty() {
        out.push(path.child("path").required(""));
        return;
    }
    no_backsteps(text, &path.child("path"), out);
    if let Some(kind) = tree::at(source, "type").and_then(Value::as_str)
        && !TYPES.contains(&kind)
    {
        out.push(path.child("type").not_supported(kind, TYPES));
    }
}

/// 0 to 255; upstream tells partitions that they begin at 1.
fn between(source: &Value, field: &str, told: i64, path: &Path, out: &mut Vec<Cause>) {
    let number = tree::int(source, field).unwrap_or_default();
    if !(0..=255).contains(&number) {
        out.push(path.child(field).invalid(number, &format!("must be between {told} and 255, inclusive")));
    }
}

pub fn mode(source: &Value, field: &str, path: &Path, out: &mut Vec<Cause>) {
    if let Some(mode) = tree::int(source, field)
        && !(0..=MODE_MAX).contains(&mode)
    {
        out.push(path.child(field).invalid(mode, MODE));
    }
}

/// The files of a Secret or ConfigMap.
fn items(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    mode(source, "defaultMode", path, out);
    for (i, item) in tree::list(source, "items").iter().enumerate() {
        key_to_path(item, &path.child("items").index(i), out);
    }
}

pub fn key_to_path(item: &Value, path: &Path, out: &mut Vec<Cause>) {
    for field in ["key", "path"] {
        if tree::text(item, field).is_empty() {
            out.push(path.child(field).required(""));
        }
    }
    relative_path(tree::text(item, "path"), &path.child("path"), out);
    mode(item, "mode", path, out);
}

fn iscsi(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    const START: &str = "must be valid format starting with iqn, eui, or naa";
    match tree::text(source, "iqn") {
        "" => out.push(path.child("iqn").required("")),
        name => out.extend(iscsi_name(name, START).map(|why| path.child("iqn").invalid(name, why))),
    }
    between(source, "lun", 0, path, out);
    let chap = tree::flag(source, "chapAuthDiscovery") || tree::flag(source, "chapAuthSession");
    if chap && !tree::is_set(source, "secretRef") {
        out.push(path.child("secretRef").required(""));
    }
    if let Some(name) = tree::at(source, "initiatorName").and_then(Value::as_str) {
        out.extend(iscsi_name(name, START).map(|why| path.child("initiatorname").invalid(name, why)));
    }
}

/// What is wrong with the name of an initiator or target.
fn iscsi_name<'a>(name: &str, start: &'a str) -> Option<&'a str> {
    const FORM: &str = "must be valid format";
    let alphanumeric = |rest: &str, len: usize| rest.len() == len && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let dotted = |prefix: usize, len: usize| {
        name.char_indices().nth(prefix).is_some_and(|(at, dot)| alphanumeric(&name[at + dot.len_utf8()..], len))
    };
    let good = match name.get(..3) {
        Some("iqn") => iqn(name),
        Some("eui") => dotted(3, 16),
        Some("naa") => dotted(3, 32),
        _ => return Some(start),
    };
    (!good).then_some(FORM)
}

/// `iqn.2001-04.com.example:storage`.
fn iqn(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("iqn.") else { return false };
    let Some((date, rest)) = rest.split_once('.') else { return false };
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    let dated = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let Some((authority, unique)) = rest.split_once(':') else { return false };
    let named = !authority.is_empty()
        && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let free = |c: char| !matches!(c, ',' | ';' | '*' | '&' | '$' | '|') && !c.is_ascii_whitespace();
    dated && named && !unique.is_empty() && unique.chars().all(free)
}

fn iscsi_named(source: &Value, volume: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(volume, "name");
    let len = name.len() + 1 + tree::text(source, "targetPortal").len();
    if tree::is_set(source, "initiatorName") && len > ISCSI_NAMED_MAX {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        out.push(path.child("name").invalid(name, why));
    }
}

fn flocker(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(source, "datasetName");
    match (name.is_empty(), tree::text(source, "datasetUUID").is_empty()) {
        (true, true) => out.push(path.required("one of datasetName and datasetUUID is required")),
        (false, false) => {
            out.push(path.invalid("resource", "datasetName and datasetUUID can not be specified simultaneously"));
        }
        _ => {}
    }
    if name.contains('/') {
        out.push(path.child("datasetName").invalid(name, "must not contain '/'"));
    }
}

fn secret_ref(source: &Value, field: &str, path: &Path, out: &mut Vec<Cause>) {
    if tree::is_set(source, field) && tree::text(source, &format!("{field}.name")).is_empty() {
        out.push(path.child(field).child("name").required(""));
    }
}

fn quobyte(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = tree::text(source, "registry");
    if registry.is_empty() {
        out.push(path.child("registry").required(REGISTRY));
    } else if tree::text(source, "tenant").len() >= 65 {
        out.push(path.child("tenant").required("must be a UUID and may not exceed a length of 64 characters"));
    } else {
        let pairs = registry.split(',').filter(|pair| !is_host_port(pair));
        out.extend(pairs.map(|_| path.child("registry").invalid(registry, REGISTRY)));
    }
    if tree::text(source, "volume").is_empty() {
        out.push(path.child("volume").required(""));
    }
}

fn is_host_port(pair: &str) -> bool {
    match pair.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").is_some_and(|(_, port)| !port.contains(':')),
        None => pair.matches(':').count() == 1,
    }
}

fn fibre_channel(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    let (targets, ids) = (tree::list(source, "targetWWNs"), tree::list(source, "wwids"));
    let at = path.child("targetWWNs");
    if targets.is_empty() && ids.is_empty() {
        out.push(at.required("must specify either targetWWNs or wwids, but not both"));
    }
    if !targets.is_empty() && !ids.is_empty() {
        out.push(at.invalid(targets.to_vec(), "targetWWNs and wwids can not be specified simultaneously"));
    }
    if !targets.is_empty() {
        match tree::int(source, "lun") {
            None => out.push(path.child("lun").required("lun is required if targetWWNs is specified")),
            Some(lun) => out.extend(in_range(lun, 0, 255).iter().map(|why| path.child("lun").invalid(lun, why))),
        }
    }
}

fn flex_options(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    for key in tree::at(source, "options").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
        let namespace = format!(".{}", key.split_once('/').map_or(&**key, |(namespace, _)| namespace).to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            out.push(path.child("options").key(key).invalid(key.as_str(), why));
        }
    }
}

fn azure_disk(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    let choices =
        [("cachingMode", &["None", "ReadOnly", "ReadWrite"][..]), ("kind", &["Dedicated", "Managed", "Shared"])];
    for (field, supported) in choices {
        if let Some(chosen) = tree::at(source, field).and_then(Value::as_str)
            && !supported.contains(&chosen)
        {
            out.push(path.child(field).not_supported(chosen, supported));
        }
    }
    let (uri, kind) = (tree::text(source, "diskURI"), tree::text(source, "kind"));
    let (start, form) = if kind == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
    if !kind.is_empty() && !uri.starts_with(start) {
        out.push(path.child("diskURI").not_supported(uri, &[form]));
    }
}

fn storage_os(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    for (field, needed) in [("volumeName", true), ("volumeNamespace", false)] {
        let name = tree::text(source, field);
        if !name.is_empty() {
            out.extend(path.child(field).invalid_each(name, dns1123_label(name)));
        } else if needed {
            out.push(path.child(field).required(""));
        }
    }
    secret_ref(source, "secretRef", path, out);
}

fn csi(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    out.extend(csi_driver(tree::text(source, "driver"), &path.child("driver")));
    if tree::is_set(source, "nodePublishSecretRef") {
        let name = tree::text(source, "nodePublishSecretRef.name");
        if name.is_empty() {
            out.push(path.child("nodePublishSecretRef").child("name").required(""));
        } else {
            out.extend(path.child("name").invalid_each(name, dns1123_subdomain(name)));
        }
    }
}

/// The name of a CSI driver, wherever one is named.
pub fn csi_driver(name: &str, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name.is_empty() {
        causes.push(path.required(""));
    }
    if name.len() > DRIVER_NAME_MAX {
        causes.push(path.too_long(DRIVER_NAME_MAX));
    }
    causes.extend(path.invalid_each(name, dns1123_subdomain(&name.to_lowercase())));
    causes
}

fn ephemeral(source: &Value, volume: &Value, path: &Path, at: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    match source.get("volumeClaimTemplate").filter(|template| !template.is_null()) {
        None => out.push(path.child("volumeClaimTemplate").required("")),
        Some(template) => claim_template(template, &path.child("volumeClaimTemplate"), out),
    }
    let name = tree::text(volume, "name");
    if let Some(pod) = asked.pod.filter(|pod| !pod.is_empty() && !name.is_empty()) {
        let claim = format!("{pod}-{name}");
        let whys = dns1123_subdomain(&claim).into_iter();
        let whys = whys.map(|why| format!("PVC name {claim:?}: {why}")).collect();
        out.extend(at.child("name").invalid_each(name, whys));
    }
}

/// Only labels and annotations of a claim template's metadata have a meaning. Its spec is a claim's.
fn claim_template(template: &Value, path: &Path, out: &mut Vec<Cause>) {
    let meta = path.child("metadata");
    out.extend(api::validation::meta::annotations(
        tree::at(template, "metadata.annotations"),
        &meta.child("annotations"),
    ));
    out.extend(api::validation::meta::labels(tree::at(template, "metadata.labels"), &meta.child("labels")));
    let fields = template.get("metadata").and_then(Value::as_object).into_iter().flatten();
    for (field, _) in fields.filter(|(field, value)| !value.is_null() && !matches!(&***field, "annotations" | "labels"))
    {
        out.push(meta.child(field).forbidden("cannot be set"));
    }
    let empty = Value::Null;
    let spec = template.get("spec").unwrap_or(&empty);
    out.extend(persistentvolumeclaim_rules::spec(spec, &path.child("spec")));
}
