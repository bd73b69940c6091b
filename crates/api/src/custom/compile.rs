//! From `openAPIV3Schema` to a schema tree: types, fields, list kinds and defaults; keywords are another file's.

use serde_json::Value;

use crate::name::Str;
use crate::schema::{Field, List, ListKind, Map, Patch, Presence, Struct, Type, builtin};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The type of a whole object, which has apiVersion, kind and metadata whatever the schema says.
pub fn root(schema: Option<&Value>, preserve: bool) -> Type {
    let mut of = match schema.map(part) {
        Some(Type::Struct(of)) => of,
        _ => Struct::default(),
    };
    of.preserve_unknown |= preserve;
    of.any = false;
    Type::Struct(with_meta(of))
}

/// The type of a nested schema.
pub fn part(schema: &Value) -> Type {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Type::IntOrString;
    }
    match schema["type"].as_str() {
        Some("string") => Type::String,
        Some("integer") => Type::Int64,
        Some("number") => Type::Double,
        Some("boolean") => Type::Bool,
        Some("array") => Type::List(list(schema)),
        Some("object") => object(schema, false),
        _ => object(schema, true),
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name].as_bool().unwrap_or_default()
}

fn list(schema: &Value) -> List {
    let kind = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map(keys.filter_map(Value::as_str).map(|key| Str::from(key.to_owned())).collect())
        }
        _ => ListKind::Atomic,
    };
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let item = match schema.get("items") {
        Some(items) => part(items),
        None => Type::Struct(Struct { any: true, preserve_unknown: preserve, ..Struct::default() }),
    };
    List { item: Box::new(item), kind }
}

fn object(schema: &Value, any: bool) -> Type {
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    let preserve_unknown = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
    let additional = schema.get("additionalProperties");
    if let (None, false, Some(additional)) = (properties, any, additional) {
        let value = match additional {
            Value::Object(_) => Some(part(additional)),
            // Entries of any type are kept, but nothing inside them is known.
            Value::Bool(true) => Some(Type::Struct(Struct { any: true, preserve_unknown, ..Struct::default() })),
            _ => None,
        };
        if let Some(value) = value {
            return Type::Map(Map { value: Box::new(value), atomic });
        }
    }
    let fields = properties.into_iter().flatten().map(|(name, schema)| field(name, schema)).collect();
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let of = Struct { fields, atomic, preserve_unknown, any, ..Struct::default() };
    Type::Struct(if embedded { with_meta(of) } else { sorted(of) })
}

fn field(name: &str, schema: &Value) -> Field {
    let default = schema.get("default").filter(|default| !default.is_null()).cloned().map(Box::new);
    let nullable = flag(schema, "nullable");
    Field { default, nullable, ..plain(name, part(schema)) }
}

fn plain(name: &str, ty: Type) -> Field {
    Field {
        name: name.to_owned().into(),
        ty,
        presence: Presence::Verbatim,
        atomic: false,
        patch: Patch::default(),
        default: None,
        nullable: false,
    }
}

/// An object of the API: its type and metadata are known, whether the schema names them or not.
fn with_meta(mut of: Struct) -> Struct {
    of.embedded = true;
    of.fields.retain(|field| !META_FIELDS.contains(&&*field.name));
    of.fields.push(plain("apiVersion", Type::String));
    of.fields.push(plain("kind", Type::String));
    if let Some(meta) = builtin().position(OBJECT_META) {
        of.fields.push(plain("metadata", Type::Builtin(meta)));
    }
    sorted(of)
}

fn sorted(mut of: Struct) -> Struct {
    of.fields.sort_by(|a, b| a.name.cmp(&b.name));
    of.fields.shrink_to_fit();
    of
}
