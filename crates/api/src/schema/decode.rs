//! From request bytes to a tree, as upstream's JSON decoder does it: types are checked against the schema, unknown fields
//! are dropped, and what strict decoding finds (unknown and duplicate fields) is told.
//!
//! The tree is built while the bytes are read, once. Texts are those of Go's `encoding/json` and of `sigs.k8s.io/json`.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map as Json, Value};

use super::{Schema, Type};
use crate::quantity::{self, Quantity};
use crate::status::Status;

/// At most so many findings of strict decoding are told, as upstream's decoder stops there too.
const FINDINGS_MAX: usize = 100;

/// The `fieldValidation` of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl Validation {
    /// The value of the query parameter; `None` when it is none of the three.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "Warn" => Self::Warn,
            "Ignore" => Self::Ignore,
            "Strict" => Self::Strict,
            _ => return None,
        })
    }
}

/// A decoded object, and the warnings for the client.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    pub warnings: Vec<String>,
}

/// Reads JSON by a schema. The error is the bare reason; [`bad_request`] makes the whole Status of it.
pub fn decode(json: &[u8], schema: Schema<'_>, validation: Validation) -> Result<Decoded, String> {
    let mut context = Context { strict: validation != Validation::Ignore, ..Context::default() };
    let mut source = serde_json::Deserializer::from_slice(json);
    let value = Seed { schema: Some(schema), context: &mut context, within: "" }
        .deserialize(&mut source)
        .map_err(|error| syntax_error(json, &error))?;
    source.end().map_err(|error| syntax_error(json, &error))?;
    finish(value, context, validation)
}

/// Checks a tree (from YAML, or from a patch) as [`decode`] checks bytes.
pub fn decode_tree(tree: &Value, schema: Schema<'_>, validation: Validation) -> Result<Decoded, String> {
    let mut context = Context { strict: validation != Validation::Ignore, ..Context::default() };
    let value = Seed { schema: Some(schema), context: &mut context, within: "" }
        .deserialize(tree)
        .map_err(|error| error.to_string())?;
    finish(value, context, validation)
}

/// Reads JSON of no particular type. With it come the fields that are there twice.
pub fn decode_any(json: &[u8]) -> Result<Decoded, String> {
    let mut context = Context { strict: true, ..Context::default() };
    let mut source = serde_json::Deserializer::from_slice(json);
    let seed = Seed { schema: None, context: &mut context, within: "" };
    let value = seed.deserialize(&mut source).map_err(|error| syntax_error(json, &error))?;
    source.end().map_err(|error| syntax_error(json, &error))?;
    Ok(Decoded { value, warnings: context.findings })
}

/// [`decode_tree`] in the words of upstream's converter from untyped objects, which sees what a strategic merge patch
/// or an apply has made.
pub fn convert_tree(tree: &Value, schema: Schema<'_>, validation: Validation) -> Result<Decoded, String> {
    let strict = validation != Validation::Ignore;
    let mut context = Context { strict, converts: true, ..Context::default() };
    let value = Seed { schema: Some(schema), context: &mut context, within: "" }
        .deserialize(tree)
        .map_err(|error| error.to_string())?;
    finish(value, context, validation)
}

fn finish(value: Value, context: Context, validation: Validation) -> Result<Decoded, String> {
    if let Some(error) = context.error {
        return Err(error);
    }
    if validation == Validation::Strict && !context.findings.is_empty() {
        return Err(format!("strict decoding error: {}", context.findings.join(", ")));
    }
    Ok(Decoded { value, warnings: context.findings })
}

/// The refusal of a body: `version` and `kind` are those that the body claims, `wanted` is the kind of the resource.
pub fn bad_request(version: &str, kind: &str, wanted: &str, why: &str) -> Status {
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}"))
}

