//! Schemas: what the fields of an object are, so that one engine can decode, default, prune, patch and apply every kind.
//!
//! Built-in types come from a committed table ([`builtin`]); custom resources make the same structures at run time. Code
//! walks an object and its [`Schema`] - a type with the table it is resolved in - side by side.

mod decode;
pub mod defaults;
mod normalize;
pub mod pod_defaults;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::OnceLock;

pub use decode::{Decoded, Validation, bad_request, convert_tree, decode, decode_any, decode_tree, syntax_error};
pub use defaults::apply_defaults;
pub use normalize::{normalize, normalize_time, settle};
use serde_json::Value;

use crate::name::{Gvk, Str};

/// A set of types that refer to each other by position.
#[derive(Debug, Default)]
pub struct Types {
    pub types: Vec<Type>,
    by_name: HashMap<Str, u32>,
    by_kind: HashMap<(Str, Str, Str), u32>,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Struct(Struct),
    Map(Map),
    List(List),
    String,
    Int32,
    Int64,
    Double,
    Bool,
    /// Base64 in JSON.
    Bytes,
    Quantity,
    IntOrString,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Any value.
    Any,
    /// Any JSON object, kept whole (`FieldsV1`, `RawExtension`).
    Object,
    /// The type at a position of the same [`Types`].
    Ref(u32),
    /// The type at a position of [`builtin`], for custom resources that use ObjectMeta and the like.
    Builtin(u32),
}

/// An object with known fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struct {
    /// Its whole name (`io.k8s.api.core.v1.Pod`); empty for nested schemas of custom resources.
    pub name: Str,
    /// Sorted by name.
    pub fields: Vec<Field>,
    /// It has one owner as a whole under server-side apply.
    pub atomic: bool,
    /// Unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// A whole object inside another (`x-kubernetes-embedded-resource`), or a custom resource itself.
    pub embedded: bool,
    /// A value of any type may stand here; the fields are for when it is an object.
    pub any: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Str,
    pub ty: Type,
    pub presence: Presence,
    /// Owned as a whole although its type is not.
    pub atomic: bool,
    pub patch: Patch,
    /// The default of a custom resource's schema; built-ins have theirs in [`defaults`].
    pub default: Option<Box<Value>>,
    /// A custom resource's field that may be null.
    pub nullable: bool,
}

/// What is written for a field that is absent, null or zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Zero values are not written.
    #[default]
    Optional,
    /// Zero values are written, absence is not.
    Pointer,
    /// Always written.
    Always,
    /// Always written, and asked for by OpenAPI.
    Required,
    /// Kept as it was written, even when empty: the fields of custom resources.
    Verbatim,
}

impl Presence {
    /// Absence is not written as absence.
    pub fn is_always(self) -> bool {
        matches!(self, Self::Always | Self::Required)
    }
}

/// How strategic merge patch treats a list or a struct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub merge: bool,
    pub retain_keys: bool,
    /// Items are told apart by this field; `None` for lists of scalars.
    pub key: Option<Str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub value: Box<Type>,
    pub atomic: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub item: Box<Type>,
    pub kind: ListKind,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map(Box<[Str]>),
}

impl Types {
    /// Adds a named type and gives its position.
    pub fn insert(&mut self, name: Str, ty: Type) -> u32 {
        let at = u32::try_from(self.types.len()).expect("invariant: fewer than 2^32 types");
        self.types.push(ty);
        self.by_name.insert(name, at);
        at
    }

    pub fn position(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The schema of a type by its whole name, such as `io.k8s.api.core.v1.Pod`.
    pub fn lookup(&self, name: &str) -> Option<Schema<'_>> {
        Some(self.at(self.position(name)?))
    }

    /// The schema of a kind.
    pub fn lookup_kind(&self, kind: &Gvk) -> Option<Schema<'_>> {
        let at = self.by_kind.get(&(kind.group.clone(), kind.version.clone(), kind.kind.clone()))?;
        Some(self.at(*at))
    }

    pub fn at(&self, position: u32) -> Schema<'_> {
        Schema { types: self, ty: &self.types[position as usize] }.resolved()
    }

    /// A schema for a type that is not itself in the table.
    pub fn schema<'a>(&'a self, ty: &'a Type) -> Schema<'a> {
        Schema { types: self, ty }.resolved()
    }

    /// All kinds of the table with their type's position.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, &str, u32)> {
        self.by_kind.iter().map(|((group, version, kind), at)| (&**group, &**version, &**kind, *at))
    }
}

/// The types of Kubernetes v1.36, read on first use.
pub fn builtin() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| table::parse(include_str!("../gen/v1_36.txt")))
}

/// A type and the table in which its references are resolved. Never a reference itself.
#[derive(Clone, Copy, Debug)]
pub struct Schema<'a> {
    types: &'a Types,
    ty: &'a Type,
}

impl<'a> Schema<'a> {
    fn resolved(mut self) -> Self {
        loop {
            self = match self.ty {
                Type::Ref(at) => Schema { types: self.types, ty: &self.types.types[*at as usize] },
                Type::Builtin(at) => Schema { types: builtin(), ty: &builtin().types[*at as usize] },
                _ => return self,
            };
        }
    }

    /// The schema of a part of this type.
    pub fn part(self, ty: &'a Type) -> Schema<'a> {
        Schema { types: self.types, ty }.resolved()
    }

    pub fn ty(self) -> &'a Type {
        self.ty
    }

    pub fn as_struct(self) -> Option<&'a Struct> {
        match self.ty {
            Type::Struct(of) => Some(of),
            _ => None,
        }
    }

    /// A struct's field by name.
    pub fn field(self, name: &str) -> Option<&'a Field> {
        let fields = &self.as_struct()?.fields;
        fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &fields[at])
    }

    /// The schema of the child named so: a struct's field or a map's value.
    pub fn child(self, name: &str) -> Option<Schema<'a>> {
        match self.ty {
            Type::Struct(_) => Some(self.part(&self.field(name)?.ty)),
            Type::Map(map) => Some(self.part(&map.value)),
            _ => None,
        }
    }

    /// The schema of a list's items.
    pub fn item(self) -> Option<Schema<'a>> {
        match self.ty {
            Type::List(list) => Some(self.part(&list.item)),
            _ => None,
        }
    }

    /// Follows a dotted path of fields (`spec.template.spec`), through lists to their items.
    pub fn path(self, path: &str) -> Option<Schema<'a>> {
        let mut at = self;
        for step in path.split('.') {
            while let Some(item) = at.item() {
                at = item;
            }
            at = at.child(step)?;
        }
        Some(at)
    }

    /// Its name as Go prints it: `v1.PodSpec`, `map[string]string`, `[]v1.Container`.
    pub fn go_name(self) -> String {
        match self.ty {
            Type::Struct(of) => go_struct_name(&of.name),
            Type::Map(map) => format!("map[string]{}", self.part(&map.value).go_name()),
            Type::List(list) => format!("[]{}", self.part(&list.item).go_name()),
            Type::Int32 => "int32".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Double => "float64".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Bytes => "[]uint8".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::Object => "map[string]interface {}".to_owned(),
            Type::Any => "interface {}".to_owned(),
            Type::String | Type::Time | Type::MicroTime | Type::Ref(_) | Type::Builtin(_) => "string".to_owned(),
        }
    }
}

fn go_struct_name(name: &str) -> String {
    let mut parts = name.rsplitn(3, '.');
    match (parts.next(), parts.next()) {
        (Some(kind), Some(package)) => format!("{package}.{kind}"),
        _ => name.to_owned(),
    }
}
