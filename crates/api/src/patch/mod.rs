//! Patches: JSON patch, JSON merge patch and strategic merge patch, from a tree to a new tree.
//!
//! The original is never changed; a patch that fails leaves nothing behind. Sizes are bounded here, the size of the body by
//! the HTTP layer. Server-side apply is [`crate::apply`].

mod strategic;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::strategic::Refusal;
use crate::schema::Schema;
use crate::status::{Details, Status};

/// A JSON patch of more operations is refused, as upstream refuses it.
pub const OPERATIONS_MAX: usize = 10_000;
/// `copy` operations can double an object each time: they may add no more than this.
pub const RESULT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What a patch made of an object. It is not yet checked against the object's type.
#[derive(Debug, PartialEq)]
pub struct Patched {
    pub value: Value,
    /// What strict decoding says of the patch itself: fields that it has twice, or that no operation has.
    pub findings: Vec<String>,
}

/// RFC 6902.
pub fn json(original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let (operations, findings) = operations(patch)?;
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let why = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(Status::too_large(why));
    }
    let mut value = original.clone();
    let mut copied = 0;
    for operation in operations {
        apply_operation(&mut value, operation, &mut copied)?;
    }
    Ok(Patched { value, findings })
}

fn operations(patch: &[u8]) -> Result<(Vec<Value>, Vec<String>), Status> {
    let decoded = crate::schema::decode_any(patch).map_err(|why| decoding(&why))?;
    let operations = match decoded.value {
        Value::Array(operations) => operations,
        Value::Null => Vec::new(),
        other => {
            let found = json_kind(&other);
            return Err(decoding(&format!(
                "json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
            )));
        }
    };
    let mut findings: Vec<String> = decoded.warnings.iter().map(|one| format!("json patch {one}")).collect();
    for (at, operation) in operations.iter().enumerate() {
        let Some(fields) = operation.as_object() else {
            let found = json_kind(operation);
            let why = format!("json: cannot unmarshal {found} into Go value of type handlers.jsonPatchOp");
            return Err(decoding(&why));
        };
        for name in fields.keys().filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value")) {
            findings.push(format!("json patch unknown field \"[{at}].{name}\""));
        }
    }
    Ok((operations, findings))
}

/// Applies one operation. `copied` is what copies have added so far, which is bounded.
fn apply_operation(value: &mut Value, operation: Value, copied: &mut usize) -> Result<(), Status> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("op") == "copy" {
        *copied += value.pointer(text("from")).map_or(0, weight);
        if *copied > RESULT_BYTES_MAX {
            return Err(rejected());
        }
    }
    // What is not there equals null.
    let tests_absent = text("op") == "test"
        && operation.get("value").is_none_or(Value::is_null)
        && value.pointer(text("path")).is_none()
        && text("path").rsplit_once('/').is_some_and(|(parent, _)| value.pointer(parent).is_some_and(Value::is_object));
    if tests_absent {
        return Ok(());
    }
    let operation: json_patch::PatchOperation = serde_json::from_value(operation).map_err(|_| rejected())?;
    json_patch::patch(value, std::slice::from_ref(&operation)).map_err(|_| rejected())
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// About the bytes of a tree as JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| weight(item) + 1).sum::<usize>(),
        Value::Object(entries) => 2 + entries.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>(),
    }
}

/// RFC 7386.
pub fn merge(original: &Value, patch: &[u8]) -> Result<Patched, Status> {
    let (patch, findings) = object(patch).map_err(|why| decoding(&why))?;
    let mut value = original.clone();
    merge_into(&mut value, &patch);
    Ok(Patched { value, findings })
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge_into(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Kubernetes' strategic merge patch
/// (<https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md>).
pub fn strategic(original: &Value, patch: &[u8], schema: Schema<'_>) -> Result<Patched, Status> {
    let (patch, findings) = object(patch).map_err(Status::bad_request)?;
    Ok(Patched { value: strategic_tree(original, patch, schema)?, findings })
}

/// [`strategic`] with a patch that is already a tree.
pub fn strategic_tree(original: &Value, patch: Value, schema: Schema<'_>) -> Result<Value, Status> {
    strategic::merge(original.clone(), patch, Some(schema)).map_err(|why| match why {
        Refusal::Format(why) => Status::bad_request(why),
        Refusal::Rejected => rejected(),
        Refusal::Failed(why) => Status::failure(500, "", why),
    })
}

fn object(patch: &[u8]) -> Result<(Value, Vec<String>), String> {
    let decoded = crate::schema::decode_any(patch)?;
    match decoded.value {
        Value::Object(_) => Ok((decoded.value, decoded.warnings)),
        Value::Null => Ok((Value::Object(serde_json::Map::new()), Vec::new())),
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", json_kind(&other)))
        }
    }
}

fn decoding(why: &str) -> Status {
    Status::bad_request(format!("error decoding patch: {why}"))
}

/// What upstream says of a JSON patch that does not apply: a test that fails, a path that is not there.
fn rejected() -> Status {
    Status::failure(422, "Invalid", "the server rejected our request due to an error in our request")
        .with_details(Details::default())
}
