//! CustomResourceDefinition: a kind that is made at run time.

use api::custom::formats;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::definition_rules;
use crate::custom::controller::FINALIZER;
use crate::custom::status::Condition;
use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["crd".into(), "crds".into()],
        categories: vec!["api-extensions".into()],
        subresources: &[Subresource::Status],
        columns: const {
            &[Column::text("Created At", "When it was created.", |object, _| {
                tree::text(object, "metadata.creationTimestamp").into()
            })
            .of_kind("date")]
        },
        generation: true,
        unconditional_update: false,
        finalized_by_spec: true,
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate_create: Some(definition_rules::create),
            validate_update: Some(definition_rules::update),
            validate_status: Some(|new, _| definition_rules::status(new)),
            warn: Some(warn),
            begin_deletion: Some(begin_deletion),
            ..Hooks::default()
        },
        ..Resource::of::<CustomResourceDefinition>()
    }
}

fn default(definition: &mut Value) {
    let kind = tree::text(definition, "spec.names.kind").to_owned();
    if kind.is_empty() {
        return;
    }
    if tree::text(definition, "spec.names.singular").is_empty() {
        tree::set(definition, "spec.names.singular", kind.to_lowercase());
    }
    if tree::text(definition, "spec.names.listKind").is_empty() {
        tree::set(definition, "spec.names.listKind", format!("{kind}List"));
    }
}

fn prepare_create(definition: &mut Value, _: &HookContext<'_>) {
    tree::set(definition, "status", json!({}));
    note_storage_version(definition);
}

fn prepare_update(definition: &mut Value, _: &Value, context: &HookContext<'_>) {
    if context.subresource.is_empty() {
        note_storage_version(definition);
    }
}

/// Objects may lie in the store in any version that ever was the storage version.
fn note_storage_version(definition: &mut Value) {
    let versions = tree::list(definition, "spec.versions");
    let Some(name) = versions.iter().find(|version| tree::flag(version, "storage")).map(|found| found["name"].clone())
    else {
        return;
    };
    let stored = tree::list_mut(definition, "status.storedVersions");
    if !stored.contains(&name) {
        stored.push(name);
    }
}

/// The definition goes when its instances are gone, which its controller sees to.
fn begin_deletion(definition: &mut Value, now: jiff::Timestamp) {
    let finalizers = tree::list_mut(definition, "metadata.finalizers");
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    Condition::new("Terminating", true, "InstanceDeletionPending", message).set(definition, now);
}

/// Formats that nobody knows.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), Vec::new());
    collect_formats(&new["spec"], &mut found);
    old.iter().for_each(|old| collect_formats(&old["spec"], &mut before));
    let unknown = found.into_iter().filter(|format| !before.contains(format));
    unknown.map(|format| format!("unrecognized format {format:?}")).collect()
}

fn collect_formats(tree: &Value, found: &mut Vec<String>) {
    match tree {
        Value::Object(fields) => {
            if let Some(format) = fields.get("format").and_then(Value::as_str)
                && fields.get("type").is_some_and(Value::is_string)
                && !formats::KNOWN.contains(&format)
                && !format.is_empty()
            {
                found.push(format.to_owned());
            }
            let schemas = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "default" | "enum" | "example"));
            schemas.for_each(|(_, value)| collect_formats(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_formats(item, found)),
        _ => {}
    }
}
