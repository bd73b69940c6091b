//! Arithmetic, equality, indexing, size and types.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::{Fault, Outcome, Row, error, no_overload};
use crate::library::time;
use crate::schema::ListKind;
use crate::value::{Key, Value};

pub const TABLE: &[Row] = &[
    ("_+_", "(int, int) int", |_, a| add(a)),
    ("_+_", "(uint, uint) uint", |_, a| add(a)),
    ("_+_", "(double, double) double", |_, a| add(a)),
    ("_+_", "(string, string) string", |_, a| add(a)),
    ("_+_", "(bytes, bytes) bytes", |_, a| add(a)),
    ("_+_", "(list(A), list(A)) list(A)", |_, a| add(a)),
    ("_+_", "(timestamp, duration) timestamp", |_, a| add(a)),
    ("_+_", "(duration, timestamp) timestamp", |_, a| add(a)),
    ("_+_", "(duration, duration) duration", |_, a| add(a)),
    ("_-_", "(int, int) int", |_, a| subtract(a)),
    ("_-_", "(uint, uint) uint", |_, a| subtract(a)),
    ("_-_", "(double, double) double", |_, a| subtract(a)),
    ("_-_", "(timestamp, timestamp) duration", |_, a| subtract(a)),
    ("_-_", "(timestamp, duration) timestamp", |_, a| subtract(a)),
    ("_-_", "(duration, duration) duration", |_, a| subtract(a)),
    ("_*_", "(int, int) int", |_, a| multiply(a)),
    ("_*_", "(uint, uint) uint", |_, a| multiply(a)),
    ("_*_", "(double, double) double", |_, a| multiply(a)),
    ("_/_", "(int, int) int", |_, a| divide(a)),
    ("_/_", "(uint, uint) uint", |_, a| divide(a)),
    ("_/_", "(double, double) double", |_, a| divide(a)),
    ("_%_", "(int, int) int", |_, a| modulo(a)),
    ("_%_", "(uint, uint) uint", |_, a| modulo(a)),
    ("-_", "(int) int", |_, a| negate(a)),
    ("-_", "(double) double", |_, a| negate(a)),
    ("!_", "(bool) bool", |_, a| not(a)),
    ("_&&_", "(bool, bool) bool", |_, _| no_overload()),
    ("_||_", "(bool, bool) bool", |_, _| no_overload()),
    ("_?_:_", "(bool, A, A) A", |_, _| no_overload()),
    ("@not_strictly_false", "(bool) bool", |_, _| no_overload()),
    ("_==_", "(A, A) bool", |_, a| equal(a, true)),
    ("_!=_", "(A, A) bool", |_, a| equal(a, false)),
    ("@in", "(A, list(A)) bool", |_, a| contained(a)),
    ("@in", "(A, map(A, B)) bool", |_, a| contained(a)),
    ("_[_]", "(list(A), int) A", |_, a| index(a)),
    ("_[_]", "(map(A, B), A) B", |_, a| index(a)),
    ("_[_]", "(optional(list(A)), int) optional(A)", |_, a| optional_index(a)),
    ("_[_]", "(optional(map(A, B)), A) optional(B)", |_, a| optional_index(a)),
    ("_[?_]", "(list(A), int) optional(A)", |_, a| optional_index(a)),
    ("_[?_]", "(map(A, B), A) optional(B)", |_, a| optional_index(a)),
    ("_[?_]", "(optional(list(A)), int) optional(A)", |_, a| optional_index(a)),
    ("_[?_]", "(optional(map(A, B)), A) optional(B)", |_, a| optional_index(a)),
    ("size", "(string) int", |_, a| size(a)),
    ("size", "(bytes) int", |_, a| size(a)),
    ("size", "(list(A)) int", |_, a| size(a)),
    ("size", "(map(A, B)) int", |_, a| size(a)),
    ("size", "string.() int", |_, a| size(a)),
    ("size", "bytes.() int", |_, a| size(a)),
    ("size", "list(A).() int", |_, a| size(a)),
    ("size", "map(A, B).() int", |_, a| size(a)),
    ("type", "(A) type(A)", |_, a| Ok(Value::Type(a[0].ty()))),
    ("dyn", "(A) dyn", |_, a| Ok(a[0].clone())),
];

pub const INSERT: &[Row] = &[
    ("cel.@mapInsert", "(map(A, B), A, B) map(A, B)", |_, a| insert(a)),
    ("cel.@mapInsert", "(map(A, B), map(A, B)) map(A, B)", |_, a| insert(a)),
];

fn integer<'a>(value: Option<i64>) -> Outcome<'a> {
    value.map_or_else(|| error("integer overflow"), |value| Ok(Value::Int(value)))
}

fn unsigned<'a>(value: Option<u64>) -> Outcome<'a> {
    value.map_or_else(|| error("unsigned integer overflow"), |value| Ok(Value::Uint(value)))
}

fn span<'a>(nanos: Option<i64>) -> Outcome<'a> {
    nanos.map_or_else(|| error("duration overflow"), |nanos| Ok(Value::Duration(nanos)))
}

fn moved<'a>(at: Timestamp, nanos: i64) -> Outcome<'a> {
    let moved = at.checked_add(SignedDuration::from_nanos(nanos)).ok().filter(time::in_range);
    moved.map(Value::Timestamp).ok_or_else(|| Fault::Error("timestamp overflow".to_owned()))
}

