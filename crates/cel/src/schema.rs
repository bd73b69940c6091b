//! OpenAPI schemas as declarations: types of variables, how data is looked at, and how large it can become.
//!
//! What a schema does not describe (unknown fields that are kept) expressions do not see. The sizes are upstream's
//! estimates, by which the cost of an expression is judged before it ever runs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use crate::parser::is_word;
use crate::types::{ObjectType, Type};

/// Bytes of a request, which bound everything in it.
pub const REQUEST_BYTES_MAX: i64 = 3 * 1024 * 1024;

/// A declaration of data.
#[derive(Debug)]
pub struct Decl {
    pub shape: Shape,
    pub ty: Type,
    /// Items, entries, bytes at most.
    pub elements_max: i64,
    /// The least bytes in which such a value can be written.
    pub bytes_min: i64,
}

#[derive(Debug)]
pub enum Shape {
    /// Anything; also an integer or a string.
    Dyn,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List {
        item: Box<Decl>,
        kind: ListKind,
    },
    Map(Box<Decl>),
    /// By the names that expressions use.
    Object(BTreeMap<String, Field>),
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub decl: Decl,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    Map(Vec<String>),
}

pub static DYN: LazyLock<Decl> = LazyLock::new(|| simple(Shape::Dyn, Type::Dyn, REQUEST_BYTES_MAX - 2, 1));

/// The keys of maps, to which upstream's estimates give no size.
static KEY: LazyLock<Decl> = LazyLock::new(|| simple(Shape::String, Type::String, 0, 2));

fn simple(shape: Shape, ty: Type, elements_max: i64, bytes_min: i64) -> Decl {
    Decl { shape, ty, elements_max, bytes_min }
}

impl Decl {
    /// Of a schema, `None` where expressions cannot see its data. `root`: it is of a whole object, whose type and names
    /// are known. `name` is what messages call its type.
    pub fn of_schema(schema: &Json, root: bool, name: &str) -> Option<Self> {
        if schema["x-kubernetes-int-or-string"] == true {
            let elements_max = schema["maxLength"].as_i64().map_or(REQUEST_BYTES_MAX - 2, |max| max.max(0) * 4);
            return Some(simple(Shape::Dyn, Type::Dyn, elements_max, 1));
        }
        match schema["type"].as_str() {
            Some("array") => list(schema, name),
            Some("object") => match &schema["additionalProperties"] {
                additional @ Json::Object(_) if !root => map(schema, additional, name),
                _ => Some(object(schema, root, name)),
            },
            _ if root => Some(object(schema, root, name)),
            Some("string") => Some(string(schema)),
            Some("boolean") => Some(simple(Shape::Bool, Type::Bool, 0, 4)),
            Some("number") => Some(simple(Shape::Double, Type::Double, 0, 1)),
            Some("integer") => Some(simple(Shape::Int, Type::Int, 0, 1)),
            _ => None,
        }
    }

    pub fn list_kind(&self) -> &ListKind {
        match &self.shape {
            Shape::List { kind, .. } => kind,
            _ => &ListKind::Atomic,
        }
    }

    /// What is inside, by a step of a path: a field, `@items`, `@values` or `@keys`.
    pub fn step(&self, step: &str) -> Option<&Self> {
        match (&self.shape, step) {
            (Shape::List { item, .. }, "@items") => Some(item),
            (Shape::Map(value), "@values") => Some(value),
            (Shape::Map(_), "@keys") => Some(&KEY),
            (Shape::Object(fields), name) => fields.get(name).map(|field| &field.decl),
            _ => None,
        }
    }
}

fn is_embedded(schema: &Json) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
}

