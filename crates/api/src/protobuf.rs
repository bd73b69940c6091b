//! Reads Kubernetes' protobuf: what typed clients, kubectl's among them, send as `application/vnd.kubernetes.protobuf`.
//!
//! An object comes in an envelope (`k8s\0`, then runtime.Unknown). Its fields are found by number in a committed table
//! (`gen/tags.txt`) and typed by the schema, so the outcome is the tree that the same object's JSON would have given.
//! Zero values of fields that are not pointers are on the wire but not in JSON; they are left out here.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::name::{Gvk, split_api_version};
use crate::schema::{self, Presence, Schema, Type};

pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";
const META_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// Messages inside messages; Kubernetes' own stay below 20.
const DEPTH_MAX: usize = 64;

/// Why bytes are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoEnvelope,
    #[error("the protobuf message is cut short or malformed")]
    Malformed,
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
}

use ProtobufError::Malformed;

/// The object in an envelope, with its apiVersion and kind.
pub fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoEnvelope)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &body[..0]);
    for field in Fields(body) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Fields(meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = string(text)?,
                        (2, Wire::Bytes(text)) => kind = string(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(content)) => raw = content,
            _ => {}
        }
    }
    let unknown = || ProtobufError::UnknownKind { api_version: api_version.clone(), kind: kind.clone() };
    let schema = schema_of(&api_version, &kind).ok_or_else(unknown)?;
    let name = schema.as_struct().map(|of| of.name.to_string()).ok_or_else(unknown)?;
    let mut tree = Map::new();
    message(raw, &name, schema, &mut tree, 0)?;
    tree.insert("apiVersion".to_owned(), api_version.into());
    tree.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(tree))
}

/// Options such as DeleteOptions are the same type in every group.
fn schema_of(api_version: &str, kind: &str) -> Option<Schema<'static>> {
    let (group, version) = split_api_version(api_version);
    let kind_of =
        Gvk { group: group.to_owned().into(), version: version.to_owned().into(), kind: kind.to_owned().into() };
    let found = schema::builtin().lookup_kind(&kind_of);
    found.or_else(|| schema::builtin().lookup(&format!("{META_OPTIONS}.{kind}")))
}

/// A message's field: its name in lower case, and the type of a message that is written into its parent.
struct Tag {
    number: u32,
    name: &'static str,
    inlined: Option<String>,
}

fn tags() -> &'static HashMap<String, Vec<Tag>> {
    static TAGS: OnceLock<HashMap<String, Vec<Tag>>> = OnceLock::new();
    TAGS.get_or_init(|| {
        let mut package = "";
        let mut tags = HashMap::new();
        for line in include_str!("gen/tags.txt").lines().filter(|line| !line.starts_with('#')) {
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
    })
}

fn tag(word: &'static str, package: &str) -> Tag {
    let mut parts = word.split(':');
    let number = parts.next().and_then(|number| number.parse().ok());
    let number = number.expect("invariant: the generated table has numbers");
    let name = parts.next().expect("invariant: the generated table has names");
    Tag { number, name, inlined: parts.next().map(|ty| format!("{package}.{ty}")) }
}

/// Reads a message of type `name` into an object of `schema`. The two differ for what is inlined.
fn message(
    bytes: &[u8],
    name: &str,
    schema: Schema<'_>,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    // A message without fields is not in the table.
    let tags = tags().get(&name.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let Some(tag) = tags.iter().find(|tag| tag.number == number) else { continue };
        if let (Some(inlined), Wire::Bytes(inner)) = (&tag.inlined, wire) {
            message(inner, inlined, schema, into, depth + 1)?;
            continue;
        }
        let fields = schema.as_struct().map(|of| &of.fields[..]).unwrap_or_default();
        let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(tag.name)) else { continue };
        let part = schema.part(&field.ty);
        put(&field.name, part, wire, into, depth + 1)?;
        let is_optional = field.presence == Presence::Optional;
        if into.get(&*field.name).is_some_and(|value| value.is_null() || (is_optional && zero(value))) {
            into.remove(&*field.name);
        }
    }
    Ok(())
}

/// Adds one occurrence of a field: repeated ones grow a list or a map.
fn put(
    name: &str,
    schema: Schema<'_>,
    wire: Wire<'_>,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match schema.ty() {
        Type::List(list) => {
            let item = schema.part(&list.item);
            let slot = into.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = slot else { return Err(Malformed) };
            match (item.ty(), wire) {
                // Numbers may be packed.
                (Type::Int32 | Type::Int64, Wire::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        items.push(signed(varint(&mut packed)?).into());
                    }
                }
                _ => items.push(value(item, wire, depth)?),
            }
        }
        Type::Map(map) => {
            let (key, found) = entry(schema.part(&map.value), wire, depth)?;
            let slot = into.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(entries) = slot else { return Err(Malformed) };
            entries.insert(key, found);
        }
        _ => {
            let found = value(schema, wire, depth)?;
            into.insert(name.to_owned(), found);
        }
    }
    Ok(())
}

fn entry(schema: Schema<'_>, wire: Wire<'_>, depth: usize) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut found) = (String::new(), None);
    for field in Fields(wire.bytes()?) {
        match field? {
            (1, Wire::Bytes(text)) => key = string(text)?,
            (2, wire) => found = Some(value(schema, wire, depth)?),
            _ => {}
        }
    }
    let absent = || match schema.ty() {
        Type::String | Type::Bytes => Value::from(""),
        _ => Value::Null,
    };
    Ok((key, found.unwrap_or_else(absent)))
}

