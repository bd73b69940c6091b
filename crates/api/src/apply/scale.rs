//! Who owns the replicas of an object, told to those who see it as a Scale, and taken back from them.
//!
//! A Scale shows only the owners of its replicas. What a write to it changed goes back to the object: who no longer owns
//! the replicas there loses them here, and new owners appear with nothing but the replicas.

use serde_json::Value;

use super::managed::{self, Entry};
use super::set::Set;

const SCALE_VERSION: &str = "autoscaling/v1";
const REPLICAS_IN_SCALE: &str = "spec.replicas";

/// Writes the owners of the field at `replicas` (a dotted path) of the object into its Scale.
pub fn show_owners(object: &Value, scale: &mut Value, replicas: &str) {
    let here = path(replicas);
    let owners = managed::read(object).into_iter().filter(|entry| has(&entry.set, &here));
    let shown = owners.map(|entry| Entry {
        api_version: SCALE_VERSION.to_owned(),
        set: only(&path(REPLICAS_IN_SCALE)),
        ..entry
    });
    let shown: Vec<Entry> = shown.collect();
    managed::write(scale, shown);
}

/// Takes the owners of the Scale's replicas back into the object, whose version is `api_version`.
pub fn take_owners(object: &mut Value, scale: &Value, replicas: &str, api_version: &str) {
    let (here, there) = (path(replicas), path(REPLICAS_IN_SCALE));
    let owners: Vec<Entry> = managed::read(scale).into_iter().filter(|entry| has(&entry.set, &there)).collect();
    let mut entries = Vec::new();
    for entry in managed::read(object) {
        let still = owners.iter().any(|owner| is_same(owner, &entry));
        let set = if still { entry.set.clone() } else { entry.set.difference(&only(&here)) };
        entries.push(Entry { set, ..entry });
    }
    for owner in owners {
        if !entries.iter().any(|entry| is_same(&owner, entry) && has(&entry.set, &here)) {
            entries.push(Entry { api_version: api_version.to_owned(), set: only(&here), ..owner });
        }
    }
    managed::write(object, entries);
}

/// The same manager, whatever version it is written in.
fn is_same(one: &Entry, other: &Entry) -> bool {
    one.manager == other.manager && one.operation == other.operation && one.subresource == other.subresource
}

fn path(dotted: &str) -> Vec<String> {
    dotted.split('.').map(|name| format!("f:{name}")).collect()
}

fn only(path: &[String]) -> Set {
    let mut set = Set::default();
    set.insert(path);
    set
}

fn has(set: &Set, path: &[String]) -> bool {
    let mut at = set;
    for step in path {
        match at.children.get(step) {
            Some(child) => at = child,
            None => return false,
        }
    }
    at.own
}
