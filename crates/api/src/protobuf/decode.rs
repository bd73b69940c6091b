//! Reads what clients send: bytes to the tree that the same object's JSON would have given.
//!
//! Zero values of fields that are not pointers are on the wire but not in JSON; they are left out here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::ProtobufError::{self, Malformed};
use super::plan::{self, Choice, Field, Message, Shape};
use super::wire::{Fields, Wire, read_varint};
use super::{DEPTH_MAX, MAGIC};

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
    let at = plan::message_of(&api_version, &kind).ok_or_else(unknown)?;
    let mut tree = Map::new();
    message(raw, plan::message(at), &mut tree, 0)?;
    tree.insert("apiVersion".to_owned(), api_version.into());
    tree.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(tree))
}

fn message(bytes: &[u8], of: &Message, into: &mut Map<String, Value>, depth: usize) -> Result<(), ProtobufError> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    for field in Fields(bytes) {
        let (number, wire) = field?;
        if let Some(field) = of.numbered(number) {
            put(field, wire, into, depth + 1)?;
        } else if let Some((_, inner)) = of.inlined.iter().find(|(inlined, _)| *inlined == number) {
            message(wire.bytes()?, inner, into, depth + 1)?;
        }
    }
    Ok(())
}

/// Adds one occurrence of a field: repeated ones grow a list or a map.
fn put(field: &Field, wire: Wire<'_>, into: &mut Map<String, Value>, depth: usize) -> Result<(), ProtobufError> {
    let name = &*field.name;
    match &field.shape {
        Shape::List(item) => {
            let slot = into.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = slot else { return Err(Malformed) };
            append(items, item, wire, depth)?;
        }
        Shape::Map(of) => {
            let (key, found) = entry(of, wire, depth)?;
            let slot = into.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(entries) = slot else { return Err(Malformed) };
            entries.insert(key, found);
        }
        shape => {
            let found = value(shape, wire, depth)?;
            if found.is_null() || (field.omits_zero && zero(&found)) {
                into.remove(name);
            } else {
                into.insert(name.to_owned(), found);
            }
        }
    }
    Ok(())
}

fn append(items: &mut Vec<Value>, item: &Shape, wire: Wire<'_>, depth: usize) -> Result<(), ProtobufError> {
    match (item, wire) {
        // Numbers may be packed.
        (Shape::Number, Wire::Bytes(mut packed)) => {
            while !packed.is_empty() {
                items.push(read_varint(&mut packed)?.cast_signed().into());
            }
        }
        _ => items.push(value(item, wire, depth)?),
    }
    Ok(())
}

fn entry(of: &Shape, wire: Wire<'_>, depth: usize) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut found) = (String::new(), None);
    for field in Fields(wire.bytes()?) {
        match field? {
            (1, Wire::Bytes(text)) => key = string(text)?,
            (2, wire) => found = Some(value(of, wire, depth)?),
            _ => {}
        }
    }
    let absent = || match of {
        Shape::Text | Shape::Bytes => Value::from(""),
        Shape::Bool => Value::from(false),
        Shape::Number => Value::from(0),
        Shape::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    };
    Ok((key, found.unwrap_or_else(absent)))
}

fn value(shape: &Shape, wire: Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    Ok(match shape {
        Shape::Message(at) => {
            let mut tree = Map::new();
            message(wire.bytes()?, plan::message(*at), &mut tree, depth)?;
            Value::Object(tree)
        }
        // A list where protobuf cannot repeat (a map's value) is a message whose first field is the items.
        Shape::List(item) => {
            let mut items = Vec::new();
            for field in Fields(wire.bytes()?) {
                if let (1, wire) = field? {
                    append(&mut items, item, wire, depth + 1)?;
                }
            }
            items.into()
        }
        Shape::Map(_) => return Err(Malformed),
        Shape::Text => string(wire.bytes()?)?.into(),
        Shape::Bytes => STANDARD.encode(wire.bytes()?).into(),
        Shape::Number => wire.number()?.cast_signed().into(),
        Shape::Bool => (wire.number()? != 0).into(),
        Shape::Double => double(f64::from_bits(wire.number()?)),
        Shape::Quantity => inner(wire.bytes()?, 1)?.map_or(Ok(String::new()), string)?.into(),
        Shape::IntOrString => int_or_string(wire.bytes()?)?,
        Shape::Time { micros } => time(wire.bytes()?, *micros)?,
        Shape::Raw => match inner(wire.bytes()?, 1)? {
            Some(json) => serde_json::from_slice(json).map_err(|_| Malformed)?,
            None => Value::Null,
        },
        Shape::Choice(choice) => chosen(*choice, wire.bytes()?, depth + 1)?,
    })
}

/// Whole floats are written as integers, as Go does.
#[allow(clippy::cast_possible_truncation)] // The bound is checked.
fn double(float: f64) -> Value {
    if float.fract() == 0.0 && float.abs() < 1e15 {
        return (float as i64).into();
    }
    serde_json::Number::from_f64(float).map_or(Value::Null, Value::Number)
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
            (2, wire) => number = wire.number()?.cast_signed(),
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
            (1, wire) => seconds = Some(wire.number()?.cast_signed()),
            (2, wire) => nanos = wire.number()?.cast_signed(),
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let nanos = i32::try_from(nanos).map_err(|_| Malformed)?;
    let at = Timestamp::new(seconds, nanos).map_err(|_| Malformed)?;
    Ok(if with_micros { format!("{at:.6}") } else { format!("{at:.0}") }.into())
}

fn chosen(choice: Choice, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let schema = Shape::Message(plan::json_schema());
    let (mut list, mut found) = (Vec::new(), None);
    for field in Fields(bytes) {
        match (field?, choice) {
            ((1, wire), Choice::Bool) => {
                found.get_or_insert(Value::from(wire.number()? != 0));
            }
            ((2, wire), Choice::Bool) | ((1, wire), _) => found = Some(value(&schema, wire, depth)?),
            ((2, wire), Choice::Schemas) => list.push(value(&schema, wire, depth)?),
            ((2, wire), Choice::Texts) => list.push(value(&Shape::Text, wire, depth)?),
            _ => {}
        }
    }
    Ok(found.unwrap_or(Value::Array(list)))
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

fn string(bytes: &[u8]) -> Result<String, ProtobufError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed)
}
