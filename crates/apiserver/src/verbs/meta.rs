//! Metadata rules that hold for every object: where it is, what it is called, and what never changes.

use api::{Key, Status};
use serde_json::Value;

use super::Call;
use crate::tree;

const SUFFIX_LEN: usize = 5;

/// Puts the object into the request's namespace, and checks that it claims no other place.
pub(crate) fn place(call: &Call, object: &mut Value) -> Result<(), Status> {
    let info = &call.context.info;
    let claimed = tree::text(object, "metadata.namespace");
    if call.resource.is_namespaced() {
        if !claimed.is_empty() && claimed != info.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        tree::set(object, "metadata.namespace", info.namespace.as_str());
    } else {
        tree::remove(object, "metadata.namespace");
    }
    let name = tree::text(object, "metadata.name");
    if !info.name.is_empty() && name != info.name {
        if !name.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                info.name
            )));
        }
        tree::set(object, "metadata.name", info.name.as_str());
    }
    Ok(())
}

/// Gives a new object its uid and time of creation, and a name where it asks for one.
pub(crate) fn fill(call: &Call, object: &mut Value) {
    generate_name(call, object);
    tree::set(object, "metadata.uid", call.engine.rng().uuid());
    tree::set(object, "metadata.creationTimestamp", timestamp(call.now()));
}

fn generate_name(call: &Call, object: &mut Value) {
    let base = tree::text(object, "metadata.generateName");
    if base.is_empty() || !tree::text(object, "metadata.name").is_empty() {
        return;
    }
    let base = api::validation::meta::name_stem(base);
    let name = format!("{base}{}", call.engine.rng().name_suffix(SUFFIX_LEN));
    tree::set(object, "metadata.name", name);
}

pub(crate) fn key_of(object: &Value) -> Key {
    Key::new(tree::text(object, "metadata.namespace"), tree::text(object, "metadata.name"))
}

/// Whole seconds, as metav1.Time is written.
pub(crate) fn timestamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const CARRIED: &[&str] =
    &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"];

/// Takes over what an update may leave out but never changes.
pub(crate) fn carry(new: &mut Value, old: &Value) {
    for field in CARRIED {
        let path = format!("metadata.{field}");
        if !tree::is_set(new, &path) {
            tree::copy(new, old, &path);
        }
    }
    tree::remove(new, "metadata.selfLink");
}
