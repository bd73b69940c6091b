//! NamespaceLifecycle: nothing new in a namespace that is missing or going, and the cluster's own namespaces stay.

use api::status::{About, Cause};
use api::{Gvr, Status};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};

pub const PLUGIN: Plugin = Plugin { name: "NamespaceLifecycle", mutate: Some(mutate), validate: Some(validate) };

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

/// Creations are checked before anything else looks at them.
fn mutate(attributes: &Attributes<'_>, _object: &mut Value) -> Result<(), Status> {
    if attributes.operation != Operation::Create || !attributes.resource.is_namespaced() {
        return Ok(());
    }
    let namespace = attributes.namespace;
    let Some(found) = attributes.cached(&NAMESPACES, "", namespace) else {
        return Err(Status::not_found(About { group: "", resource: "namespaces", name: namespace }));
    };
    if !found.is_deleting() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = attributes.forbidden(&why);
    let mut details = status.details.take().map(|details| *details).unwrap_or_default();
    details.causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    Err(status.with_details(details))
}

fn validate(attributes: &Attributes<'_>, _object: &Value) -> Result<(), Status> {
    let deletes_namespace = attributes.operation == Operation::Delete && attributes.is("", "namespaces");
    if deletes_namespace && IMMORTAL.contains(&attributes.name) {
        return Err(attributes.forbidden("this namespace may not be deleted"));
    }
    Ok(())
}