/// The text of Go's JSON scanner for bytes that are no JSON.
pub fn syntax_error(json: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() || json.iter().all(u8::is_ascii_whitespace) {
        return "unexpected end of JSON input".to_owned();
    }
    let line_start: usize =
        json.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = (line_start + error.column()).saturating_sub(1).min(json.len().saturating_sub(1));
    // Inside a misspelt literal Go names the letter that should have come.
    let start = json[..at].iter().rposition(|byte| !byte.is_ascii_lowercase()).map_or(0, |before| before + 1);
    let literal = ["null", "true", "false"]
        .into_iter()
        .find(|literal| start < at && json[start..].starts_with(&literal.as_bytes()[..1]));
    if let (Some(found), Some(literal)) = (json.get(at), literal)
        && let Some(wanted) = literal.as_bytes().get(at - start)
    {
        let (found, wanted) = (char::from(*found), char::from(*wanted));
        return format!("invalid character '{found}' in literal {literal} (expecting '{wanted}')");
    }
    match json.get(at) {
        Some(byte) if error.is_syntax() => {
            format!("invalid character '{}' looking for beginning of value", char::from(*byte))
        }
        _ => error.to_string(),
    }
}

#[derive(Default)]
struct Context {
    strict: bool,
    /// Mismatches are told in the words of the converter, not in those of the JSON decoder.
    converts: bool,
    path: Vec<Step>,
    findings: Vec<String>,
    /// The first mismatch of types; decoding goes on, as Go's does.
    error: Option<String>,
}

enum Step {
    Field(String),
    Index(usize),
}

impl Context {
    fn path(&self, with_indexes: bool) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Index(index) if with_indexes => text.push_str(&format!("[{index}]")),
                Step::Index(_) => {}
            }
        }
        text
    }

    fn found(&mut self, what: &str, name: &str) {
        if !self.strict || self.findings.len() >= FINDINGS_MAX {
            return;
        }
        self.path.push(Step::Field(name.to_owned()));
        let finding = format!("{what} field {:?}", self.path(true));
        self.path.pop();
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn fail(&mut self, why: impl FnOnce() -> String) {
        if self.error.is_none() {
            self.error = Some(why());
        }
    }

    fn mismatch(&mut self, found: &str, within: &str, schema: Schema<'_>) {
        if self.error.is_some() {
            return;
        }
        let wanted = match schema.ty() {
            // These decode themselves, so Go no longer knows the field.
            Type::IntOrString => {
                return self.error = Some(format!("json: cannot unmarshal {found} into Go value of type int32"));
            }
            Type::Time | Type::MicroTime => {
                return self.error = Some(format!("json: cannot unmarshal {found} into Go value of type string"));
            }
            Type::Quantity => return self.error = Some(quantity::FORM_ERROR.to_owned()),
            _ if self.converts => return self.error = Some(conversion_error(found, schema)),
            _ => schema.go_name(),
        };
        let path = self.path(false);
        self.error = Some(if path.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {wanted}")
        } else {
            let name = within.rsplit('.').next().unwrap_or(within);
            format!("json: cannot unmarshal {found} into Go struct field {name}.{path} of type {wanted}")
        });
    }
}

/// Go converts numbers to strings in principle, so that pair is refused in other words than the rest.
fn conversion_error(found: &str, schema: Schema<'_>) -> String {
    let kind = match found.split(' ').next().unwrap_or(found) {
        "number" => "int64",
        "array" => "slice",
        "object" => "map",
        other => other,
    };
    match schema.ty() {
        Type::Struct(_) => format!("cannot restore struct from: {kind}"),
        Type::Map(_) => format!("cannot restore map from {kind}"),
        Type::List(_) | Type::Bytes => format!("cannot restore slice from {kind}"),
        Type::String if kind == "int64" => "cannot convert int64 to string".to_owned(),
        _ => format!("unrecognized type: {}", schema.go_name()),
    }
}

