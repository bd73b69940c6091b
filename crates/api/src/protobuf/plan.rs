//! Which field has which number and form: the schema table and the table of field numbers, joined once.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::name::{Gvk, Str, split_api_version};
use crate::schema::{self, Presence, Schema, Type};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// A message, as JSON writes it: one object, though some of its fields may be inside inlined messages.
#[derive(Debug, Default)]
pub struct Message {
    /// Sorted by name.
    pub fields: Vec<Field>,
    pub inlined: Vec<(u32, Message)>,
    by_number: Vec<(u32, usize)>,
}

#[derive(Debug)]
pub struct Field {
    pub name: Str,
    pub number: u32,
    pub shape: Shape,
    /// JSON does not write its zero.
    pub omits_zero: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Text,
    Bytes,
    Number,
    Bool,
    Double,
    Quantity,
    IntOrString,
    Time {
        micros: bool,
    },
    /// Any JSON, as bytes in a message of one field.
    Raw,
    Message(u32),
    List(Box<Shape>),
    Map(Box<Shape>),
    Choice(Choice),
}

/// What custom resources' schemas allow in one field: a schema, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Schemas,
    Bool,
    Texts,
}

impl Message {
    pub fn field(&self, name: &[u8]) -> Option<&Field> {
        self.fields.binary_search_by(|field| field.name.as_bytes().cmp(name)).ok().map(|at| &self.fields[at])
    }

    pub fn numbered(&self, number: u32) -> Option<&Field> {
        self.by_number
            .binary_search_by_key(&number, |(number, _)| *number)
            .ok()
            .map(|at| &self.fields[self.by_number[at].1])
    }

    /// The number and message of a field that is a message or a list of them.
    pub fn message_field(&self, name: &str) -> Option<(u32, u32)> {
        let field = self.field(name.as_bytes())?;
        match &field.shape {
            Shape::Message(message) => Some((field.number, *message)),
            Shape::List(item) => match **item {
                Shape::Message(message) => Some((field.number, message)),
                _ => None,
            },
            _ => None,
        }
    }

    fn new(mut fields: Vec<Field>, inlined: Vec<(u32, Message)>) -> Self {
        fields.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        let mut by_number: Vec<(u32, usize)> =
            fields.iter().enumerate().map(|(at, field)| (field.number, at)).collect();
        by_number.sort_unstable();
        Self { fields, inlined, by_number }
    }
}

/// All messages: those of the schema table by their position in it, then the two of metadata alone.
fn messages() -> &'static [Message] {
    static MESSAGES: OnceLock<Vec<Message>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let tags = tags();
        let types = schema::builtin();
        let of = |at: usize| {
            let schema = types.at(u32::try_from(at).unwrap_or_default());
            schema.as_struct().map(|of| compile(&of.name.to_lowercase(), schema, &tags)).unwrap_or_default()
        };
        let mut all: Vec<Message> = (0..types.types.len()).map(of).collect();
        let field = |name: &'static str, number, shape| Field { name: name.into(), number, shape, omits_zero: true };
        let named = |name: &str| Shape::Message(types.position(&format!("{META}.{name}")).unwrap_or_default());
        let partial = Shape::Message(u32::try_from(all.len()).unwrap_or_default());
        all.push(Message::new(vec![field("metadata", 1, named("ObjectMeta"))], Vec::new()));
        let items = field("items", 2, Shape::List(Box::new(partial)));
        all.push(Message::new(vec![field("metadata", 1, named("ListMeta")), items], Vec::new()));
        all
    })
}

pub fn message(at: u32) -> &'static Message {
    &messages()[at as usize]
}

/// The message of a kind. Status and the options are the same type in every group.
pub fn message_of(api_version: &str, kind: &str) -> Option<u32> {
    let (group, version) = split_api_version(api_version);
    let types = schema::builtin();
    if group == "meta.k8s.io" {
        let partial = u32::try_from(types.types.len()).ok()?;
        match kind {
            "PartialObjectMetadata" => return Some(partial),
            "PartialObjectMetadataList" => return Some(partial + 1),
            _ => {}
        }
    }
    let gvk = Gvk { group: group.to_owned().into(), version: version.to_owned().into(), kind: kind.to_owned().into() };
    let found = types.lookup_kind(&gvk).and_then(|schema| types.position(&schema.as_struct()?.name));
    let found = found.or_else(|| types.position(&format!("{META}.{kind}")))?;
    let is_known = !message(found).fields.is_empty();
    is_known.then_some(found)
}

