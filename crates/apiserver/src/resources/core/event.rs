//! Event (core): what happened to an object. The storage of both Event groups.

use api::Gvr;
use k8s_openapi::api::core::v1::Event;
use serde_json::{Map, Value};

use super::event_rules;
use crate::output::age;
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub const GVR: Gvr = Gvr::new("", "v1", "events");

pub const SELECTABLE: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    // A recorder of the newer group names itself as controller only.
    "source=source.component|reportingComponent",
    "type",
];

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ev".into()],
        buffered: true,
        unnamed: true,
        create_on_update: true,
        selectable_fields: SELECTABLE,
        columns: COLUMNS,
        hooks: Hooks { validate: Some(event_rules::validate), ..Hooks::default() },
        // Old clients name events as they like.
        name_rule: |_| Vec::new(),
        ..Resource::of::<Event>()
    }
}

/// For both groups: the names of the fields differ.
fn either<'a>(event: &'a Value, core: &str, other: &str) -> &'a str {
    let text = tree::text(event, core);
    if text.is_empty() { tree::text(event, other) } else { text }
}

pub const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "io.k8s.api.core.v1.Event.lastTimestamp", |event, now| last(event, now).into()),
    Column::text("Type", "io.k8s.api.core.v1.Event.type", |event, _| tree::text(event, "type").into()),
    Column::text("Reason", "io.k8s.api.core.v1.Event.reason", |event, _| tree::text(event, "reason").into()),
    Column::text("Object", "io.k8s.api.core.v1.Event.involvedObject", |event, _| object(event).into()),
    Column::text("Subobject", "io.k8s.api.core.v1.ObjectReference.fieldPath", |event, _| {
        either(event, "involvedObject.fieldPath", "regarding.fieldPath").into()
    })
    .wide(),
    Column::text("Source", "io.k8s.api.core.v1.Event.source", |event, _| source(event).into()).wide(),
    Column::text("Message", "io.k8s.api.core.v1.Event.message", |event, _| {
        either(event, "message", "note").trim().into()
    }),
    Column::text("First Seen", "io.k8s.api.core.v1.Event.firstTimestamp", |event, now| first(event, now).into()).wide(),
    Column::text("Count", "io.k8s.api.core.v1.Event.count", |event, _| count(event).into()).wide(),
    Column::text("Name", "The name of the event.", |event, _| tree::text(event, "metadata.name").into()).wide(),
];

fn object(event: &Value) -> String {
    let kind = either(event, "involvedObject.kind", "regarding.kind").to_lowercase();
    let name = either(event, "involvedObject.name", "regarding.name");
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn source(event: &Value) -> String {
    let or = |first: &'_ str, second: &'_ str| if first.is_empty() { second.to_owned() } else { first.to_owned() };
    let component = or(
        either(event, "source.component", "deprecatedSource.component"),
        either(event, "reportingComponent", "reportingController"),
    );
    let host = or(either(event, "source.host", "deprecatedSource.host"), tree::text(event, "reportingInstance"));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

fn count(event: &Value) -> i64 {
    let series = tree::int(event, "series.count");
    series.or_else(|| tree::int(event, "count")).or_else(|| tree::int(event, "deprecatedCount")).unwrap_or(1).max(1)
}

fn first(event: &Value, now: jiff::Timestamp) -> String {
    let time = either(event, "firstTimestamp", "deprecatedFirstTimestamp");
    age::since(if time.is_empty() { tree::text(event, "eventTime") } else { time }, now)
}

fn last(event: &Value, now: jiff::Timestamp) -> String {
    let series = tree::text(event, "series.lastObservedTime");
    let time = either(event, "lastTimestamp", "deprecatedLastTimestamp");
    let time = if series.is_empty() { time } else { series };
    if time.is_empty() { first(event, now) } else { age::since(time, now) }
}

/// The names of the same fields in the core group and in events.k8s.io.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(event: &mut Value, api_version: &str, new_name: impl Fn(&str) -> Option<&'static str>) {
    let Some(fields) = event.as_object_mut() else { return };
    let renamed: Map<String, Value> = std::mem::take(fields)
        .into_iter()
        .map(|(name, value)| (new_name(&name).map_or(name, str::to_owned), value))
        .collect();
    *fields = renamed;
    fields.insert("apiVersion".to_owned(), api_version.into());
}

pub fn to_events_group(event: &mut Value) {
    rename(event, "events.k8s.io/v1", |name| RENAMED.iter().find(|(core, _)| *core == name).map(|(_, other)| *other));
}

pub fn to_core(event: &mut Value) {
    rename(event, "v1", |name| RENAMED.iter().find(|(_, other)| *other == name).map(|(core, _)| *core));
}
