//! Where a PersistentVolume's bytes can be, and what each sort of place needs.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use crate::tree;

/// One sort of place.
pub struct Source {
    pub field: &'static str,
    /// Its name where two sorts are refused, which upstream spells differently at times.
    pub shown: &'static str,
    /// Its name in front of its own fields.
    inner: &'static str,
    /// Fields that may not be empty.
    required: &'static [&'static str],
    further: Option<fn(&Value, &Path) -> Vec<Cause>>,
}

impl Source {
    const fn new(field: &'static str, required: &'static [&'static str]) -> Self {
        Self { field, shown: field, inner: field, required, further: None }
    }

    const fn further(self, further: fn(&Value, &Path) -> Vec<Cause>) -> Self {
        Self { further: Some(further), ..self }
    }

    pub fn check(&self, source: &Value, at: &Path) -> Vec<Cause> {
        let at = at.child(self.inner);
        let empty = |field: &&&str| {
            let value = source.get(**field);
            value.is_none_or(|value| value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty))
        };
        let mut causes: Vec<Cause> =
            self.required.iter().filter(empty).map(|field| at.child(field).required("")).collect();
        causes.extend(self.further.map(|further| further(source, &at)).unwrap_or_default());
        causes
    }
}

/// In the order in which upstream looks at them.
pub const SOURCES: &[Source] = &[
    Source::new("hostPath", &["path"]).further(host_path),
    Source { inner: "persistentDisk", ..Source::new("gcePersistentDisk", &["pdName"]) }.further(partition),
    Source::new("awsElasticBlockStore", &["volumeID"]).further(partition),
    Source::new("glusterfs", &["endpoints", "path"]).further(glusterfs),
    Source::new("flocker", &[]).further(flocker),
    Source::new("nfs", &["server", "path"]).further(nfs),
    Source::new("rbd", &["monitors", "image"]),
    Source::new("quobyte", &["registry", "volume"]),
    Source { shown: "cephFS", ..Source::new("cephfs", &["monitors"]) },
    Source::new("iscsi", &["targetPortal", "iqn"]).further(iscsi),
    Source::new("cinder", &["volumeID"]).further(secret_namespace),
    Source::new("fc", &[]).further(fibre_channel),
    Source::new("flexVolume", &["driver"]).further(flex),
    Source::new("azureFile", &["secretName", "shareName"]).further(azure_file),
    Source::new("vsphereVolume", &["volumePath"]),
    Source::new("photonPersistentDisk", &["pdID"]),
    Source::new("portworxVolume", &["volumeID"]),
    Source::new("azureDisk", &["diskName", "diskURI"]).further(azure_disk),
    Source::new("scaleIO", &["gateway", "system", "volumeName"]),
    Source::new("local", &["path"]).further(local),
    Source::new("storageos", &["volumeName"]),
    Source::new("csi", &[]).further(csi),
];

/// Why a path may not lead upwards.
pub fn backsteps(path: &str) -> Option<&'static str> {
    path.split('/').any(|step| step == "..").then_some("must not contain '..'")
}

fn no_backsteps(source: &Value, at: &Path) -> Vec<Cause> {
    let path = tree::text(source, "path");
    backsteps(path).map(|why| at.child("path").invalid(path, why)).into_iter().collect()
}

fn host_path(source: &Value, at: &Path) -> Vec<Cause> {
    if tree::text(source, "path").is_empty() {
        return Vec::new();
    }
    let kinds = &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let mut causes = no_backsteps(source, at);
    causes.extend(crate::resources::fields::one_of_at(source.get("type"), &at.child("type"), kinds));
    causes
}

fn in_byte(number: Option<i64>, low: i64, at: &Path) -> Vec<Cause> {
    let wrong = number.filter(|number| !(low..=255).contains(number));
    wrong.map(|number| at.invalid(number, &format!("must be between {low} and 255, inclusive"))).into_iter().collect()
}

fn partition(source: &Value, at: &Path) -> Vec<Cause> {
    let number = tree::int(source, "partition").filter(|number| *number != 0);
    in_byte(number, 1, &at.child("partition"))
}

fn glusterfs(source: &Value, at: &Path) -> Vec<Cause> {
    let at = at.child("endpointsNamespace");
    match source.get("endpointsNamespace").and_then(Value::as_str) {
        Some("") => vec![at.invalid("", "if the endpointnamespace is set, it must be a valid namespace name")],
        Some(name) => at.invalid_each(name, dns1123_label(name)),
        None => Vec::new(),
    }
}