/// A line of the table of numbers: the field's name in lower case, and what it is inlined from or chosen among.
struct Tag {
    number: u32,
    name: &'static str,
    inlined: Option<String>,
    choice: Option<Choice>,
}

fn tags() -> HashMap<String, Vec<Tag>> {
    let mut package = "";
    let mut tags = HashMap::new();
    for line in include_str!("../gen/tags.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('@') {
            package = name;
            continue;
        }
        let mut words = line.split(' ');
        let name = format!("{package}.{}", words.next().unwrap_or_default());
        // Rust's spelling of acronyms differs (HttpGetAction), so names are compared in lower case.
        tags.insert(name.to_lowercase(), words.map(|word| tag(word, package)).collect());
    }
    tags
}

fn tag(word: &'static str, package: &str) -> Tag {
    let mut parts = word.split(':');
    let number = parts.next().and_then(|number| number.parse().ok());
    let number = number.expect("invariant: the generated table has numbers");
    let name = parts.next().expect("invariant: the generated table has names");
    let more = parts.next();
    let choice = more.and_then(|more| match more {
        "?schemas" => Some(Choice::Schemas),
        "?bool" => Some(Choice::Bool),
        "?texts" => Some(Choice::Texts),
        _ => None,
    });
    let inlined = more.filter(|_| choice.is_none()).map(|ty| format!("{package}.{ty}").to_lowercase());
    Tag { number, name, inlined, choice }
}

/// The message named so (in lower case) as it is written into an object of `schema`. The two differ for what is inlined.
fn compile(name: &str, schema: Schema<'_>, tags: &HashMap<String, Vec<Tag>>) -> Message {
    let of = schema.as_struct().map(|of| &of.fields[..]).unwrap_or_default();
    let (mut fields, mut inlined) = (Vec::new(), Vec::new());
    // A message without fields is not in the table.
    for tag in tags.get(name).into_iter().flatten() {
        if let Some(inner) = &tag.inlined {
            inlined.push((tag.number, compile(inner, schema, tags)));
            continue;
        }
        let Some(field) = of.iter().find(|field| field.name.eq_ignore_ascii_case(tag.name)) else { continue };
        let shape = shape(schema.part(&field.ty), tag.choice);
        let omits_zero = field.presence == Presence::Optional;
        fields.push(Field { name: field.name.clone(), number: tag.number, shape, omits_zero });
    }
    Message::new(fields, inlined)
}

fn shape(schema: Schema<'_>, choice: Option<Choice>) -> Shape {
    match schema.ty() {
        Type::Map(map) => Shape::Map(Box::new(shape(schema.part(&map.value), choice))),
        _ if choice.is_some() => choice.map_or(Shape::Raw, Shape::Choice),
        Type::List(list) => Shape::List(Box::new(shape(schema.part(&list.item), None))),
        Type::Struct(of) => Shape::Message(schema::builtin().position(&of.name).unwrap_or_default()),
        Type::String => Shape::Text,
        Type::Bytes => Shape::Bytes,
        Type::Int32 | Type::Int64 => Shape::Number,
        Type::Bool => Shape::Bool,
        Type::Double => Shape::Double,
        Type::Quantity => Shape::Quantity,
        Type::IntOrString => Shape::IntOrString,
        Type::Time => Shape::Time { micros: false },
        Type::MicroTime => Shape::Time { micros: true },
        Type::Object | Type::Any | Type::Ref(_) | Type::Builtin(_) => Shape::Raw,
    }
}

/// The message of custom resources' schemas.
pub fn json_schema() -> u32 {
    let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    schema::builtin().position(name).unwrap_or_default()
}