fn value(schema: Schema<'_>, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match schema.ty() {
        Type::Struct(of) => {
            let mut tree = Map::new();
            message(wire.bytes()?, &of.name, schema, &mut tree, depth)?;
            Value::Object(tree)
        }
        // A list where protobuf cannot repeat (a map's value) is a message whose first field is the items.
        Type::List(_) => {
            let mut tree = Map::new();
            for field in Fields(wire.bytes()?) {
                if let (1, wire) = field? {
                    put("items", schema, wire, &mut tree, depth)?;
                }
            }
            tree.remove("items").unwrap_or_else(|| Value::Array(Vec::new()))
        }
        Type::String => string(wire.bytes()?)?.into(),
        Type::Bytes => STANDARD.encode(wire.bytes()?).into(),
        Type::Int32 | Type::Int64 => signed(wire.number()?).into(),
        Type::Bool => (wire.number()? != 0).into(),
        Type::Double => serde_json::Number::from_f64(f64::from_bits(wire.number()?)).map_or(Value::Null, Value::Number),
        Type::Quantity => inner(wire.bytes()?, 1)?.map_or(Ok(String::new()), string)?.into(),
        Type::IntOrString => int_or_string(wire.bytes()?)?,
        Type::Time => time(wire.bytes()?, false)?,
        Type::MicroTime => time(wire.bytes()?, true)?,
        Type::Object | Type::Any => match inner(wire.bytes()?, 1)? {
            Some(json) => serde_json::from_slice(json).map_err(|_| Malformed)?,
            None => Value::Null,
        },
        Type::Map(_) | Type::Ref(_) | Type::Builtin(_) => return Err(Malformed),
    })
}

fn inner(bytes: &[u8], wanted: u32) -> Result<Option<&[u8]>, ProtobufError> {
    let mut found = None;
    for field in Fields(bytes) {
        if let (number, Wire::Bytes(content)) = field?
            && number == wanted
        {
            found = Some(content);
        }
    }
    Ok(found)
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Fields(bytes) {
        match field? {
            (1, wire) => is_text = wire.number()? == 1,
            (2, wire) => number = signed(wire.number()?),
            (3, wire) => text = string(wire.bytes()?)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A time is seconds and nanoseconds since 1970; nothing at all is no time.
fn time(bytes: &[u8], with_micros: bool) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanos) = (None, 0);
    for field in Fields(bytes) {
        match field? {
            (1, wire) => seconds = Some(signed(wire.number()?)),
            (2, wire) => nanos = signed(wire.number()?),
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let nanos = i32::try_from(nanos).map_err(|_| Malformed)?;
    let at = Timestamp::new(seconds, nanos).map_err(|_| Malformed)?;
    Ok(if with_micros { format!("{at:.6}") } else { format!("{at:.0}") }.into())
}

fn zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err(Malformed),
        }
    }

    fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(Malformed),
        }
    }
}

/// The fields of a message in their order. Ends after the first error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let key = varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut self.0)?),
            1 => Wire::Number(self.fixed::<8>().map(u64::from_le_bytes)?),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).map_err(|_| Malformed)?;
                let (content, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
                self.0 = rest;
                Wire::Bytes(content)
            }
            5 => Wire::Number(self.fixed::<4>().map(u32::from_le_bytes)?.into()),
            _ => return Err(Malformed),
        };
        Ok((number, wire))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let (content, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*content)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

/// Negative numbers are sent as their two's complement.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn string(bytes: &[u8]) -> Result<String, ProtobufError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        let (low, high) = (u8::try_from(len & 0x7f).unwrap(), u8::try_from(len >> 7).unwrap());
        let mut out = vec![(number << 3) | 2, low | 0x80, high];
        out.extend_from_slice(content);
        out
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn a_pod_reads_as_its_json_would() {
        let meta = [field(1, b"p"), field(8, b""), field(11, &[field(1, b"a"), field(2, b"b")].concat())].concat();
        let secret = field(6, &field(1, b"s"));
        let volume = [field(1, b"v"), field(2, &secret)].concat();
        let probe =
            [field(1, &field(2, &[field(1, b"/"), field(2, &[8, 1, 26, 1, b'x'])].concat())), vec![16, 5]].concat();
        let container = [field(1, b"c"), field(2, b"i"), field(3, b"sh"), field(3, b"-c"), field(10, &probe)].concat();
        let spec = [field(1, &volume), field(2, &container), vec![0x58, 0]].concat();
        let bytes = envelope("v1", "Pod", &[field(1, &meta), field(2, &spec)].concat());
        let expected = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
            "containers": [{"name": "c", "image": "i", "command": ["sh", "-c"],
                "livenessProbe": {"httpGet": {"path": "/", "port": "x"}, "initialDelaySeconds": 5}}],
        }});
        let mut found = decode(&bytes).unwrap();
        // What is always in a pod's JSON is there without being sent; only what was sent counts here.
        found["spec"]["containers"][0].as_object_mut().unwrap().remove("resources");
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let table = [
            (b"{}".to_vec(), ProtobufError::NoEnvelope),
            (envelope("v1", "Pod", &[0x0a, 200]), Malformed),
            (
                envelope("v9", "Nope", &[]),
                ProtobufError::UnknownKind { api_version: "v9".to_owned(), kind: "Nope".to_owned() },
            ),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(&bytes), Err(expected));
        }
    }
}
