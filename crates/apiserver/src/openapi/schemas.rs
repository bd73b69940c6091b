//! `components.schemas` of a document: the types that its paths name, and all that those refer to.

use std::collections::{BTreeMap, BTreeSet};

use api::schema::{self, Field, ListKind, Presence, Schema, Struct, Type};
use serde_json::{Map, Value, json};

use super::words::Words;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/// The types wanted so far.
#[derive(Default)]
pub struct Schemas {
    wanted: BTreeSet<String>,
    /// Those of custom resources, which no table has.
    custom: Map<String, Value>,
}

impl Schemas {
    /// A reference to a type of the tables, which will be in the document.
    pub fn refer(&mut self, name: &str) -> Value {
        if schema::builtin().lookup(name).is_some() {
            self.wanted.insert(name.to_owned());
        }
        reference(name)
    }

    /// Puts the schema of a custom resource into the document, with the metadata types that it refers to.
    pub fn define(&mut self, name: String, tree: Value) {
        for of_meta in ["ObjectMeta", "ListMeta"] {
            self.wanted.insert(format!("{META}.{of_meta}"));
        }
        self.custom.insert(name, tree);
    }

    pub fn into_tree(self) -> Value {
        Value::Object(self.render(|schema| schema))
    }

    /// Renders everything wanted, and what that wants in turn; `keep` says what is kept of each.
    pub fn render(self, mut keep: impl FnMut(Value) -> Value) -> Map<String, Value> {
        let words = Words::new();
        let kinds = kinds();
        let mut writer = Writer { words: &words, wanted: self.wanted.into_iter().collect(), done: self.custom };
        while let Some(name) = writer.wanted.pop() {
            if !writer.done.contains_key(&name) {
                let tree = writer.named(&name, kinds.get(name.as_str()));
                writer.done.insert(name, keep(tree));
            }
        }
        writer.done
    }
}

/// Group, version and kind of the types that are kinds.
fn kinds() -> BTreeMap<String, Vec<Value>> {
    let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let types = schema::builtin();
    for (group, version, kind, at) in types.kinds() {
        let name = types.at(at).as_struct().map(|of| of.name.to_string());
        let tree = json!({"group": group, "kind": kind, "version": version});
        name.into_iter().for_each(|name| kinds.entry(name).or_default().push(tree.clone()));
    }
    kinds.values_mut().for_each(|list| list.sort_by_key(ToString::to_string));
    kinds
}

struct Writer<'a> {
    words: &'a Words,
    wanted: Vec<String>,
    done: Map<String, Value>,
}

