//! ObjectMeta: what every object must keep to, at creation and from one version to the next.

use serde_json::{Map as Json, Value};

use super::cause::Path;
use super::name::{label_value, qualified_name};
use crate::status::Cause;

const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const GENERATE_NAME_LEN_MAX: usize = 63 - 5;

/// How a resource's names are checked: the reasons why a name is wrong.
pub type NameRule = fn(&str) -> Vec<String>;

fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The metadata of an object that is to be created or has been changed.
pub fn object_meta(object: &Value, namespaced: bool, name_rule: NameRule) -> Vec<Cause> {
    let path = Path::new("metadata");
    let none = Value::Null;
    let meta = object.get("metadata").unwrap_or(&none);
    let mut causes = Vec::new();
    let (name, generate_name) = (text(meta, "name"), text(meta, "generateName"));
    if !generate_name.is_empty() {
        let stem = mask_trailing_dash(generate_name);
        causes.extend(path.child("generateName").invalid_each(generate_name, name_rule(&stem)));
    }
    if name.is_empty() {
        causes.push(path.child("name").required("name or generateName is required"));
    } else {
        causes.extend(path.child("name").invalid_each(name, name_rule(name)));
    }
    let namespace = text(meta, "namespace");
    if namespaced && namespace.is_empty() {
        causes.push(path.child("namespace").required(""));
    } else if namespaced {
        causes.extend(path.child("namespace").invalid_each(namespace, super::name::dns1123_label(namespace)));
    } else if !namespace.is_empty() {
        causes.push(path.child("namespace").forbidden("not allowed on this type"));
    }
    if meta.get("generation").and_then(Value::as_i64).is_some_and(|generation| generation < 0) {
        causes.push(path.child("generation").invalid(meta["generation"].clone(), "must be greater than or equal to 0"));
    }
    causes.extend(labels(meta.get("labels"), &path.child("labels")));
    causes.extend(annotations(meta.get("annotations"), &path.child("annotations")));
    causes.extend(owner_references(meta.get("ownerReferences"), &path.child("ownerReferences")));
    causes.extend(finalizers(meta.get("finalizers"), &path.child("finalizers")));
    causes
}

/// A generated name gets letters after its stem, so a dash may end it.
fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => format!("{stem}a"),
        _ => name.to_owned(),
    }
}

/// The stem of a generated name, cut so that five more letters fit.
pub fn name_stem(generate_name: &str) -> &str {
    let mut end = generate_name.len().min(GENERATE_NAME_LEN_MAX);
    while !generate_name.is_char_boundary(end) {
        end -= 1;
    }
    &generate_name[..end]
}

pub fn labels(labels: Option<&Value>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        causes.extend(path.invalid_each(key, qualified_name(key)));
        let value = value.as_str().unwrap_or_default();
        causes.extend(path.invalid_each(value, label_value(value)));
    }
    causes
}

pub fn annotations(annotations: Option<&Value>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        causes.extend(path.invalid_each(key, qualified_name(&key.to_lowercase())));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_BYTES_MAX {
        causes.push(path.too_long(ANNOTATIONS_BYTES_MAX));
    }
    causes
}

fn owner_references(owners: Option<&Value>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut controller: Option<&Value> = None;
    for owner in owners.and_then(Value::as_array).into_iter().flatten() {
        let api_version = text(owner, "apiVersion");
        let version = api_version.rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            causes.push(path.child("apiVersion").invalid(api_version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                causes.push(path.child(field).invalid("", "must not be empty"));
            }
        }
        if api_version == "v1" && text(owner, "kind") == "Event" {
            causes.push(path.invalid("v1, Kind=Event", "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            if let Some(first) = controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
                    text(first, "kind"),
                    text(first, "name"),
                    text(owner, "kind"),
                    text(owner, "name")
                );
                causes.push(path.invalid(owners.cloned().unwrap_or_default(), &why));
            }
            controller = Some(owner);
        }
    }
    causes
}

/// What Kubernetes' own kinds ask of finalizers besides; custom resources and their definitions do not.
pub fn own_finalizers(object: &Value) -> Vec<Cause> {
    let path = Path::new("metadata.finalizers");
    let list = object.get("metadata").and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str).enumerate();
    let odd = names.filter(|(_, name)| is_plain_finalizer(name));
    let why = "name is neither a standard finalizer name nor is it fully qualified";
    odd.map(|(at, name)| path.index(at).invalid(name, why)).collect()
}

/// A finalizer that names nobody as its owner.
pub fn is_plain_finalizer(name: &str) -> bool {
    !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes")
}

/// A name of somebody's own, or one of the few that have no domain.
pub fn finalizer_name(name: &str, path: &Path) -> Vec<Cause> {
    let mut causes = path.invalid_each(name, qualified_name(name));
    if is_plain_finalizer(name) {
        causes.push(path.invalid(name, "name is neither a standard finalizer name nor is it fully qualified"));
    }
    causes
}

fn finalizers(finalizers: Option<&Value>, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let names: Vec<&str> =
        finalizers.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (at, name) in names.iter().enumerate() {
        let path = path.index(at);
        causes.extend(path.invalid_each(name, qualified_name(name)));
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(path.invalid(finalizers.cloned().unwrap_or_default(), why));
    }
    causes
}

/// What may not change between two versions of an object, besides [`object_meta`] of the new one.
pub fn object_meta_update(new: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("metadata");
    let none = Json::new();
    let (new, old) = (fields(new).unwrap_or(&none), fields(old).unwrap_or(&none));
    let mut causes = Vec::new();
    if old.contains_key("deletionTimestamp") {
        causes.extend(no_new_finalizers(new, old, &path.child("finalizers")));
    }
    let generation = |meta: &Json<String, Value>| meta.get("generation").and_then(Value::as_i64).unwrap_or_default();
    if generation(new) < generation(old) {
        causes.push(path.child("generation").invalid(generation(new), "must not be decremented"));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.get(field).unwrap_or(&Value::Null), old.get(field).unwrap_or(&Value::Null));
        if new != old {
            causes.push(path.child(field).invalid(new.clone(), "field is immutable"));
        }
    }
    causes
}

fn fields(object: &Value) -> Option<&Json<String, Value>> {
    object.get("metadata")?.as_object()
}

fn no_new_finalizers(new: &Json<String, Value>, old: &Json<String, Value>, path: &Path) -> Option<Cause> {
    let list = |meta: &Json<String, Value>| -> Vec<String> {
        let items = meta.get("finalizers").and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let known = list(old);
    let mut added: Vec<String> = list(new).into_iter().filter(|name| !known.contains(name)).collect();
    if added.is_empty() {
        return None;
    }
    added.sort();
    let shown: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
    let why = "no new finalizers can be added if the object is being deleted, found new finalizers []string";
    Some(path.forbidden(&format!("{why}{{{}}}", shown.join(", "))))
}
