//! Who owns which field: managedFields of every write, and server-side apply.

use api::Status;
use api::apply::{self, Writer};
use api::schema::{self, Validation};
use serde_json::{Map, Value};

use super::{Call, RequestContext, WriteOptions, decode};
use crate::engine::Engine;
use crate::resource::{Resource, Subresource};
use crate::tree;

/// Whether a write still has to claim what it changes. An applied object comes with its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    Changes,
    Done,
}

/// Makes the fields that differ from `old` the writer's. Empty lists are owned as they were given, and only then stored
/// as upstream stores them.
pub(crate) fn track(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    options: &WriteOptions,
    tracking: Tracking,
) -> Result<(), Status> {
    let schema = decode::schema_of(&call.resource)?;
    if tracking == Tracking::Changes {
        let version = call.resource.kind.api_version();
        apply::track_update(old, new, schema, writer(call, options, &version));
    }
    if call.resource.custom.is_none() {
        schema::settle(new, schema);
    }
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
    if tree::text(configuration, "kind") != call.resource.kind.kind {
        return Err(foreign(configuration));
    }
    let mut new = apply::apply(live, configuration, options.force, schema, writer(call, options, &version))?;
    // The merged object is decoded as any other: what no field can hold is found here at the latest.
    let decoded = match &call.resource.custom {
        Some(_) => decode::patched_tree(&call.resource, &new, Validation::Ignore),
        None => schema::convert_tree(&new, schema, Validation::Ignore),
    };
    new = decoded.map_err(|why| unconvertible(configuration, &why))?.value;
    super::prepare::apply_defaults(&call.resource, &mut new);
    Ok(new)
}

/// A configuration of another kind than what it is applied to.
pub(crate) fn foreign(configuration: &Value) -> Status {
    Status::bad_request(format!("invalid object type: {}", apply::kind_text(configuration)))
}

fn unconvertible(configuration: &Value, why: &str) -> Status {
    let text = |path: &str| tree::text(configuration, path);
    let kind = apply::kind_text(configuration);
    let place = format!("({}/{}; {kind})", text("metadata.namespace"), text("metadata.name"));
    let message = format!(
        "failed to convert new object {place} to proper version: unable to convert unstructured object to {kind}: {why}"
    );
    Status::failure(500, "", message)
}

/// Owners of which only the time is new have not changed: a write that changes nothing else is none.
pub(crate) fn ignore_times(new: &mut Value, old: &Value) {
    const OWNERS: &str = "metadata.managedFields";
    let (mine, theirs) = (tree::list(new, OWNERS), tree::list(old, OWNERS));
    if mine == theirs || mine.len() != theirs.len() || new.as_object().map(Map::len) != old.as_object().map(Map::len) {
        return;
    }
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        tree::remove(&mut entry, "time");
        entry
    };
    if !mine.iter().map(timeless).eq(theirs.iter().map(timeless)) {
        return;
    }
    let mut candidate = new.clone();
    tree::copy(&mut candidate, old, OWNERS);
    if candidate == *old {
        *new = candidate;
    }
}

fn writer<'a>(call: &'a Call, options: &'a WriteOptions, api_version: &'a str) -> Writer<'a> {
    let (reset, also): (&[&str], &[&str]) = match call.subresource() {
        "" if call.resource.has(&Subresource::Status) => (&["status"], &[]),
        "status" => (&["spec"], call.resource.status_keeps),
        _ => (&[], &[]),
    };
    let (manager, subresource) = (&options.field_manager, call.subresource());
    Writer { manager, api_version, subresource, now: call.now(), reset, also }
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
    let writer =
        Writer { manager: &manager, api_version: &api_version, subresource: "", now, reset: &["status"], also: &[] };
    apply::track_update(None, review, decode::schema_of(resource)?, writer);
    Ok(())
}
