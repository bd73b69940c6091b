//! Stages 2 and 4, default and prepare: what the server fills in, and what clients may not choose.

use api::Status;
use api::schema;
use serde_json::Value;

use super::{Call, WriteOptions, meta};
use crate::resource::{HookContext, Resource, Subresource};
use crate::tree;

/// Stage 2: brings a decoded object into its stored form and sets the defaults of its type, then those of its hook.
pub(crate) fn apply_defaults(resource: &Resource, object: &mut Value) {
    if let Some(custom) = &resource.custom {
        return custom.apply_defaults(object);
    }
    let Some(schema) = schema::builtin().lookup(&resource.schema) else { return };
    schema::normalize(object, schema);
    schema::apply_defaults(object, schema);
    if let Some(default) = resource.hooks.default {
        default(object);
    }
    schema::normalize(object, schema);
}

/// Takes out of a new object what only its subresources may write.
pub(crate) fn confine_new(call: &Call, object: &mut Value) {
    if call.resource.has(&Subresource::Status) && !call.resource.keeps_status {
        tree::remove(object, "status");
    }
    for field in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        tree::remove(object, &format!("metadata.{field}"));
    }
}

/// Takes from the old object what a write to this subresource may not touch.
pub(crate) fn confine(call: &Call, new: &mut Value, old: &Value) {
    match call.subresource() {
        "" if call.resource.has(&Subresource::Status) => tree::copy(new, old, "status"),
        "status" if call.resource.custom.is_some() => {
            // Not even metadata may be changed with a custom resource's status.
            let written = new.clone();
            *new = old.clone();
            ["status", "metadata.managedFields", "metadata.resourceVersion"]
                .iter()
                .for_each(|path| tree::copy(new, &written, path));
        }
        "status" => {
            let names: Vec<String> = fields_besides_status(new).chain(fields_besides_status(old)).collect();
            names.iter().for_each(|name| tree::copy(new, old, name));
            call.resource.status_keeps.iter().for_each(|path| tree::copy(new, old, path));
        }
        "finalize" => {
            let finalizers = tree::at(new, "spec.finalizers").cloned();
            let status = tree::at(new, "status").cloned();
            let meta = tree::at(new, "metadata").cloned();
            *new = old.clone();
            tree::set(new, "metadata", meta.unwrap_or_default());
            match finalizers {
                Some(finalizers) => tree::set(new, "spec.finalizers", finalizers),
                None => drop(tree::remove(new, "spec.finalizers")),
            }
            tree::set(new, "status", status.unwrap_or_default());
            tree::copy(new, old, "status");
        }
        "approval" => {
            let conditions = tree::at(new, "status.conditions").cloned();
            let revision = tree::at(new, "metadata.resourceVersion").cloned();
            *new = old.clone();
            match conditions {
                Some(conditions) => tree::set(new, "status.conditions", conditions),
                None => drop(tree::remove(new, "status.conditions")),
            }
            if let Some(revision) = revision {
                tree::set(new, "metadata.resourceVersion", revision);
            }
        }
        "ephemeralcontainers" => {
            let wanted = tree::at(new, "spec.ephemeralContainers").cloned();
            confine_to_spec(new, old);
            tree::remove(new, "spec.ephemeralContainers");
            if let Some(containers) = wanted {
                tree::set(new, "spec.ephemeralContainers", containers);
            }
        }
        "resize" => {
            let wanted = new.clone();
            confine_to_spec(new, old);
            crate::resources::core::pod_rules::keep_resizable(new, &wanted);
        }
        _ => {}
    }
}

/// All but what the caller puts back into the spec; of the metadata, what a status writer may change stays.
fn confine_to_spec(new: &mut Value, old: &Value) {
    tree::copy(new, old, "spec");
    tree::copy(new, old, "status");
    tree::copy(new, old, "metadata.ownerReferences");
}

fn fields_besides_status(object: &Value) -> impl Iterator<Item = String> {
    let fields = object.as_object().into_iter().flat_map(|fields| fields.keys());
    fields.filter(|name| !matches!(name.as_str(), "status" | "metadata")).cloned()
}

/// Stage 4 for a creation: name, uid, creation time, generation, then the hook.
pub(crate) fn prepare_create(call: &Call, object: &mut Value, options: &WriteOptions) -> Result<(), Status> {
    meta::fill(call, object);
    if call.resource.generation {
        tree::set(object, "metadata.generation", 1);
    } else {
        tree::remove(object, "metadata.generation");
    }
    if let Some(prepare) = call.resource.hooks.prepare_create {
        prepare(object, &hook_context(call, options.dry_run));
        normalize(&call.resource, object);
    }
    Ok(())
}

/// What hooks and admission wrote gets the form that is stored.
fn normalize(resource: &Resource, object: &mut Value) {
    if let Some(schema) = schema::builtin().lookup(&resource.schema) {
        schema::normalize(object, schema);
        schema::settle(object, schema);
    }
}

/// Stage 4 for an update: the hook, and a new generation when what is wanted changed.
pub(crate) fn prepare_update(call: &Call, new: &mut Value, old: &Value, dry_run: bool) {
    tree::copy(new, old, "metadata.generation");
    if let Some(prepare) = call.resource.hooks.prepare_update {
        prepare(new, old, &hook_context(call, dry_run));
    }
    if call.resource.generation && call.subresource() != "status" && wanted_changed(new, old) {
        let generation = tree::int(old, "metadata.generation").unwrap_or_default();
        tree::set(new, "metadata.generation", generation + 1);
    }
}

/// Everything but metadata and status.
fn wanted_changed(new: &Value, old: &Value) -> bool {
    let names = fields_besides_status(new).chain(fields_besides_status(old));
    names.into_iter().any(|name| new.get(&name) != old.get(&name))
}

pub(crate) fn hook_context(call: &Call, dry_run: bool) -> HookContext<'_> {
    HookContext { user: &call.context.user, now: call.now(), dry_run, subresource: call.subresource() }
}
