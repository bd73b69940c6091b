//! Who owns which field: managedFields of every write, and server-side apply.

use api::Status;
use api::apply::{self, Writer};
use serde_json::Value;

use super::{Call, RequestContext, WriteOptions, decode};
use crate::engine::Engine;
use crate::resource::{Resource, Subresource};

/// Whether a write still has to claim what it changes. An applied object comes with its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    Changes,
    Done,
}

/// Makes the fields that differ from `old` the writer's.
pub(crate) fn track(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    options: &WriteOptions,
    tracking: Tracking,
) -> Result<(), Status> {
    if tracking == Tracking::Done {
        return Ok(());
    }
    let version = call.resource.kind.api_version();
    apply::track_update(old, new, decode::schema_of(&call.resource)?, writer(call, options, &version));
    Ok(())
}

/// The object that an applied configuration makes of the present one, with defaults.
pub(crate) fn applied(
    call: &Call,
    live: Option<&Value>,
    configuration: &Value,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let version = call.resource.kind.api_version();
    let schema = decode::schema_of(&call.resource)?;
    let mut new = apply::apply(live, configuration, options.force, schema, writer(call, options, &version))?;
    super::prepare::apply_defaults(&call.resource, &mut new);
    Ok(new)
}

fn writer<'a>(call: &'a Call, options: &'a WriteOptions, api_version: &'a str) -> Writer<'a> {
    let reset: &[&str] = match call.subresource() {
        "" if call.resource.has(&Subresource::Status) => &["status"],
        "status" => &["spec"],
        _ => &[],
    };
    Writer { manager: &options.field_manager, api_version, subresource: call.subresource(), now: call.now(), reset }
}

/// A review is answered with the owners of what it asks, as every created object.
pub(crate) fn track_review(
    engine: &Engine,
    resource: &Resource,
    context: &RequestContext,
    review: &mut Value,
) -> Result<(), Status> {
    let manager = apply::manager_name(context.params.get("fieldManager").unwrap_or_default(), &context.user_agent);
    let api_version = resource.kind.api_version();
    let now = engine.clock().now();
    let writer = Writer { manager: &manager, api_version: &api_version, subresource: "", now, reset: &["status"] };
    apply::track_update(None, review, decode::schema_of(resource)?, writer);
    Ok(())
}
