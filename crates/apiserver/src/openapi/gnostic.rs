//! The protobuf form of the OpenAPI v2 document, for clients that read no JSON: the messages of gnostic's openapi.v2.
//!
//! The tables say which field of the JSON goes where; values without a message (defaults, extensions) are kept as YAML,
//! which JSON is.

use api::protobuf::ProtobufError;
use api::protobuf::wire::{VARINT, bytes_field, key, nested};
use serde_json::Value;

/// A message: its fields by their JSON names, and where extensions (`x-...`) go.
struct Message {
    fields: &'static [(&'static str, u32, As)],
    extensions: u32,
}

/// How a field's value is written.
enum As {
    Text,
    Texts,
    Bool,
    Yaml,
    Message(&'static Message),
    Messages(&'static Message),
    /// One item, or all, of a list in a message of its own at field 1.
    Wrapped(&'static As),
    /// An object whose entries are messages of name and value, at this field of a message of its own.
    Entries(u32, &'static As),
    SchemaOrBool,
    Parameters,
}

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, As::Text),
        ("info", 2, As::Message(&INFO)),
        ("paths", 8, As::Entries(2, &As::Message(&PATH))),
        ("definitions", 9, As::Entries(1, &As::Message(&SCHEMA))),
        ("security", 12, As::Messages(&REQUIREMENT)),
        ("securityDefinitions", 13, As::Entries(1, &As::Message(&SECURITY))),
    ],
    extensions: 16,
};
static INFO: Message = Message { fields: &[("title", 1, As::Text), ("version", 2, As::Text)], extensions: 7 };
static REQUIREMENT: Message = Message { fields: &[("BearerToken", 1, As::Entries(0, &As::Texts))], extensions: 0 };
/// The second of the kinds of security: a key.
static SECURITY: Message = Message { fields: &[("apiKey", 2, As::Message(&API_KEY))], extensions: 0 };
static API_KEY: Message = Message {
    fields: &[("type", 1, As::Text), ("name", 2, As::Text), ("in", 3, As::Text), ("description", 4, As::Text)],
    extensions: 5,
};
static PATH: Message = Message {
    fields: &[
        ("get", 2, As::Message(&OPERATION)),
        ("put", 3, As::Message(&OPERATION)),
        ("post", 4, As::Message(&OPERATION)),
        ("delete", 5, As::Message(&OPERATION)),
        ("options", 6, As::Message(&OPERATION)),
        ("head", 7, As::Message(&OPERATION)),
        ("patch", 8, As::Message(&OPERATION)),
        ("parameters", 9, As::Parameters),
    ],
    extensions: 10,
};
static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, As::Texts),
        ("description", 3, As::Text),
        ("operationId", 5, As::Text),
        ("produces", 6, As::Texts),
        ("consumes", 7, As::Texts),
        ("parameters", 8, As::Parameters),
        ("responses", 9, As::Entries(1, &As::Wrapped(&As::Message(&RESPONSE)))),
        ("schemes", 10, As::Texts),
        ("deprecated", 11, As::Bool),
    ],
    extensions: 13,
};
static RESPONSE: Message = Message {
    fields: &[("description", 1, As::Text), ("schema", 2, As::Wrapped(&As::Message(&SCHEMA)))],
    extensions: 5,
};
static BODY: Message = Message {
    fields: &[
        ("description", 1, As::Text),
        ("name", 2, As::Text),
        ("in", 3, As::Text),
        ("required", 4, As::Bool),
        ("schema", 5, As::Message(&SCHEMA)),
    ],
    extensions: 6,
};
static QUERY: Message = Message {
    fields: &[
        ("required", 1, As::Bool),
        ("in", 2, As::Text),
        ("description", 3, As::Text),
        ("name", 4, As::Text),
        ("type", 6, As::Text),
        ("format", 7, As::Text),
        ("uniqueItems", 20, As::Bool),
    ],
    extensions: 23,
};
static IN_PATH: Message = Message {
    fields: &[
        ("required", 1, As::Bool),
        ("in", 2, As::Text),
        ("description", 3, As::Text),
        ("name", 4, As::Text),
        ("type", 5, As::Text),
        ("format", 6, As::Text),
        ("uniqueItems", 19, As::Bool),
    ],
    extensions: 22,
};
static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, As::Text),
        ("format", 2, As::Text),
        ("title", 3, As::Text),
        ("description", 4, As::Text),
        ("default", 5, As::Yaml),
        ("pattern", 13, As::Text),
        ("required", 19, As::Texts),
        ("additionalProperties", 21, As::SchemaOrBool),
        ("type", 22, As::Wrapped(&As::Text)),
        ("items", 23, As::Wrapped(&As::Message(&SCHEMA))),
        ("allOf", 24, As::Messages(&SCHEMA)),
        ("properties", 25, As::Entries(1, &As::Message(&SCHEMA))),
    ],
    extensions: 31,
};

