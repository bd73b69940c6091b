//! Reads `types.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

pub enum Shape {
    /// What is written when it is not set.
    Plain(Value),
    /// Left out when it is not set.
    Omitted,
    Struct(String),
    Pointer(String),
    List(String),
    /// Its fields stand in its place; it may have a name in the API.
    Embedded(String),
}

pub struct Field {
    pub name: String,
    pub json: String,
    pub shape: Shape,
}

pub fn fields_of(ty: &str) -> &'static [Field] {
    static TYPES: OnceLock<HashMap<&'static str, Vec<Field>>> = OnceLock::new();
    let types = TYPES.get_or_init(|| include_str!("types.txt").lines().filter_map(line).collect());
    types.get(ty).map_or(&[], Vec::as_slice)
}

fn line(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split(' ');
    let name = words.next()?;
    Some((name, words.map(field).collect()))
}

fn field(word: &str) -> Field {
    if let Some(embedded) = word.strip_prefix('+') {
        let (ty, json) = embedded.split_once('=').unwrap_or((embedded, ""));
        return Field { name: String::new(), json: json.to_owned(), shape: Shape::Embedded(ty.to_owned()) };
    }
    let (names, code) = word.split_once(':').expect("invariant: a field of the table has a code");
    let (name, json) = match names.split_once('=') {
        Some((name, json)) => (name, json.to_owned()),
        None => (names, api_name(names)),
    };
    let shape = match (code, code.as_bytes().first()) {
        ("s", _) => Shape::Plain("".into()),
        ("i", _) => Shape::Plain(0.into()),
        ("b", _) => Shape::Plain(false.into()),
        ("q", _) => Shape::Plain("0".into()),
        ("*", _) => Shape::Plain(Value::Null),
        ("o", _) => Shape::Omitted,
        (_, Some(b'*')) => Shape::Pointer(code[1..].to_owned()),
        (_, Some(b'[')) => Shape::List(code[1..].to_owned()),
        _ => Shape::Struct(code.to_owned()),
    };
    Field { name: name.to_owned(), json, shape }
}

/// `HTTPGet` is `httpGet`, `IP` is `ip`, `Name` is `name`.
fn api_name(name: &str) -> String {
    let bytes = name.as_bytes();
    let upper = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let lowered = if upper == bytes.len() || upper <= 1 { upper } else { upper - 1 };
    name[..lowered].to_ascii_lowercase() + &name[lowered..]
}
