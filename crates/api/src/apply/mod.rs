//! Server-side apply, and the tracking of who wrote which field that makes it possible.
//!
//! ```text
//! apply: live + config --merge--> merged --prune what only this manager owned--> new
//!        compare(live, new) & others' fields = conflicts -> 409, or with force theirs are taken away
//! update: compare(old, new) -> what changed becomes the writer's, and nobody else's
//! ```
//! Both work on trees in normal form (`schema::normalize`) and leave `metadata.managedFields` written. Behaviour is that of
//! structured-merge-diff (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>).

mod managed;
pub mod scale;
mod set;
#[cfg(test)]
mod tests;
mod typed;

use jiff::Timestamp;
use serde_json::{Map as Json, Value, json};

pub use self::managed::{Entry, Operation};
pub use self::set::Set;
use self::typed::{Comparison, Place};
use crate::schema::{self, Schema};
use crate::status::{Cause, Details, Status};

const MANAGER_CHARS_MAX: usize = 128;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Metadata that has no manager, because clients do not choose it or because it names the object.
const UNMANAGED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// From [`manager_name`].
    pub manager: &'a str,
    /// `v1`, `apps/v1`: the version that the request speaks.
    pub api_version: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// Dotted paths (`status`) that this endpoint does not write: they get no manager here.
    pub reset: &'a [&'a str],
    /// More of them.
    pub also: &'a [&'a str],
}

impl Writer<'_> {
    fn entry(&self, operation: Operation) -> Entry {
        Entry {
            manager: self.manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            set: Set::default(),
        }
    }
}

/// The manager of a request: its `fieldManager` parameter, or the first part of its user agent.
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let prefix = user_agent.split('/').next().unwrap_or_default();
    prefix.chars().filter(|c| !c.is_control()).take(MANAGER_CHARS_MAX).collect()
}

/// Removes the managed fields, for answers that do not show them.
pub fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Records an ordinary write (create, update, patch): fields that differ between `old` and `new` become the writer's.
///
/// Call it before mutating admission, whose changes nobody owns. `old` is `None` for a create.
pub fn track_update(old: Option<&Value>, new: &mut Value, schema: Schema<'_>, writer: Writer<'_>) {
    let place = Place::root(schema);
    let given = if writer.subresource.is_empty() { managed::read(new) } else { Vec::new() };
    let reset = writer.subresource.is_empty() && managed::is_reset(new);
    let mut entries = match old {
        _ if reset => Vec::new(),
        Some(old) if given.is_empty() => managed::read(old),
        _ => given,
    };
    if old.is_some() && entries.is_empty() {
        // An object whose managers were forgotten stays untracked until somebody applies.
        strip(new);
        return;
    }
    // The managed fields themselves have no manager, so they may differ without being seen.
    let took = match old {
        Some(old) => record(&mut entries, old, new, place, writer),
        None => record(&mut entries, &without_managed(None, schema), new, place, writer),
    };
    if took {
        managed::cap(&mut entries);
    }
    managed::write(new, entries);
}

/// Moves changed fields to the writer; says whether it took any.
fn record(entries: &mut Vec<Entry>, old: &Value, new: &Value, place: Place<'_>, writer: Writer<'_>) -> bool {
    let compared = compare(old, new, place, writer);
    let mut changed = compared.added;
    changed.union(&compared.modified);
    let mine = Entry { set: changed, ..writer.entry(Operation::Update) };
    for entry in entries.iter_mut() {
        entry.set.subtract(&compared.removed);
        // What the writer changes stays its own or becomes so.
        if !entry.is_same_manager(&mine) {
            entry.set.subtract(&mine.set);
        }
    }
    entries.retain(|entry| !entry.set.is_empty());
    if mine.set.is_empty() {
        return false;
    }
    match entries.iter_mut().find(|entry| entry.is_same_manager(&mine)) {
        Some(entry) => {
            entry.set.union(&mine.set);
            entry.time = mine.time;
        }
        None => entries.push(mine),
    }
    true
}

/// Applies a configuration: the new object, with its managers. `live` is `None` when the object is to be created.
///
/// Fails with 400 or 500 for configurations that do not fit the schema, and with 409 and a cause per field for conflicts.
pub fn apply(
    live: Option<&Value>,
    config: &Value,
    force: bool,
    schema: Schema<'_>,
    writer: Writer<'_>,
) -> Result<Value, Status> {
    check(config, schema, writer)?;
    let applied = match apply_once(live, config, force, schema, writer) {
        Err(conflicts) if writer.manager == "kubectl" => {
            let allowed = live.map(|live| last_applied_fields(live, schema)).unwrap_or_default();
            let left: Vec<Conflict> = conflicts
                .into_iter()
                .map(|conflict| Conflict { set: conflict.set.difference(&allowed), ..conflict })
                .filter(|conflict| !conflict.set.is_empty())
                .collect();
            if left.is_empty() { apply_once(live, config, true, schema, writer) } else { Err(left) }
        }
        other => other,
    };
    let mut new = applied.map_err(|conflicts| conflict_status(&conflicts))?;
    if writer.manager == "kubectl" && live.is_some_and(|live| last_applied(live).is_some()) {
        set_last_applied(&mut new, config);
    }
    Ok(new)
}