/// The document as `openapi.v2.Document`.
pub fn encode(document: &Value) -> Result<Vec<u8>, ProtobufError> {
    let mut out = Vec::with_capacity(1 << 20);
    message(document, &DOCUMENT, &mut out)?;
    Ok(out)
}

type Outcome = Result<(), ProtobufError>;

fn message(tree: &Value, of: &Message, out: &mut Vec<u8>) -> Outcome {
    for (name, value) in tree.as_object().into_iter().flatten() {
        if let Some((_, number, form)) = of.fields.iter().find(|(field, ..)| field == name) {
            put(value, *number, form, out)?;
        } else if name.starts_with("x-") {
            nested(out, of.extensions, |out| {
                bytes_field(out, 1, name.as_bytes());
                nested(out, 2, |out| yaml(value, out))
            })?;
        }
    }
    Ok(())
}

fn put(value: &Value, number: u32, form: &As, out: &mut Vec<u8>) -> Outcome {
    let items = value.as_array().into_iter().flatten();
    match form {
        As::Text => bytes_field(out, number, value.as_str().unwrap_or_default().as_bytes()),
        As::Texts => items.filter_map(Value::as_str).for_each(|text| bytes_field(out, number, text.as_bytes())),
        As::Bool => {
            key(out, number, VARINT);
            out.push(u8::from(value.as_bool().unwrap_or_default()));
        }
        As::Yaml => nested(out, number, |out| yaml(value, out))?,
        As::Message(of) => nested(out, number, |out| message(value, of, out))?,
        As::Messages(of) => {
            for item in items {
                nested(out, number, |out| message(item, of, out))?;
            }
        }
        As::Wrapped(inner) => nested(out, number, |out| put(value, 1, inner, out))?,
        // A requirement has no message around its entries.
        As::Entries(0, inner) => entry("BearerToken", value, number, inner, out)?,
        As::Entries(at, inner) => nested(out, number, |out| {
            let mut entries = value.as_object().into_iter().flatten();
            entries.try_for_each(|(name, value)| entry(name, value, *at, inner, out))
        })?,
        As::SchemaOrBool => nested(out, number, |out| match value {
            Value::Bool(_) => put(value, 2, &As::Bool, out),
            _ => put(value, 1, &As::Message(&SCHEMA), out),
        })?,
        As::Parameters => {
            for item in items {
                parameter(item, number, out)?;
            }
        }
    }
    Ok(())
}

fn entry(name: &str, value: &Value, number: u32, form: &As, out: &mut Vec<u8>) -> Outcome {
    nested(out, number, |out| {
        bytes_field(out, 1, name.as_bytes());
        match form {
            As::Texts => nested(out, 2, |out| put(value, 1, form, out)),
            _ => put(value, 2, form, out),
        }
    })
}

/// A parameter is wrapped once as such, and once more by its kind.
fn parameter(tree: &Value, number: u32, out: &mut Vec<u8>) -> Outcome {
    let place = tree.get("in").and_then(Value::as_str).unwrap_or_default();
    nested(out, number, |out| {
        nested(out, 1, |out| match place {
            "body" => put(tree, 1, &As::Message(&BODY), out),
            "path" => nested(out, 2, |out| put(tree, 4, &As::Message(&IN_PATH), out)),
            _ => nested(out, 2, |out| put(tree, 3, &As::Message(&QUERY), out)),
        })
    })
}

fn yaml(value: &Value, out: &mut Vec<u8>) -> Outcome {
    bytes_field(out, 2, format!("{value}\n").as_bytes());
    Ok(())
}
