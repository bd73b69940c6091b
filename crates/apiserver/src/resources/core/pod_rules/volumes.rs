//! Volumes of pods: the sources that only pods have (projected ones in a file of their own), and one source each. What
//! PersistentVolumes have too is in [`volume_sources`].

use std::collections::{BTreeMap, BTreeSet};

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use super::mounts::{relative_path, relative_path_without_backsteps};
use super::{Asked, containers, projected};
use crate::resources::core::persistentvolumeclaim_rules;
use crate::resources::core::volume_sources::{self, Holder};
use crate::resources::storage::driver_name;
use crate::tree;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MODE_MAX: i64 = 0o777;
const ISCSI_NAMED_MAX: usize = 64;

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

fn one(name: &str, source: &Value, volume: &Value, path: &Path, at: &Path, asked: Asked<'_>, out: &mut Vec<Cause>) {
    volume_sources::check(name, source, Holder::Pod, path, out);
    match name {
        "emptyDir" => empty_dir(source, path, out),
        "gitRepo" => relative_path_without_backsteps(tree::text(source, "directory"), &path.child("directory"), out),
        "secret" | "configMap" => items(source, path, out),
        "downwardAPI" => projected::downward(source, path, out),
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

fn iscsi_named(source: &Value, volume: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(volume, "name");
    let len = name.len() + 1 + tree::text(source, "targetPortal").len();
    if tree::is_set(source, "initiatorName") && len > ISCSI_NAMED_MAX {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        out.push(path.child("name").invalid(name, why));
    }
}

fn csi(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    out.extend(driver_name(tree::text(source, "driver"), &path.child("driver")));
    if tree::is_set(source, "nodePublishSecretRef") {
        let name = tree::text(source, "nodePublishSecretRef.name");
        if name.is_empty() {
            out.push(path.child("nodePublishSecretRef").child("name").required(""));
        } else {
            out.extend(path.child("name").invalid_each(name, dns1123_subdomain(name)));
        }
    }
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
