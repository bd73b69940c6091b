//! Patches: JSON patch, JSON merge patch and strategic merge patch, from a tree to a new tree.
//!
//! The original is never changed; a patch that fails leaves nothing behind. Sizes are bounded here, the size of the body by
//! the HTTP layer. Server-side apply is [`crate::apply`].

mod strategic;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::schema::Schema;
use crate::status::{Details, Status};

/// A JSON patch of more operations is refused, as upstream refuses it.
pub const OPERATIONS_MAX: usize = 10_000;
/// `copy` operations can double an object each time: a result that is larger is refused.
pub const RESULT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The forms of a PATCH body, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
    /// Server-side apply in CBOR is not spoken; it is named for the list of what is.
    Unknown,
}

impl PatchKind {
    pub fn from_content_type(content_type: &str) -> Self {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => Self::Unknown,
        }
    }
}

/// RFC 6902.
pub fn json(original: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch: Value =
        serde_json::from_slice(patch).map_err(|error| decoding(&crate::schema::syntax_error(patch, &error)))?;
    let Value::Array(operations) = &patch else {
        let found = if patch.is_object() { "object" } else { "value" };
        return Err(decoding(&format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")));
    };
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let why = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}");
        return Err(Status::too_large(why));
    }
    let mut size = weight(original);
    let copied = operations.iter().filter(|operation| operation.get("op").is_some_and(|op| op == "copy"));
    for _ in copied {
        size = size.saturating_mul(2);
    }
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|_| rejected())?;
    if size > RESULT_BYTES_MAX * 4 && weight_after(original, &operations)? > RESULT_BYTES_MAX {
        return Err(Status::too_large(format!("limit is {RESULT_BYTES_MAX}")));
    }
    let mut result = original.clone();
    json_patch::patch(&mut result, &operations).map_err(|_| rejected())?;
    Ok(result)
}

/// Applies one operation after the other and gives up as soon as the tree has grown too large.
fn weight_after(original: &Value, patch: &json_patch::Patch) -> Result<usize, Status> {
    let mut tree = original.clone();
    let mut size = 0;
    for operation in &patch.0 {
        json_patch::patch(&mut tree, std::slice::from_ref(operation)).map_err(|_| rejected())?;
        size = weight(&tree);
        if size > RESULT_BYTES_MAX {
            break;
        }
    }
    Ok(size)
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
pub fn merge(original: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch = object(patch)?;
    let mut result = original.clone();
    merge_into(&mut result, &patch);
    Ok(result)
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
pub fn strategic(original: &Value, patch: &[u8], schema: Schema<'_>) -> Result<Value, Status> {
    strategic_tree(original, object(patch)?, schema)
}

/// [`strategic`] with a patch that is already a tree.
pub fn strategic_tree(original: &Value, patch: Value, schema: Schema<'_>) -> Result<Value, Status> {
    strategic::merge(original.clone(), patch, Some(schema)).map_err(Status::bad_request)
}

fn object(patch: &[u8]) -> Result<Value, Status> {
    let tree: Value =
        serde_json::from_slice(patch).map_err(|error| decoding(&crate::schema::syntax_error(patch, &error)))?;
    match tree {
        Value::Object(_) => Ok(tree),
        Value::Array(_) => Err(decoding("json: cannot unmarshal array into Go value of type map[string]interface {}")),
        _ => Err(decoding("json: cannot unmarshal value into Go value of type map[string]interface {}")),
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
