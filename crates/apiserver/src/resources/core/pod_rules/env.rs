//! Environment variables: their names, and where their values come from.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use api::validation::name::{config_key, dns1123_subdomain, env_name, qualified_name};
use serde_json::Value;

use super::mounts::relative_path;
use super::volumes::Volumes;
use crate::tree;

/// Fields of a pod that a variable may show, and those that a file may.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Every field that has a name in the downward API at all.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const UNITS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn variables(variables: &[Value], path: &Path, volumes: &Volumes<'_>, out: &mut Vec<Cause>) {
    for (i, variable) in variables.iter().enumerate() {
        let at = path.index(i);
        match tree::text(variable, "name") {
            "" => out.push(at.child("name").required("")),
            name => out.extend(at.child("name").invalid_each(name, env_name(name))),
        }
        value_from(variable, &at.child("valueFrom"), volumes, out);
    }
}

fn value_from(variable: &Value, path: &Path, volumes: &Volumes<'_>, out: &mut Vec<Cause>) {
    let Some(from) = variable.get("valueFrom").filter(|from| !from.is_null()) else { return };
    let mut sources = 0;
    let mut source = |field: &str| {
        let found = from.get(field).filter(|found| !found.is_null());
        sources += usize::from(found.is_some());
        found.map(|found| (found, path.child(field)))
    };
    if let Some((reference, at)) = source("fieldRef") {
        field_ref(reference, ENV_FIELDS, &at, out);
    }
    if let Some((reference, at)) = source("resourceFieldRef") {
        resource_ref(reference, &at, false, out);
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        if let Some((reference, at)) = source(field) {
            key_ref(reference, &at, out);
        }
    }
    if let Some((reference, at)) = source("fileKeyRef") {
        file_ref(reference, &at, volumes, out);
    }
    let why = match (sources, tree::text(variable, "value").is_empty()) {
        (0, _) => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        (_, false) => "may not be specified when `value` is not empty",
        (1, true) => return,
        (_, true) => "may not have more than one field specified at a time",
    };
    out.push(path.invalid("", why));
}

fn key_ref(reference: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(reference, "name");
    out.extend(path.child("name").invalid_each(name, dns1123_subdomain(name)));
    match tree::text(reference, "key") {
        "" => out.push(path.child("key").required("")),
        key => out.extend(path.child("key").invalid_each(key, config_key(key))),
    }
}

/// A variable out of a file of an emptyDir (KEP-3721).
fn file_ref(reference: &Value, path: &Path, volumes: &Volumes<'_>, out: &mut Vec<Cause>) {
    match tree::text(reference, "key") {
        "" => out.push(path.child("key").required("")),
        key => out.extend(path.child("key").invalid_each(key, env_name(key))),
    }
    match tree::text(reference, "volumeName") {
        "" => out.push(path.child("volumeName").required("")),
        name => match volumes.get(name) {
            None => out.push(path.child("volumeName").not_found(name)),
            Some(volume) if !tree::is_set(volume, "emptyDir") => {
                let why = "referenced volume must be of type emptyDir";
                out.push(path.child("volumeName").invalid(name, why));
            }
            Some(_) => {}
        },
    }
    match tree::text(reference, "path") {
        "" => out.push(path.child("path").required("")),
        file => relative_path(file, &path.child("path"), out),
    }
}

/// A field of the pod by its path, which may name one label or annotation: `metadata.labels['a/b']`.
pub fn field_ref(reference: &Value, supported: &[&str], path: &Path, out: &mut Vec<Cause>) {
    let version = tree::text(reference, "apiVersion");
    let field = tree::text(reference, "fieldPath");
    for (name, text) in [("apiVersion", version), ("fieldPath", field)] {
        if text.is_empty() {
            out.push(path.child(name).required(""));
            return;
        }
    }
    let (base, subscript) = match field.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        Some((base, subscript)) if !base.is_empty() && !subscript.is_empty() => (base, Some(subscript)),
        _ => (field, None),
    };
    let known = match subscript {
        Some(_) => matches!(base, "metadata.annotations" | "metadata.labels"),
        None => KNOWN_FIELDS.contains(&base),
    };
    if version != "v1" || !known {
        let why = match (version, subscript) {
            ("v1", Some(_)) => format!("error converting fieldPath: field label does not support subscript: {field}"),
            ("v1", None) => format!("error converting fieldPath: field label not supported: {field}"),
            (version, _) => format!("error converting fieldPath: unsupported pod version: {version}"),
        };
        out.push(path.child("fieldPath").invalid(field, &why));
        return;
    }
    let base = if base == "spec.host" { "spec.nodeName" } else { base };
    match subscript {
        Some(name) if base == "metadata.annotations" => {
            let name = name.to_lowercase();
            out.extend(path.invalid_each(&name, qualified_name(&name)));
        }
        Some(name) => out.extend(path.invalid_each(name, qualified_name(name))),
        None if !supported.contains(&base) => out.push(path.child("fieldPath").not_supported(base, supported)),
        None => {}
    }
}

/// A container's limit or request. A file has to say of which container.
pub fn resource_ref(reference: &Value, path: &Path, is_file: bool, out: &mut Vec<Cause>) {
    let resource = tree::text(reference, "resource");
    let is_huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if is_file && tree::text(reference, "containerName").is_empty() {
        out.push(path.child("containerName").required(""));
    } else if resource.is_empty() {
        out.push(path.child("resource").required(""));
    } else if !RESOURCES.contains(&resource) && !is_huge {
        out.push(path.child("resource").not_supported(resource, RESOURCES));
    }
    let Ok(divisor) = Quantity::parse(tree::text(reference, "divisor")) else { return };
    let divisor = divisor.to_string();
    if divisor == "0" {
        return;
    }
    let (units, named) = match resource.split_once('.').map_or("", |(_, kind)| kind) {
        "cpu" => (&["1m", "1"][..], "cpu"),
        "memory" => (UNITS, "memory"),
        "ephemeral-storage" => (UNITS, "local ephemeral storage"),
        _ if is_huge => (UNITS, "hugepages"),
        _ => return,
    };
    if !units.contains(&&*divisor) {
        let list = if named == "cpu" { "1m and 1".to_owned() } else { UNITS.join(", ") };
        let why = format!("only divisor's values {list} are supported with the {named} resource");
        out.push(path.child("divisor").invalid(resource, &why));
    }
}

pub fn sources(sources: &[Value], path: &Path, out: &mut Vec<Cause>) {
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = tree::text(source, "prefix");
        if !prefix.is_empty() {
            out.extend(at.child("prefix").invalid_each(prefix, env_name(prefix)));
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            let Some(reference) = source.get(field).filter(|reference| !reference.is_null()) else { continue };
            count += 1;
            let at = at.child(field).child("name");
            match tree::text(reference, "name") {
                "" => out.push(at.required("")),
                name => out.extend(at.invalid_each(name, dns1123_subdomain(name))),
            }
        }
        if count == 0 {
            out.push(path.invalid("", "must specify one of: `configMapRef` or `secretRef`"));
        } else if count > 1 {
            out.push(path.invalid("", "may not have more than one field specified at a time"));
        }
    }
}
