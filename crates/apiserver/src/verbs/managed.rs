//! Who owns which field: managedFields of every write, and server-side apply.

use api::Status;
use serde_json::Value;

use super::{Call, WriteOptions};

/// How a write claims its fields.
#[derive(Clone, Copy)]
pub(crate) enum Writer<'a> {
    /// It owns what it changes.
    Update,
    /// It owns what its configuration says, and the object becomes what all appliers want.
    Apply(&'a Value),
}

/// Brings `new` and its managedFields to what the writer makes of `old`.
pub(crate) fn track(
    _call: &mut Call,
    _old: Option<&Value>,
    _new: &mut Value,
    _options: &WriteOptions,
    writer: Writer<'_>,
) -> Result<(), Status> {
    match writer {
        Writer::Update => Ok(()),
        Writer::Apply(_) => Err(Status::failure(501, "NotImplemented", "apply is being built")),
    }
}

/// Nothing changed but the times in managedFields: such a write is none.
pub(crate) fn only_times_differ(new: &Value, old: &Value) -> bool {
    new == old
}