pub fn add<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => integer(a.checked_add(*b)),
        [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_add(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::Text(a), Value::Text(b)] => Ok(Value::text(format!("{}{}", &**a, &**b))),
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&**a, &**b].concat().into())),
        [Value::Duration(a), Value::Duration(b)] => span(a.checked_add(*b)),
        [Value::Timestamp(at), Value::Duration(by)] | [Value::Duration(by), Value::Timestamp(at)] => moved(*at, *by),
        [a, b] if a.is_list() && b.is_list() => Ok(joined(a, b)),
        _ => no_overload(),
    }
}

/// A set is joined without what it has, a list by key takes the other's items in the place of its own.
fn joined<'a>(a: &Value<'a>, b: &Value<'a>) -> Value<'a> {
    let mut items = a.items();
    let Value::Data(_, decl) = a else {
        items.extend(b.items());
        return Value::list(items);
    };
    for item in b.items() {
        let same = |found: &Value<'a>| match decl.list_kind() {
            ListKind::Atomic => false,
            ListKind::Set => found.equals(&item),
            ListKind::Map(keys) => keys.iter().all(|key| same_key(found, &item, key)),
        };
        match items.iter().position(same) {
            Some(at) => items[at] = item,
            None => items.push(item),
        }
    }
    Value::list(items)
}

fn same_key(a: &Value<'_>, b: &Value<'_>, key: &str) -> bool {
    let of = |value: &Value<'_>| match value {
        Value::Data(Json::Object(fields), _) => fields.get(key).cloned(),
        _ => None,
    };
    of(a) == of(b)
}

fn subtract<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => integer(a.checked_sub(*b)),
        [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_sub(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Duration(a), Value::Duration(b)] => span(a.checked_sub(*b)),
        [Value::Timestamp(a), Value::Timestamp(b)] => span(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok()),
        [Value::Timestamp(at), Value::Duration(by)] => moved(*at, by.saturating_neg()),
        _ => no_overload(),
    }
}

fn multiply<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => integer(a.checked_mul(*b)),
        [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_mul(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => no_overload(),
    }
}

fn divide<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => error("division by zero"),
        [Value::Int(a), Value::Int(b)] => integer(a.checked_div(*b)),
        [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_div(*b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => no_overload(),
    }
}

fn modulo<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => error("modulus by zero"),
        [Value::Int(a), Value::Int(b)] => integer(a.checked_rem(*b)),
        [Value::Uint(a), Value::Uint(b)] => unsigned(a.checked_rem(*b)),
        _ => no_overload(),
    }
}

fn negate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a)] => integer(a.checked_neg()),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        _ => no_overload(),
    }
}

fn not<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => no_overload(),
    }
}

fn equal<'a>(args: &[Value<'a>], wanted: bool) -> Outcome<'a> {
    match args {
        [a, b] => Ok(Value::Bool(a.equals(b) == wanted)),
        _ => no_overload(),
    }
}

fn contained<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [item, list] if list.is_list() => Ok(Value::Bool(item.is_in(list))),
        [key, map] if map.is_map() => Ok(Value::Bool(map.entry(key).is_some())),
        _ => no_overload(),
    }
}

/// A key as messages write it.
pub fn shown(key: &Value<'_>) -> String {
    match key {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => api::custom::go_float(*value),
        Value::Text(text) => text.to_string(),
        other => other.ty().name(),
    }
}

fn index<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [of, key] = args else { return no_overload() };
    if of.is_map() {
        return of.entry(key).ok_or_else(|| Fault::Error(format!("no such key: {}", shown(key))));
    }
    if !of.is_list() {
        return no_overload();
    }
    let Some(Key::Number { value, .. }) = Key::of(key) else {
        return error(format!("unsupported index type '{}' in list", key.ty().name()));
    };
    let found = usize::try_from(value).ok().and_then(|index| of.item(index));
    found.ok_or_else(|| Fault::Error(format!("index out of bounds: {value}")))
}

fn optional_index<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [of, key] = args else { return no_overload() };
    let inner = match of {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => (**inner).clone(),
        other => other.clone(),
    };
    if !inner.is_map() && !inner.is_list() {
        return no_overload();
    }
    Ok(Value::Optional(index(&[inner, key.clone()]).ok().map(Rc::new)))
}

fn size<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let size = args.first().and_then(Value::size).and_then(|size| i64::try_from(size).ok());
    size.map(Value::Int).map_or_else(no_overload, Ok)
}

fn insert<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let Value::Map(entries) = &args[0] else { return no_overload() };
    let mut entries: BTreeMap<Key<'a>, Value<'a>> = (**entries).clone();
    let mut put = |key: &Value<'a>, value: Value<'a>| match Key::of(key) {
        Some(name) if entries.contains_key(&name) => {
            Err(Fault::Error(format!("insert failed: key {} already exists", shown(key))))
        }
        Some(name) => {
            entries.insert(name, value);
            Ok(())
        }
        None => Err(Fault::Error(format!("unsupported key type: {}", key.ty().name()))),
    };
    match args {
        [_, key, value] => put(key, value.clone())?,
        [_, more] => {
            for key in more.keys() {
                put(&key, more.entry(&key).unwrap_or(Value::Null))?;
            }
        }
        _ => return no_overload(),
    }
    Ok(Value::Map(Rc::new(entries)))
}
