//! Where the bytes of a volume can be, as far as pods and PersistentVolumes have it in common, and what each place needs.
//!
//! Most only ask for fields that must be there: those are rows of [`NEEDED`].

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, in_range};
use serde_json::Value;

use super::pod_rules::no_backsteps;
use crate::resources::fields::one_of_at;
use crate::tree;

const FORM: &str = "must be valid format";

/// Whose volume it is: a few rules and words differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Pod,
    PersistentVolume,
}

/// Fields that a source must have.
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

pub fn check(name: &str, source: &Value, holder: Holder, path: &Path, out: &mut Vec<Cause>) {
    let needed = NEEDED.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, fields)| fields);
    for field in needed {
        if tree::text(source, field).is_empty() && tree::list(source, field).is_empty() {
            out.push(path.child(field).required(""));
        }
    }
    match name {
        "hostPath" => host_path(source, path, out),
        "gcePersistentDisk" | "awsElasticBlockStore" => between(source, "partition", 1, path, out),
        "nfs" if !tree::text(source, "path").starts_with('/') => {
            out.push(path.child("path").invalid(tree::text(source, "path"), "must be an absolute path"));
        }
        "iscsi" => iscsi(source, holder, path, out),
        "flocker" => flocker(source, path, out),
        "cinder" => secret_ref(source, holder, path, out),
        "quobyte" => quobyte(source, path, out),
        "fc" => fibre_channel(source, path, out),
        "flexVolume" => flex_options(source, path, out),
        "azureDisk" => azure_disk(source, path, out),
        "storageos" => storage_os(source, holder, path, out),
        _ => {}
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
    out.extend(one_of_at(source.get("type"), &path.child("type"), TYPES));
}

/// 0 to 255; upstream tells partitions that they begin at 1.
fn between(source: &Value, field: &str, told: i64, path: &Path, out: &mut Vec<Cause>) {
    let number = tree::int(source, field).unwrap_or_default();
    if !(0..=255).contains(&number) {
        out.push(path.child(field).invalid(number, &format!("must be between {told} and 255, inclusive")));
    }
}

fn iscsi(source: &Value, holder: Holder, path: &Path, out: &mut Vec<Cause>) {
    let start = match holder {
        Holder::Pod => "must be valid format starting with iqn, eui, or naa",
        Holder::PersistentVolume => FORM,
    };
    match tree::text(source, "iqn") {
        "" => out.push(path.child("iqn").required("")),
        name => out.extend(iscsi_name(name, start).map(|why| path.child("iqn").invalid(name, why))),
    }
    between(source, "lun", 0, path, out);
    let chap = tree::flag(source, "chapAuthDiscovery") || tree::flag(source, "chapAuthSession");
    if chap && !tree::is_set(source, "secretRef") {
        out.push(path.child("secretRef").required(""));
    }
    if holder == Holder::PersistentVolume {
        secret_ref(source, Holder::Pod, path, out);
    }
    if let Some(name) = tree::at(source, "initiatorName").and_then(Value::as_str) {
        out.extend(iscsi_name(name, start).map(|why| path.child("initiatorname").invalid(name, why)));
    }
}

/// What is wrong with the name of an initiator or target.
fn iscsi_name<'a>(name: &str, start: &'a str) -> Option<&'a str> {
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

/// A pod names a secret of its own namespace; a PersistentVolume has none.
fn secret_ref(source: &Value, holder: Holder, path: &Path, out: &mut Vec<Cause>) {
    let Some(secret) = source.get("secretRef").filter(|secret| !secret.is_null()) else { return };
    let fields = match holder {
        Holder::Pod => &["name"][..],
        Holder::PersistentVolume => &["name", "namespace"],
    };
    let empty = fields.iter().filter(|field| tree::text(secret, field).is_empty());
    out.extend(empty.map(|field| path.child("secretRef").child(field).required("")));
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
        out.extend(one_of_at(source.get(field), &path.child(field), supported));
    }
    let (uri, kind) = (tree::text(source, "diskURI"), tree::text(source, "kind"));
    let (start, form) = if kind == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
    if !kind.is_empty() && !uri.starts_with(start) {
        out.push(path.child("diskURI").not_supported(uri, &[form]));
    }
}

fn storage_os(source: &Value, holder: Holder, path: &Path, out: &mut Vec<Cause>) {
    for (field, needed) in [("volumeName", true), ("volumeNamespace", false)] {
        let name = tree::text(source, field);
        if !name.is_empty() {
            out.extend(path.child(field).invalid_each(name, dns1123_label(name)));
        } else if needed {
            out.push(path.child(field).required(""));
        }
    }
    secret_ref(source, holder, path, out);
}
