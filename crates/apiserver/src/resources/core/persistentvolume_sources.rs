//! Where a PersistentVolume's bytes can be, and what each sort of place needs.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use super::pod_rules::no_backsteps;
use super::volume_sources::{self, Holder};
use crate::resources::storage::driver_name;
use crate::tree;

/// One sort of place.
pub struct Source {
    pub field: &'static str,
    /// Its name where two sorts are refused, which upstream spells differently at times.
    pub shown: &'static str,
    /// Its name in front of its own fields.
    inner: &'static str,
    /// What pods do not ask of it.
    further: Option<fn(&Value, &Path) -> Vec<Cause>>,
}

impl Source {
    const fn new(field: &'static str) -> Self {
        Self { field, shown: field, inner: field, further: None }
    }

    const fn further(self, further: fn(&Value, &Path) -> Vec<Cause>) -> Self {
        Self { further: Some(further), ..self }
    }

    pub fn check(&self, source: &Value, at: &Path) -> Vec<Cause> {
        let at = at.child(self.inner);
        let mut causes = Vec::new();
        volume_sources::check(self.field, source, Holder::PersistentVolume, &at, &mut causes);
        causes.extend(self.further.map(|further| further(source, &at)).unwrap_or_default());
        causes
    }
}

/// In the order in which upstream looks at them.
pub const SOURCES: &[Source] = &[
    Source::new("hostPath"),
    Source { inner: "persistentDisk", ..Source::new("gcePersistentDisk") },
    Source::new("awsElasticBlockStore"),
    Source::new("glusterfs").further(glusterfs),
    Source::new("flocker"),
    Source::new("nfs"),
    Source::new("rbd"),
    Source::new("quobyte"),
    Source { shown: "cephFS", ..Source::new("cephfs") },
    Source::new("iscsi"),
    Source::new("cinder"),
    Source::new("fc"),
    Source::new("flexVolume"),
    Source::new("azureFile").further(azure_file),
    Source::new("vsphereVolume"),
    Source::new("photonPersistentDisk"),
    Source::new("portworxVolume"),
    Source::new("azureDisk"),
    Source::new("scaleIO"),
    Source::new("local").further(local),
    Source::new("storageos"),
    Source::new("csi").further(csi),
];

fn glusterfs(source: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("endpointsNamespace");
    match source.get("endpointsNamespace").and_then(Value::as_str) {
        Some("") => vec![at.invalid("", "if the endpointnamespace is set, it must be a valid namespace name")],
        Some(name) => at.invalid_each(name, dns1123_label(name)),
        None => Vec::new(),
    }
}

fn azure_file(source: &Value, at: &Path) -> Vec<Cause> {
    match source.get("secretNamespace").and_then(Value::as_str) {
        Some("") => vec![at.child("secretNamespace").required("")],
        _ => Vec::new(),
    }
}

fn local(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    match tree::text(source, "path") {
        "" => causes.push(at.child("path").required("")),
        path => no_backsteps(path, &at.child("path"), &mut causes),
    }
    causes
}

fn csi(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = driver_name(tree::text(source, "driver"), &at.child("driver"));
    if tree::text(source, "volumeHandle").is_empty() {
        causes.push(at.child("volumeHandle").required(""));
    }
    let secrets =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    for field in secrets {
        let Some(secret) = source.get(field) else { continue };
        for (part, rule) in [("name", dns1123_subdomain as fn(&str) -> Vec<String>), ("namespace", dns1123_label)] {
            let at = at.child(field).child(part);
            match tree::text(secret, part) {
                "" => causes.push(at.required("")),
                text => causes.extend(at.invalid_each(text, rule(text))),
            }
        }
    }
    causes
}