fn check(config: &Value, schema: Schema<'_>, writer: Writer<'_>) -> Result<(), Status> {
    if config.get("apiVersion").and_then(Value::as_str).unwrap_or_default() != writer.api_version {
        return Err(Status::bad_request(format!("invalid object type: {}", kind_text(config))));
    }
    if config.pointer("/metadata/managedFields").is_some_and(|managed| !managed.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut found = Vec::new();
    typed::check(config, Place::root(schema), "", &mut found);
    if found.is_empty() {
        return Ok(());
    }
    let text = |path: &str| config.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let why = if found.len() == 1 { found.concat() } else { format!("errors:\n  {}", found.join("\n  ")) };
    let message = format!("failed to create typed patch object ({namespace}/{name}; {}): {why}", kind_text(config));
    Err(Status::failure(500, "", message))
}

/// The kind of an object as Go prints it: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
pub fn kind_text(object: &Value) -> String {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = crate::name::split_api_version(text("apiVersion"));
    format!("{group}/{version}, Kind={}", text("kind"))
}

struct Conflict {
    title: String,
    set: Set,
}

fn apply_once(
    live: Option<&Value>,
    config: &Value,
    force: bool,
    schema: Schema<'_>,
    writer: Writer<'_>,
) -> Result<Value, Vec<Conflict>> {
    let place = Place::root(schema);
    let mut entries = live.map(managed::read).unwrap_or_default();
    let bare = without_managed(live, schema);
    if live.is_some() && entries.is_empty() {
        let before = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..writer };
        record(&mut entries, &without_managed(None, schema), &bare, place, before);
    }
    let mut mine = writer.entry(Operation::Apply);
    mine.set = typed::fields_of(config, place);
    let last = entries.iter().position(|entry| entry.is_same_manager(&mine)).map(|at| entries.remove(at));

    let mut new = typed::merge(&bare, config, place);
    if let Some(last) = &last {
        // The name in the configuration holds metadata in place, so it is taken off the set only after this.
        new = prune(&new, &entries, &mine, last, place);
    }
    mine.set = managed_part(mine.set, writer);
    let compared = compare(&bare, &new, place, writer);
    let mut changed = compared.added;
    changed.union(&compared.modified);
    let conflicts: Vec<Conflict> = entries
        .iter()
        .map(|entry| Conflict { title: entry.title(), set: entry.set.intersection(&changed) })
        .filter(|conflict| !conflict.set.is_empty())
        .collect();
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for entry in &mut entries {
        entry.set = entry.set.difference(&changed).difference(&compared.removed);
    }
    let unchanged = changed.is_empty() && compared.removed.is_empty();
    if let Some(last) = last.filter(|last| unchanged && last.set == mine.set) {
        mine.time = last.time;
    }
    entries.push(mine);
    managed::write(&mut new, entries);
    Ok(new)
}

/// Takes away what this manager applied last time, does not apply now, and nobody else owns.
fn prune(merged: &Value, others: &[Entry], mine: &Entry, last: &Entry, place: Place<'_>) -> Value {
    let last_set = typed::with_named_fields(&last.set, place);
    let pruned = typed::remove(merged, &last_set, place).unwrap_or_else(|| json!({}));
    let merged_set = typed::with_named_fields(&typed::fields_of(merged, place), place);
    // Back comes what somebody owns.
    let mut kept = typed::with_named_fields(&typed::fields_of(&pruned, place), place);
    for entry in others.iter().chain([mine]) {
        kept.union(&typed::with_named_fields(&entry.set, place));
    }
    let pruned = typed::remove(merged, &merged_set.difference(&kept), place).unwrap_or_else(|| json!({}));
    // And what went only because it hung below something that was removed.
    let kept = typed::with_named_fields(&typed::fields_of(&pruned, place), place);
    let gone = merged_set.difference(&kept).intersection(&last_set);
    typed::remove(merged, &gone, place).unwrap_or_else(|| json!({}))
}

fn compare(old: &Value, new: &Value, place: Place<'_>, writer: Writer<'_>) -> Comparison {
    let mut compared = typed::compare(old, new, place);
    for set in compared.each() {
        *set = managed_part(std::mem::take(set), writer);
    }
    compared
}

/// The part of a set that has managers.
fn managed_part(mut set: Set, writer: Writer<'_>) -> Set {
    UNMANAGED.iter().for_each(|path| set.disown(path));
    writer.reset.iter().chain(writer.also).for_each(|path| set.remove_field(path));
    set
}

/// The object without its managers, or the empty object of the type.
fn without_managed(object: Option<&Value>, schema: Schema<'_>) -> Value {
    let mut bare = object.cloned().unwrap_or_else(|| {
        let mut empty = Value::Object(Json::new());
        schema::normalize(&mut empty, schema);
        empty
    });
    strip(&mut bare);
    bare
}

fn last_applied(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()
}

/// What client-side apply wrote last: `kubectl apply --server-side` may take it over without conflicts.
fn last_applied_fields(live: &Value, schema: Schema<'_>) -> Set {
    let config: Option<Value> = last_applied(live).and_then(|text| serde_json::from_str(text).ok());
    config.map(|config| typed::fields_of(&config, Place::root(schema))).unwrap_or_default()
}

fn set_last_applied(object: &mut Value, config: &Value) {
    let mut config = config.clone();
    strip(&mut config);
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(LAST_APPLIED.to_owned(), format!("{config}\n").into());
    }
}

fn conflict_status(conflicts: &[Conflict]) -> Status {
    let mut causes = Vec::new();
    let mut texts = Vec::new();
    let mut sorted: Vec<&Conflict> = conflicts.iter().collect();
    sorted.sort_by(|a, b| a.title.cmp(&b.title));
    for conflict in sorted {
        let paths = conflict.set.paths();
        for path in &paths {
            let message = format!("conflict with {}", conflict.title);
            causes.push(Cause { reason: "FieldManagerConflict".to_owned(), message, field: path.clone() });
        }
        texts.push(format!("conflicts with {}:\n- {}", conflict.title, paths.join("\n- ")));
    }
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        _ => format!("Apply failed with {} conflicts: {}", causes.len(), texts.join("\n")),
    };
    Status::failure(409, "Conflict", message).with_details(Details { causes, ..Details::default() })
}
