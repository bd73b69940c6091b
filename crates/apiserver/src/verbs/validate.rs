//! Stage 5, validate: every reason why an object is refused, in one answer.

use api::Status;
use api::status::Cause;
use api::validation::meta::{self, NameRule};
use serde_json::Value;

use super::Call;
use crate::resource::{Resource, invalid};
use crate::tree;

const RBAC: &str = "rbac.authorization.k8s.io";

pub(crate) fn create(call: &mut Call, object: &Value) -> Result<(), Status> {
    let resource = call.resource.clone();
    let mut causes = meta::object_meta(object, resource.is_namespaced(), resource.name_rule);
    causes.extend(own_finalizers(&resource, object));
    causes.extend(custom(call, object, None, ""));
    causes.extend(resource.hooks.validate.map(|validate| validate(object)).unwrap_or_default());
    causes.extend(resource.hooks.validate_create.map(|validate| validate(object)).unwrap_or_default());
    invalid(&resource.kind, tree::text(object, "metadata.name"), causes)?;
    warn(call, object, None);
    Ok(())
}

/// Metadata is looked at twice, as upstream does it: once for all kinds alike, once with the kind's own rules. The
/// message tells what is wrong once, the causes tell it as often as it was found.
pub(crate) fn update(call: &mut Call, new: &Value, old: &Value) -> Result<(), Status> {
    let resource = call.resource.clone();
    let (namespaced, any_name): (bool, NameRule) = (resource.is_namespaced(), api::validation::name::path_segment);
    let changes = meta::object_meta_update(new, old);
    let mut causes = meta::object_meta(new, namespaced, any_name);
    causes.extend(changes.iter().cloned());
    causes.extend(changes);
    let hooks = &resource.hooks;
    match call.subresource() {
        "" => {
            causes.extend(meta::object_meta(new, namespaced, resource.name_rule));
            causes.extend(own_finalizers(&resource, new));
            causes.extend(custom(call, new, Some(old), ""));
            causes.extend(hooks.validate.map(|validate| validate(new)).unwrap_or_default());
            causes.extend(hooks.validate_update.map(|validate| validate(new, old)).unwrap_or_default());
        }
        "status" => {
            causes.extend(custom(call, new, Some(old), "status"));
            causes.extend(hooks.validate_status.map(|validate| validate(new, old)).unwrap_or_default());
        }
        part => causes.extend(hooks.validate_part.map(|validate| validate(part, new, old)).unwrap_or_default()),
    }
    invalid(&resource.kind, tree::text(new, "metadata.name"), causes)?;
    if call.subresource().is_empty() {
        warn(call, new, Some(old));
    }
    Ok(())
}

/// The groups of the servers beside upstream's own take any qualified name.
fn own_finalizers(resource: &Resource, object: &Value) -> Vec<Cause> {
    let other = matches!(&*resource.gvr.group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
    if other || resource.custom.is_some() { Vec::new() } else { meta::own_finalizers(object) }
}

/// What a definition asks of its objects. Rules that were broken before are only warned about.
fn custom(call: &mut Call, new: &Value, old: Option<&Value>, subresource: &str) -> Vec<Cause> {
    let Some(custom) = call.resource.custom.clone() else { return Vec::new() };
    let verdict = custom.validate(new, old, subresource);
    push_warnings(call, verdict.warnings);
    verdict.causes
}

/// New finalizers of a custom resource that others could take for theirs.
fn plain_finalizers(new: &Value, old: Option<&Value>) -> Vec<String> {
    let list = |object| tree::texts(object, "metadata.finalizers");
    let before = old.map(list).unwrap_or_default();
    let added = list(new).into_iter().filter(|name| meta::is_plain_finalizer(name) && !before.contains(name));
    let why = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other \
               finalizer writers";
    added.map(|name| format!("metadata.finalizers: {name:?}: {why}")).collect()
}

fn warn(call: &mut Call, new: &Value, old: Option<&Value>) {
    let mut warnings = call.resource.hooks.warn.map(|warn| warn(new, old)).unwrap_or_default();
    if call.resource.custom.is_some() {
        warnings.extend(plain_finalizers(new, old));
    }
    push_warnings(call, warnings);
}

/// Warnings once each: a write may be tried again.
fn push_warnings(call: &mut Call, warnings: Vec<String>) {
    for warning in warnings {
        if !call.warnings.contains(&warning) {
            call.warnings.push(warning);
        }
    }
}

/// A role or binding may not give more than its writer has.
pub(crate) fn grant(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    match call.engine.authorizer().filter(|_| call.resource.gvr.group == RBAC) {
        Some(authorizer) => authorizer.may_grant(&call.context.user, &call.resource.gvr, new, old),
        None => Ok(()),
    }
}
