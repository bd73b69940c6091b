//! What of a pod may change.

use std::collections::BTreeMap;

use api::status::Cause;
use api::validation::Path;
use serde_json::{Value, json};

use super::annotations::{self, APPARMOR, MIRROR};
use super::tolerations;
use crate::internal_form;
use crate::tree;

const CHANGEABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const DEADLINE_MAX: i64 = i32::MAX as i64;

pub fn validate(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = annotation_changes(new, old);
    let path = Path::new("spec");
    let empty = json!({});
    let (new, old) = (new.get("spec").unwrap_or(&empty), old.get("spec").unwrap_or(&empty));
    for list in ["containers", "initContainers"] {
        if !images(new, old, list, &path.child(list), &mut causes) {
            return causes;
        }
    }
    if !deadline(new, old, &path.child("activeDeadlineSeconds"), &mut causes) {
        return causes;
    }
    added_tolerations(new, old, &path.child("tolerations"), &mut causes);
    removed_gates(new, old, &path.child("schedulingGates"), &mut causes);
    if new == old {
        return causes;
    }
    // With all that may change made the same, the rest must be the same.
    let mut munged = new.clone();
    munge(&mut munged, old);
    if !tree::list(old, "schedulingGates").is_empty() {
        gated(&mut munged, old, &path, &mut causes);
    }
    if munged != *old {
        let told = internal_form::diff("PodSpec", old, &munged);
        causes.push(path.forbidden(&format!("{CHANGEABLE}\n{told}")));
    }
    causes
}

/// Annotations that speak of a running pod stay; those that mean something are checked again.
pub(super) fn annotation_changes(new: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("metadata").child("annotations");
    let mut causes = Vec::new();
    let (after, before): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (annotations::all(new).collect(), annotations::all(old).collect());
    for (name, _) in before.iter().filter(|(name, value)| after.get(*name) != Some(value)) {
        if name.starts_with(APPARMOR) {
            causes.push(path.key(name).forbidden("may not remove or update AppArmor annotations"));
        }
        if *name == MIRROR {
            causes.push(path.key(name).forbidden("may not remove or update mirror pod annotation"));
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        if name.starts_with(APPARMOR) {
            causes.push(path.key(name).forbidden("may not add AppArmor annotations"));
        }
        if *name == MIRROR {
            causes.push(path.key(name).forbidden("may not add mirror pod annotation"));
        }
    }
    annotations::pod(new, &path, &mut causes);
    causes
}

/// False when the lists cannot be compared any further.
fn images(new: &Value, old: &Value, list: &str, path: &Path, out: &mut Vec<Cause>) -> bool {
    let containers = tree::list(new, list);
    if containers.len() != tree::list(old, list).len() {
        out.push(path.forbidden("pod updates may not add or remove containers"));
        return false;
    }
    for (i, container) in containers.iter().enumerate() {
        if tree::text(container, "image").is_empty() {
            out.push(path.index(i).child("image").required(""));
        }
        super::containers::trimmed_image(container, &path.index(i), out);
    }
    true
}

/// A deadline may come, and come nearer.
fn deadline(new: &Value, old: &Value, path: &Path, out: &mut Vec<Cause>) -> bool {
    let before = tree::int(old, "activeDeadlineSeconds");
    match (tree::int(new, "activeDeadlineSeconds"), before) {
        (Some(secs), _) if !(0..=DEADLINE_MAX).contains(&secs) => {
            out.push(path.invalid(secs, &format!("must be between 0 and {DEADLINE_MAX}, inclusive")));
            return false;
        }
        (Some(secs), Some(before)) if before < secs => {
            out.push(path.invalid(secs, "must be less than or equal to previous value"));
            return false;
        }
        (None, Some(_)) => {
            out.push(path.invalid(Value::Null, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
    true
}

fn added_tolerations(new: &Value, old: &Value, path: &Path, out: &mut Vec<Cause>) {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        tree::remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let all = tree::list(new, "tolerations");
    let kept: Vec<Value> = all.iter().map(timeless).collect();
    if tree::list(old, "tolerations").iter().any(|toleration| !kept.contains(&timeless(toleration))) {
        out.push(path.forbidden("existing toleration can not be modified except its tolerationSeconds"));
        return;
    }
    out.extend(tolerations(all, path));
}

fn removed_gates(new: &Value, old: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = |gate: &Value| tree::text(gate, "name").to_owned();
    let before: Vec<String> = tree::list(old, "schedulingGates").iter().map(name).collect();
    for (i, gate) in tree::list(new, "schedulingGates").iter().enumerate() {
        let name = tree::text(gate, "name");
        if !before.iter().any(|before| before == name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            out.push(path.index(i).child("name").forbidden(&why));
        }
    }
}

fn munge(munged: &mut Value, old: &Value) {
    for list in ["containers", "initContainers"] {
        if !tree::list(munged, list).is_empty() {
            for (container, before) in tree::list_mut(munged, list).iter_mut().zip(tree::list(old, list)) {
                tree::copy(container, before, "image");
            }
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        tree::copy(munged, old, field);
    }
    let grace = |spec: &Value| tree::int(spec, "terminationGracePeriodSeconds");
    if grace(munged) == Some(1) && grace(old).is_some_and(|secs| secs < 0) {
        tree::copy(munged, old, "terminationGracePeriodSeconds");
    }
}

/// Nobody has looked for a node for a gated pod yet, so what it asks of nodes may still become more.
fn gated(munged: &mut Value, old: &Value, path: &Path, out: &mut Vec<Cause>) {
    const TERMS: &str = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let labels = |spec: &Value| tree::at(spec, "nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
    let (after, before) = (labels(munged), labels(old));
    if before.iter().any(|(label, value)| after.get(label) != Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        out.push(path.child("nodeSelector").invalid(Value::Object(after), why));
    }
    tree::copy(munged, old, "nodeSelector");
    let (after, before) = (tree::list(munged, TERMS).to_vec(), tree::list(old, TERMS));
    let at = path.child(TERMS);
    if !before.is_empty() && before.len() != after.len() {
        let shown: Vec<String> = after.iter().map(|term| internal_form::shown("NodeSelectorTerm", term)).collect();
        let shown = if after.is_empty() { "null".to_owned() } else { format!("[{}]", shown.join(",")) };
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let message = format!("Invalid value: {shown}: {why}");
        out.push(Cause { message, ..at.invalid("", why) });
    } else {
        for (i, (after, before)) in after.iter().zip(before).enumerate().filter(|(_, (a, b))| !only_adds(a, b)) {
            debug_assert!(after != before);
            let why = "only additions are allowed (no mutations or deletions)";
            out.push(internal_form::invalid(&at.index(i), "NodeSelectorTerm", after, why));
        }
    }
    match tree::at(old, "affinity.nodeAffinity").cloned() {
        Some(before) => tree::set(munged, "affinity.nodeAffinity", before),
        None => drop(tree::remove(munged, "affinity.nodeAffinity")),
    }
    let rest = tree::at(munged, "affinity").and_then(Value::as_object);
    if rest.is_some_and(serde_json::Map::is_empty) && !tree::is_set(old, "affinity") {
        tree::remove(munged, "affinity");
    }
}

fn only_adds(after: &Value, before: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    if lists.iter().all(|list| tree::list(before, list).is_empty()) {
        return lists.iter().all(|list| tree::list(after, list).is_empty());
    }
    lists.iter().all(|list| tree::list(after, list).starts_with(tree::list(before, list)))
}