impl Writer<'_> {
    fn named(&mut self, name: &str, kinds: Option<&Vec<Value>>) -> Value {
        let mut tree = match schema::builtin().lookup(name) {
            Some(found) => match found.as_struct() {
                Some(of) => self.object(of, found),
                None => scalar(found.ty()),
            },
            None => json!({"type": "object"}),
        };
        if let Some(text) = self.words.of_type(name) {
            tree["description"] = text.into();
        }
        if let Some(kinds) = kinds {
            tree["x-kubernetes-group-version-kind"] = json!(kinds);
        }
        tree
    }

    fn object(&mut self, of: &Struct, schema: Schema<'_>) -> Value {
        let properties: Map<String, Value> =
            of.fields.iter().map(|field| (field.name.to_string(), self.property(&of.name, field, schema))).collect();
        let mut tree = json!({"type": "object", "properties": properties});
        let required: Vec<&str> =
            of.fields.iter().filter(|field| field.presence == Presence::Required).map(|field| &*field.name).collect();
        if !required.is_empty() {
            tree["required"] = json!(required);
        }
        if of.atomic {
            tree["x-kubernetes-map-type"] = "atomic".into();
        }
        tree
    }

    fn property(&mut self, owner: &str, field: &Field, schema: Schema<'_>) -> Value {
        let part = schema.part(&field.ty);
        let mut tree = self.value(part);
        let default = default_of(owner, field, part);
        let text = self.words.of_field(owner, &field.name);
        if tree.get("$ref").is_some() && (default.is_some() || text.is_some()) {
            tree = json!({"allOf": [tree]});
        }
        if let Some(default) = default {
            tree["default"] = default;
        }
        if let Some(text) = text {
            tree["description"] = text.into();
        }
        let merge = field.patch.merge.then_some("merge");
        let strategies: Vec<&str> = merge.into_iter().chain(field.patch.retain_keys.then_some("retainKeys")).collect();
        if !strategies.is_empty() {
            tree["x-kubernetes-patch-strategy"] = strategies.join(",").into();
        }
        if let Some(key) = &field.patch.key {
            tree["x-kubernetes-patch-merge-key"] = json!(key);
        }
        if let Type::List(list) = part.ty() {
            list_kind(&mut tree, &list.kind, field.patch.merge);
        }
        tree
    }

    /// The schema of a value, by reference where it has a name.
    fn value(&mut self, schema: Schema<'_>) -> Value {
        match schema.ty() {
            Type::Struct(of) if !of.name.is_empty() => self.refer(&of.name),
            Type::Struct(of) => self.object(of, schema),
            Type::Map(map) => json!({"type": "object", "additionalProperties": self.held(schema.part(&map.value))}),
            Type::List(list) => json!({"type": "array", "items": self.held(schema.part(&list.item))}),
            Type::Quantity => self.refer(QUANTITY),
            Type::IntOrString => self.refer(INT_OR_STRING),
            Type::Time => self.refer(&format!("{META}.Time")),
            Type::MicroTime => self.refer(&format!("{META}.MicroTime")),
            other => scalar(other),
        }
    }

    /// What a list or a map holds: with the zero value that Go's would have.
    fn held(&mut self, schema: Schema<'_>) -> Value {
        let mut tree = self.value(schema);
        let Some(zero) = zero(schema) else { return tree };
        if tree.get("$ref").is_some() {
            tree = json!({"allOf": [tree]});
        }
        tree["default"] = zero;
        tree
    }

    fn refer(&mut self, name: &str) -> Value {
        if !self.done.contains_key(name) {
            self.wanted.push(name.to_owned());
        }
        reference(name)
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Defaults that upstream's types are marked with; all others follow from the types.
const MARKED: &[(&str, &str, &str)] = &[
    ("AzureDiskVolumeSource", "cachingMode", "ReadWrite"),
    ("AzureDiskVolumeSource", "fsType", "ext4"),
    ("AzureDiskVolumeSource", "kind", "Shared"),
    ("ContainerPort", "protocol", "TCP"),
    ("ISCSIPersistentVolumeSource", "iscsiInterface", "default"),
    ("ISCSIVolumeSource", "iscsiInterface", "default"),
    ("RBDPersistentVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDPersistentVolumeSource", "pool", "rbd"),
    ("RBDPersistentVolumeSource", "user", "admin"),
    ("RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDVolumeSource", "pool", "rbd"),
    ("RBDVolumeSource", "user", "admin"),
    ("ScaleIOPersistentVolumeSource", "fsType", "xfs"),
    ("ScaleIOPersistentVolumeSource", "storageMode", "ThinProvisioned"),
    ("ScaleIOVolumeSource", "fsType", "xfs"),
    ("ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("ServicePort", "protocol", "TCP"),
];

/// The default of a field: a marked one, or the zero of what is always written.
fn default_of(owner: &str, field: &Field, schema: Schema<'_>) -> Option<Value> {
    let kind = owner.rsplit('.').next().unwrap_or_default();
    if let Some((.., value)) = MARKED.iter().find(|(of, name, _)| *of == kind && *name == &*field.name) {
        return Some((*value).into());
    }
    let is_value = matches!(field.presence, Presence::Always | Presence::Required);
    if is_value { zero(schema) } else { None }
}

/// The zero of a type, if that is more than nothing.
fn zero(schema: Schema<'_>) -> Option<Value> {
    Some(match schema.ty() {
        Type::Struct(_) => json!({}),
        Type::String => "".into(),
        Type::Int32 | Type::Int64 | Type::Double => 0.into(),
        Type::Bool => false.into(),
        _ => return None,
    })
}

fn list_kind(tree: &mut Value, kind: &ListKind, merged_by_patch: bool) {
    match kind {
        ListKind::Set => tree["x-kubernetes-list-type"] = "set".into(),
        ListKind::Map(keys) => {
            tree["x-kubernetes-list-type"] = "map".into();
            tree["x-kubernetes-list-map-keys"] = json!(keys);
        }
        ListKind::Atomic if !merged_by_patch => tree["x-kubernetes-list-type"] = "atomic".into(),
        ListKind::Atomic => {}
    }
}

fn scalar(ty: &Type) -> Value {
    match ty {
        Type::String => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Type::IntOrString => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Object => json!({"type": "object"}),
        // kubectl explain takes an empty schema for a missing one.
        Type::Any => json!({"description": "Any JSON value that fits the field."}),
        Type::Struct(_) | Type::Map(_) | Type::List(_) | Type::Ref(_) | Type::Builtin(_) => json!({}),
    }
}