/// Reads one value. `within` is the name of the struct that the value is a field of.
struct Seed<'s, 'c> {
    schema: Option<Schema<'s>>,
    context: &'c mut Context,
    within: &'s str,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    fn scalar(self, value: Value, found: &str) -> Value {
        let Some(schema) = self.schema else { return value };
        let fits = match (schema.ty(), &value) {
            (_, Value::Null) | (Type::Any, _) => true,
            (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Double, Value::Number(_)) => true,
            (Type::Int32 | Type::IntOrString, Value::Number(number)) => {
                number.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
            }
            (Type::Int64, Value::Number(number)) => number.as_i64().is_some(),
            (Type::IntOrString, Value::String(_)) => true,
            (Type::Bytes, Value::String(text)) => {
                if let Err(at) = base64_form(text) {
                    self.context.fail(|| format!("illegal base64 data at input byte {at}"));
                }
                true
            }
            (Type::Quantity, Value::String(text)) => {
                if let Err(error) = Quantity::parse(text) {
                    self.context.fail(|| error.to_string());
                }
                true
            }
            (Type::Quantity, Value::Number(_)) => true,
            (Type::Time | Type::MicroTime, Value::String(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    let form = if *schema.ty() == Type::Time {
                        "2006-01-02T15:04:05Z07:00"
                    } else {
                        "2006-01-02T15:04:05.000000Z07:00"
                    };
                    self.context
                        .fail(|| format!("parsing time {text:?} as {form:?}: cannot parse {text:?} as \"2006\""));
                }
                true
            }
            _ => false,
        };
        if fits {
            return value;
        }
        let number = match &value {
            Value::Number(number) if matches!(schema.ty(), Type::Int32 | Type::Int64) => {
                Some(format!("number {number}"))
            }
            _ => None,
        };
        self.context.mismatch(number.as_deref().unwrap_or(found), self.within, schema);
        Value::Null
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.scalar(Value::Bool(value), "bool"))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.scalar(Value::from(value), "number"))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.scalar(Value::from(value), "number"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.scalar(Value::from(value), "number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.scalar(Value::String(value.to_owned()), "string"))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(self.scalar(Value::String(value), "string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let list = self.schema.filter(|schema| !matches!(schema.ty(), Type::Any));
        let item = list.and_then(Schema::item);
        if let Some(schema) = list
            && item.is_none()
        {
            self.context.mismatch("array", self.within, schema);
            while source.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut items = Vec::new();
        loop {
            self.context.path.push(Step::Index(items.len()));
            let seed = Seed { schema: item, context: &mut *self.context, within: self.within };
            let next = source.next_element_seed(seed)?;
            self.context.path.pop();
            match next {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let schema = self.schema.filter(|schema| !matches!(schema.ty(), Type::Any | Type::Object));
        if let Some(schema) = schema
            && !matches!(schema.ty(), Type::Struct(_) | Type::Map(_))
        {
            self.context.mismatch("object", self.within, schema);
            while source.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let of = schema.and_then(Schema::as_struct);
        let within: &str = of.map_or(self.within, |of| &of.name);
        let mut entries = Json::new();
        while let Some(name) = source.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.context.path.len() > DEPTH_MAX {
                return Err(A::Error::custom("exceeded max depth"));
            }
            let child = schema.and_then(|schema| schema.child(&name));
            if let (None, Some(of)) = (child, of)
                && !of.preserve_unknown
            {
                self.context.found("unknown", &name);
                source.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            if entries.contains_key(&*name) {
                self.context.found("duplicate", &name);
            }
            self.context.path.push(Step::Field(name.clone().into_owned()));
            let value = source.next_value_seed(Seed { schema: child, context: &mut *self.context, within })?;
            self.context.path.pop();
            entries.insert(name.into_owned(), value);
        }
        Ok(Value::Object(entries))
    }
}

/// Deeper trees are refused.
const DEPTH_MAX: usize = 120;

/// Where standard base64 (with padding, line breaks allowed) goes wrong, as Go counts.
fn base64_form(text: &str) -> Result<(), usize> {
    let bytes: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).collect();
    let body = bytes.iter().position(|(_, byte)| *byte == b'=').unwrap_or(bytes.len());
    for (at, byte) in &bytes[..body] {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')) {
            return Err(*at);
        }
    }
    let padding = bytes.len() - body;
    if bytes[body..].iter().any(|(_, byte)| *byte != b'=') || padding > 2 || body % 4 == 1 {
        return Err(bytes.get(body).map_or(text.len(), |(at, _)| *at));
    }
    if (body + padding).is_multiple_of(4) { Ok(()) } else { Err(text.len()) }
}
