//! From bytes to a custom resource's tree: JSON without types, metadata by its built-in type, then pruning.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::CustomSchema;
use crate::schema::{self, Decoded, Schema, Type, Validation};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Reads a body. The error is the bare reason.
pub fn decode(json: &[u8], custom: &CustomSchema, validation: Validation) -> Result<Decoded, String> {
    finish(schema::decode_any(json)?, custom, validation)
}

/// Checks a tree (from a patch) as [`decode`] checks bytes.
pub fn decode_tree(tree: &Value, custom: &CustomSchema, validation: Validation) -> Result<Decoded, String> {
    finish(Decoded { value: tree.clone(), warnings: Vec::new() }, custom, validation)
}

fn finish(decoded: Decoded, custom: &CustomSchema, validation: Validation) -> Result<Decoded, String> {
    let Decoded { mut value, warnings: mut findings } = decoded;
    let mut unknown = Vec::new();
    coerce(&mut value, custom.schema(), "", &mut unknown)?;
    unknown.extend(custom.prune(&mut value));
    findings.extend(unknown.into_iter().map(|path| format!("unknown field {path:?}")));
    match validation {
        Validation::Ignore => findings.clear(),
        Validation::Strict if !findings.is_empty() => {
            return Err(format!("strict decoding error: {}", findings.join(", ")));
        }
        Validation::Warn | Validation::Strict => {}
    }
    Ok(Decoded { value, warnings: findings })
}

/// Brings the metadata of the object and of those embedded in it into the form of ObjectMeta.
fn coerce(value: &mut Value, schema: Schema<'_>, at: &str, unknown: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            let is_object = schema.as_struct().is_some_and(|of| of.embedded);
            for (name, value) in fields.iter_mut() {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                if is_object && name == "metadata" {
                    metadata(value, &path, unknown)?;
                } else if is_object && META_FIELDS.contains(&name.as_str()) {
                    if !value.is_string() && !value.is_null() {
                        return Err(format!("{path}: Invalid value: {value}: must be a string"));
                    }
                } else if let Some(child) = schema.child(name) {
                    coerce(value, child, &path, unknown)?;
                }
            }
            if is_object && fields.get("metadata").is_some_and(Value::is_null) {
                fields.remove("metadata");
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                for (index, value) in items.iter_mut().enumerate() {
                    coerce(value, item, &format!("{at}[{index}]"), unknown)?;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

fn metadata(value: &mut Value, at: &str, unknown: &mut Vec<String>) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let wrapped = json!({ "metadata": value.take() });
    let decoded = schema::decode_tree(&wrapped, holder(), Validation::Warn)?;
    for finding in decoded.warnings {
        let path = finding.trim_start_matches("unknown field \"").trim_end_matches('"');
        unknown.push(format!("{at}{}", path.strip_prefix("metadata").unwrap_or(path)));
    }
    let mut wrapped = decoded.value;
    schema::normalize(&mut wrapped, holder());
    *value = wrapped["metadata"].take();
    Ok(())
}

/// A type with nothing but metadata.
pub fn holder() -> Schema<'static> {
    static HOLDER: OnceLock<Type> = OnceLock::new();
    let ty = HOLDER.get_or_init(|| super::compile::root(None, false));
    schema::builtin().schema(ty)
}
