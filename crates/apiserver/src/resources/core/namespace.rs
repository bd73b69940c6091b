//! Namespace: a room for names. Its controller empties it before it goes.

use api::status::Cause;
use api::validation::Path;
use api::validation::meta::finalizer_name;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use crate::resource::{Column, HookContext, Hooks, Resource, Subresource};
use crate::tree;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ns".into()],
        selectable_fields: &["status.phase"],
        subresources: &[Subresource::Finalize, Subresource::Status],
        finalized_by_spec: true,
        deleted_singly: true,
        name_rule: api::validation::name::dns1123_label,
        columns: const {
            &[
                Column::text("Status", "The status of the namespace", |object, _| {
                    tree::text(object, "status.phase").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks {
            default: Some(default),
            prepare_create: Some(prepare_create),
            prepare_update: Some(prepare_update),
            validate_create: Some(validate_create),
            validate_status: Some(validate_status),
            validate_part: Some(validate_finalize),
            ..Hooks::default()
        },
        ..Resource::of::<Namespace>()
    }
}

fn default(namespace: &mut Value) {
    let name = tree::text(namespace, "metadata.name").to_owned();
    if !name.is_empty() {
        tree::map_mut(namespace, "metadata.labels").insert(NAME_LABEL.to_owned(), name.into());
    }
}

fn prepare_create(namespace: &mut Value, _: &HookContext<'_>) {
    default(namespace);
    let finalizers = tree::list_mut(namespace, "spec.finalizers");
    if !finalizers.iter().any(|name| name == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    tree::set(namespace, "status", json!({ "phase": "Active" }));
}

/// Only the finalize subresource removes the namespace's own finalizers.
fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    if context.subresource.is_empty() {
        tree::copy(new, old, "spec.finalizers");
    }
}

/// Upstream names the list of a new namespace, and the item of one that is finalized.
fn validate_create(namespace: &Value) -> Vec<Cause> {
    let path = Path::new("spec").child("finalizers");
    tree::texts(namespace, "spec.finalizers").into_iter().flat_map(|name| finalizer_name(name, &path)).collect()
}

fn validate_finalize(_: &str, new: &Value, _: &Value) -> Vec<Cause> {
    let path = Path::new("spec").child("finalizers");
    let names = tree::texts(new, "spec.finalizers").into_iter().enumerate();
    names.flat_map(|(i, name)| finalizer_name(name, &path.index(i))).collect()
}

/// The phase says whether the namespace is being deleted.
fn validate_status(new: &Value, _: &Value) -> Vec<Cause> {
    let phase = tree::text(new, "status.phase");
    let (wanted, why) = if tree::is_set(new, "metadata.deletionTimestamp") {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase == wanted {
        return Vec::new();
    }
    vec![Path::new("status").child("Phase").invalid(phase, why)]
}