fn list(schema: &Json, name: &str) -> Option<Decl> {
    let items = schema.get("items").filter(|items| items.is_object())?;
    let item = Decl::of_schema(items, is_embedded(items), &format!("{name}.@idx"))?;
    let most = (REQUEST_BYTES_MAX - 2) / (item.bytes_min + 1);
    let elements_max = schema["maxItems"].as_i64().map_or(most, |max| max.max(0));
    let kind = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map(keys.filter_map(Json::as_str).map(str::to_owned).collect())
        }
        _ => ListKind::Atomic,
    };
    let ty = Type::list(item.ty.clone());
    Some(simple(Shape::List { item: Box::new(item), kind }, ty, elements_max, 2))
}

fn map(schema: &Json, additional: &Json, name: &str) -> Option<Decl> {
    let value = Decl::of_schema(additional, is_embedded(additional), &format!("{name}.@elem"))?;
    let most = (REQUEST_BYTES_MAX - 2) / (value.bytes_min + 6);
    let elements_max = schema["maxProperties"].as_i64().map_or(most, |max| max.max(0));
    let ty = Type::map(Type::String, value.ty.clone());
    Some(simple(Shape::Map(Box::new(value)), ty, elements_max, 2))
}

fn object(schema: &Json, root: bool, name: &str) -> Decl {
    let mut fields = BTreeMap::new();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let mut bytes_min = 2;
    for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
        let Some(decl) = Decl::of_schema(schema, is_embedded(schema), &format!("{name}.{property}")) else { continue };
        if required.contains(&property.as_str()) && schema.get("default").is_none_or(Json::is_null) {
            bytes_min += i64::try_from(property.len()).unwrap_or_default() + decl.bytes_min + 4;
        }
        if let Some(escaped) = escape(property) {
            fields.insert(escaped, Field { name: property.clone(), decl });
        }
    }
    if root {
        with_meta(&mut fields, name);
    }
    let types = fields.iter().map(|(name, field)| (name.clone(), field.decl.ty.clone())).collect();
    let ty = Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: types }));
    simple(Shape::Object(fields), ty, 0, bytes_min)
}

/// Every object has apiVersion, kind and two names, whether its schema says so or not.
fn with_meta(fields: &mut BTreeMap<String, Field>, name: &str) {
    let text = || simple(Shape::String, Type::String, REQUEST_BYTES_MAX - 2, 2);
    let mut put = |name: &str, decl| fields.insert(name.to_owned(), Field { name: name.to_owned(), decl });
    put("apiVersion", text());
    put("kind", text());
    let names = ["name", "generateName"].map(|name| (name.to_owned(), Field { name: name.to_owned(), decl: text() }));
    let types = names.iter().map(|(name, _)| (name.clone(), Type::String)).collect();
    let ty = Type::Object(Arc::new(ObjectType { name: format!("{name}.metadata"), fields: types }));
    put("metadata", simple(Shape::Object(names.into()), ty, 0, 2));
}

fn string(schema: &Json) -> Decl {
    let max_length = schema["maxLength"].as_i64().map(|max| max.max(0));
    match schema["format"].as_str() {
        Some("byte") => simple(Shape::Bytes, Type::Bytes, max_length.unwrap_or(REQUEST_BYTES_MAX - 2), 2),
        Some("duration") => simple(Shape::Duration, Type::Duration, 32, 2),
        Some("date") => simple(Shape::Timestamp, Type::Timestamp, 12, 12),
        Some("date-time") => simple(Shape::Timestamp, Type::Timestamp, 32, 21),
        _ => {
            let longest = || schema["enum"].as_array().filter(|all| !all.is_empty()).map(|all| longest(all));
            let elements_max = max_length.map(|max| max * 4).or_else(longest).unwrap_or(REQUEST_BYTES_MAX - 2);
            simple(Shape::String, Type::String, elements_max, 2)
        }
    }
}

fn longest(texts: &[Json]) -> i64 {
    let lengths = texts.iter().filter_map(Json::as_str).map(str::len);
    i64::try_from(lengths.max().unwrap_or_default()).unwrap_or(i64::MAX)
}

/// The name of a property in an expression; `None` where there is none.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if is_word(name) {
        return Some(format!("__{name}__"));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__");
    Some(escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__"))
}
