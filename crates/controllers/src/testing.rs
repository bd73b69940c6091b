//! Tables for tests: a cluster as YAML in, a plan as text out.

use std::collections::BTreeMap;

use api::{Gvr, Key, Object};
use bytes::Bytes;
use cache::controller::NoteKind;
use cache::{Action, Change, Controller, Interest, Note, Plan, Snapshot, Table};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::tree::Tree;

pub(crate) const NOW: &str = "2026-01-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A snapshot of the objects in a YAML stream, with what the controller watches. Uids and revisions are made up where
/// they are left out.
pub(crate) fn cluster(controller: &dyn Controller, yaml: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for Interest { resource, indexes, .. } in controller.watches() {
        snapshot.insert(resource, Table::new(indexes.into()));
    }
    for (i, text) in yaml.split("\n---\n").enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        let mut tree: Value = serde_saphyr::from_str_with_options(text, options).unwrap();
        let name = tree.text("metadata.name").to_owned();
        for (field, value) in [("uid", format!("uid-{name}")), ("resourceVersion", format!("{}", i + 1))] {
            if tree["metadata"][field].is_null() {
                tree["metadata"][field] = json!(value);
            }
        }
        let plural = match tree.text("kind") {
            "Endpoints" => "endpoints".to_owned(),
            kind => format!("{}s", kind.to_lowercase()),
        };
        let (group, version) = api::name::split_api_version(tree.text("apiVersion"));
        let resource =
            Gvr { group: group.to_owned().into(), version: version.to_owned().into(), resource: plural.into() };
        let object = Object::decode(Bytes::from(tree.to_string()), &[]).unwrap();
        snapshot.table_mut(&resource).unwrap_or_else(|| panic!("{resource} is not watched")).put(object);
    }
    snapshot
}

/// The plan for a key (`namespace/name`, or a name), as text.
pub(crate) fn plan(controller: &dyn Controller, yaml: &str, key: &str) -> String {
    let snapshot = cluster(controller, yaml);
    let (namespace, name) = key.rsplit_once('/').unwrap_or(("", key));
    let plan = controller.plan(&snapshot, &Key::new(namespace, name), now()).unwrap();
    show(&snapshot, &plan)
}

/// The keys that any object of the cluster wakes.
pub(crate) fn wakes(controller: &dyn Controller, yaml: &str) -> Vec<String> {
    let snapshot = cluster(controller, yaml);
    let mut keys = std::collections::BTreeSet::new();
    for interest in controller.watches() {
        for object in snapshot.list(&interest.resource, None) {
            let change = Change { revision: object.revision(), before: None, after: Some(object.clone()) };
            keys.extend(controller.wakes(&snapshot, &interest.resource, &change));
        }
    }
    keys.iter().map(ToString::to_string).collect()
}

pub(crate) fn show(snapshot: &Snapshot, plan: &Plan) -> String {
    let mut lines = Vec::new();
    for step in &plan.steps {
        let absent: Vec<_> =
            step.absent.iter().map(|(r, key, uid)| format!("if {r} {key} ({uid}) is gone: ")).collect();
        lines.push(absent.concat() + &show_action(snapshot, &step.action));
        lines.extend(step.done.iter().map(|note| show_note("  then", note)));
        lines.extend(step.failed.iter().map(|note| show_note("  else", note)));
        lines.extend(step.otherwise.iter().map(|action| format!("  else {}", show_action(snapshot, action))));
    }
    lines.extend(plan.wake_at.map(|at| format!("wake at {at}")));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if text.is_empty() { "nothing\n".to_owned() } else { text }
}

fn show_note(when: &str, note: &Note) -> String {
    let kind = if note.kind == NoteKind::Normal { "" } else { "Warning " };
    format!("{when} {kind}{}: {}", note.reason, note.message)
}

fn show_action(snapshot: &Snapshot, action: &Action) -> String {
    match action {
        Action::Create { resource, namespace, object } => {
            let mut object = object.clone();
            let fields = object.as_object_mut().unwrap();
            fields.remove("apiVersion");
            fields.remove("kind");
            format!("create {resource} in {:?}: {object}", &**namespace)
        }
        Action::Update { resource, key, subresource, object } => {
            let old = snapshot.get(resource, key).map(|old| old.tree().unwrap()).unwrap_or_default();
            let mut changes = BTreeMap::new();
            differ("", &old, object, &mut changes);
            let changes: Vec<_> = changes.into_iter().map(|(path, change)| format!("\n  {path}: {change}")).collect();
            let what = format!("update {resource} {key} {subresource}");
            format!("{}{}", what.trim_end(), changes.concat())
        }
        Action::Patch { resource, key, subresource, patch, .. } => {
            format!("patch {resource} {key} {subresource}{patch}")
        }
        Action::Apply { resource, key, object, .. } => format!("apply {resource} {key} {object}"),
        Action::Delete { resource, key, propagation, grace_period_secs, .. } => {
            let grace = grace_period_secs.map(|secs| format!(" in {secs}s")).unwrap_or_default();
            format!("delete {resource} {key}{grace} {}", propagation.unwrap_or_default()).trim_end().to_owned()
        }
        Action::DeleteCollection { resource, namespace } => format!("delete all {resource} in {namespace}"),
        Action::Evict { key, .. } => format!("evict {key}"),
        Action::Tell => "tell".to_owned(),
    }
}

fn differ(path: &str, old: &Value, new: &Value, changes: &mut BTreeMap<String, String>) {
    if old == new {
        return;
    }
    let (Value::Object(a), Value::Object(b)) = (old, new) else {
        changes.insert(path.trim_start_matches('.').to_owned(), format!("{old} -> {new}"));
        return;
    };
    for name in a.keys().chain(b.keys()) {
        let side = |tree: &serde_json::Map<String, Value>| tree.get(name).cloned().unwrap_or_default();
        differ(&format!("{path}.{name}"), &side(a), &side(b), changes);
    }
}
