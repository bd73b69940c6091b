//! Metadata rules that hold for every object: where it is, what it is called, and what never changes.

use api::{Key, Status};
use serde_json::Value;

use super::Call;
use crate::tree;

const SUFFIX_LEN: usize = 5;

/// Puts the object into the request's namespace, and checks that it claims no other place or name than the path.
pub(crate) fn place(call: &Call, object: &mut Value) -> Result<(), Status> {
    place_in_namespace(call, object)?;
    match call.context.info.name.as_str() {
        "" => Ok(()),
        wanted => check_name(tree::text(object, "metadata.name"), wanted),
    }
}

/// The name in a body is the one of the path, and it is there.
pub(crate) fn check_name(name: &str, wanted: &str) -> Result<(), Status> {
    if name.is_empty() {
        let why = format!("the name of the object ({wanted} based on URL) was undeterminable: name must be provided");
        return Err(Status::bad_request(why));
    }
    if name != wanted {
        let why = format!("the name of the object ({name}) does not match the name on the URL ({wanted})");
        return Err(Status::bad_request(why));
    }
    Ok(())
}

fn place_in_namespace(call: &Call, object: &mut Value) -> Result<(), Status> {
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
    Ok(())
}

/// Equal references to one owner are kept once, and the client is told.
pub(crate) fn dedup_owners(call: &mut Call, object: &mut Value, after_admission: bool) {
    let owners = tree::list(object, "metadata.ownerReferences");
    let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
    let mut doubled: Vec<&str> = Vec::new();
    for owner in owners {
        if kept.contains(owner) {
            doubled.push(tree::text(owner, "uid"));
        } else {
            kept.push(owner.clone());
        }
    }
    if doubled.is_empty() {
        return;
    }
    let when = if after_admission { " after mutating admission happens" } else { "" };
    call.warnings.push(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
         may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: [{}]",
        doubled.join(" ")
    ));
    tree::set(object, "metadata.ownerReferences", kept);
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

/// What an update may leave out but not change, and what it cannot change whatever it says.
pub(crate) fn carry(new: &mut Value, old: &Value) {
    for path in ["metadata.uid", "metadata.deletionGracePeriodSeconds"] {
        if !tree::is_set(new, path) {
            tree::copy(new, old, path);
        }
    }
    for path in ["metadata.creationTimestamp", "metadata.deletionTimestamp"] {
        if tree::is_set(old, path) {
            tree::copy(new, old, path);
        }
    }
    tree::remove(new, "metadata.selfLink");
}