fn flocker(source: &Value, at: &Path) -> Vec<Cause> {
    let (name, uuid) = (tree::text(source, "datasetName"), tree::text(source, "datasetUUID"));
    let mut causes = Vec::new();
    if name.is_empty() && uuid.is_empty() {
        causes.push(at.required("one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        causes.push(at.invalid("resource", "datasetName and datasetUUID can not be specified simultaneously"));
    }
    if name.contains('/') {
        causes.push(at.child("datasetName").invalid(name, "must not contain '/'"));
    }
    causes
}

fn nfs(source: &Value, at: &Path) -> Vec<Cause> {
    let path = tree::text(source, "path");
    if path.starts_with('/') {
        return Vec::new();
    }
    vec![at.child("path").invalid(path, "must be an absolute path")]
}

fn iscsi(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = tree::text(source, "iqn");
    if !name.is_empty() && !["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix)) {
        causes.push(at.child("iqn").invalid(name, "must be valid format starting with iqn, eui, or naa"));
    }
    causes.extend(in_byte(tree::int(source, "lun"), 0, &at.child("lun")));
    let asked = tree::flag(source, "chapAuthDiscovery") || tree::flag(source, "chapAuthSession");
    if asked && source.get("secretRef").is_none() {
        causes.push(at.child("secretRef").required(""));
    }
    if let Some(secret) = source.get("secretRef")
        && tree::text(secret, "name").is_empty()
    {
        causes.push(at.child("secretRef").child("name").required(""));
    }
    causes
}

fn secret_namespace(source: &Value, at: &Path) -> Vec<Cause> {
    let Some(secret) = source.get("secretRef") else { return Vec::new() };
    let empty = ["name", "namespace"].into_iter().filter(|field| tree::text(secret, field).is_empty());
    empty.map(|field| at.child("secretRef").child(field).required("")).collect()
}

fn fibre_channel(source: &Value, at: &Path) -> Vec<Cause> {
    let (names, ids) = (tree::texts(source, "targetWWNs"), tree::texts(source, "wwids"));
    let mut causes = Vec::new();
    if names.is_empty() && ids.is_empty() {
        let why = "must specify either targetWWNs or wwids, but not both";
        causes.push(at.child("targetWWNs").required(why));
    }
    if !names.is_empty() && !ids.is_empty() {
        let why = "targetWWNs and wwids can not be specified simultaneously";
        causes.push(at.child("targetWWNs").invalid(names.clone(), why));
    }
    if !names.is_empty() {
        match tree::int(source, "lun") {
            None => causes.push(at.child("lun").required("lun is required if targetWWNs is specified")),
            lun => causes.extend(in_byte(lun, 0, &at.child("lun"))),
        }
    }
    causes
}

fn flex(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, _) in source.get("options").and_then(Value::as_object).into_iter().flatten() {
        let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
        let own = ["kubernetes.io", "k8s.io"];
        if own.iter().any(|own| namespace == *own || namespace.ends_with(&format!(".{own}"))) {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            causes.push(at.child("options").key(key).invalid(key.as_str(), why));
        }
    }
    causes
}

fn azure_file(source: &Value, at: &Path) -> Vec<Cause> {
    match source.get("secretNamespace").and_then(Value::as_str) {
        Some("") => vec![at.child("secretNamespace").required("")],
        _ => Vec::new(),
    }
}

fn azure_disk(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let modes = &["None", "ReadOnly", "ReadWrite"];
    causes.extend(crate::resources::fields::one_of_at(source.get("cachingMode"), &at.child("cachingMode"), modes));
    let kinds = &["Dedicated", "Managed", "Shared"];
    causes.extend(crate::resources::fields::one_of_at(source.get("kind"), &at.child("kind"), kinds));
    let uri = tree::text(source, "diskURI");
    let managed = tree::text(source, "kind") == "Managed";
    if managed && !uri.starts_with("/subscriptions/") {
        causes.push(at.child("diskURI").not_supported(
            uri,
            &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"],
        ));
    }
    if !managed && !uri.is_empty() && !uri.starts_with("https://") {
        let form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        causes.push(at.child("diskURI").not_supported(uri, &[form]));
    }
    causes
}

fn local(source: &Value, at: &Path) -> Vec<Cause> {
    if tree::text(source, "path").is_empty() { Vec::new() } else { no_backsteps(source, at) }
}

fn csi(source: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = crate::resources::storage::driver_name(tree::text(source, "driver"), &at.child("driver"));
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
