//! pods/ephemeralcontainers and pods/resize: what each of them may change.

use api::quantity::Quantity;
use api::status::Cause;
use api::validation::Path;
use serde_json::{Map, Value};

use super::annotations::is_mirror;
use super::containers::is_sidecar;
use super::update::annotation_changes;
use crate::internal_form;
use crate::tree;

/// A write to one of these parts of a pod.
pub fn part(part: &str, new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = super::validate(new);
    if part == "resize" {
        return resize(new, old, causes);
    }
    causes.extend(annotation_changes(new, old));
    if is_mirror(old) {
        return vec![Path::default().forbidden("static pods do not support ephemeral containers")];
    }
    let path = Path::new("spec").child("ephemeralContainers");
    let containers = tree::list(new, "spec.ephemeralContainers");
    for before in tree::list(old, "spec.ephemeralContainers") {
        let name = tree::text(before, "name");
        match containers.iter().find(|container| tree::text(container, "name") == name) {
            None => {
                let why = format!("existing ephemeral containers {name:?} may not be removed\n");
                causes.push(path.forbidden(&why));
            }
            Some(after) if after != before => {
                let told = internal_form::diff("EphemeralContainer", before, after);
                let why = format!("existing ephemeral containers {name:?} may not be changed\n{told}");
                causes.push(path.forbidden(&why));
            }
            Some(_) => {}
        }
    }
    causes
}

/// Takes from the old pod all but what a resize may write. Containers that were added, removed, renamed or moved stay as
/// they were sent, for validation to refuse.
pub fn keep_resizable(new: &mut Value, wanted: &Value) {
    let names = |pod: &Value, list: &str| -> Vec<String> {
        tree::list(pod, list).iter().map(|container| tree::text(container, "name").to_owned()).collect()
    };
    let lists = ["spec.containers", "spec.initContainers"];
    if lists.iter().any(|list| names(new, list).len() != names(wanted, list).len()) {
        tree::copy(new, wanted, "spec");
        return;
    }
    tree::copy(new, wanted, "spec.resources");
    for list in lists {
        if names(new, list) != names(wanted, list) {
            tree::copy(new, wanted, list);
            continue;
        }
        if tree::list(wanted, list).is_empty() {
            continue;
        }
        for (container, wanted) in tree::list_mut(new, list).iter_mut().zip(tree::list(wanted, list)) {
            tree::copy(container, wanted, "resources");
            tree::copy(container, wanted, "resizePolicy");
        }
    }
}

fn resize(new: &Value, old: &Value, mut causes: Vec<Cause>) -> Vec<Cause> {
    let whole = Path::default();
    if is_mirror(old) {
        return vec![whole.forbidden("static pods cannot be resized")];
    }
    if tree::text(old, "spec.os.name") == "windows" {
        return vec![whole.forbidden("windows pods cannot be resized")];
    }
    let path = Path::new("spec");
    let lists = ["containers", "initContainers"];
    let of = |pod: &'_ Value, list: &str| tree::list(pod, &format!("spec.{list}")).to_vec();
    if let Some(list) = lists.into_iter().find(|list| of(new, list).len() != of(old, list).len()) {
        causes.push(path.child(list).forbidden("containers may not be added or removed on resize"));
        return causes;
    }
    let before = match tree::text(old, "status.qosClass") {
        "" => qos(old),
        class => class,
    };
    if before != qos(new) {
        let class = tree::text(new, "status.qosClass");
        causes.push(path.invalid(class, "Pod QOS Class may not change as a result of resizing"));
    }
    let running =
        tree::list(old, "status.containerStatuses").iter().find(|status| tree::is_set(status, "state.running"));
    if running.is_some_and(|status| !tree::is_set(status, "resources")) {
        causes.push(path.forbidden("Pod running on node without support for resize"));
    }
    for list in ["initContainers", "containers"] {
        for (i, (after, before)) in of(new, list).iter().zip(&of(old, list)).enumerate() {
            if list == "containers" || is_sidecar(before) {
                amounts(after, before, &path.child(list).index(i).child("resources"), &mut causes);
            }
        }
    }
    for list in lists {
        for (after, before) in of(new, list).iter().zip(&of(old, list)) {
            causes.extend(immutable(after, before, list).map(|why| path.forbidden(why)));
        }
    }
    causes
}

fn list<'a>(container: &'a Value, kind: &str) -> Option<&'a Map<String, Value>> {
    tree::at(container, &format!("resources.{kind}")).and_then(Value::as_object)
}

/// Amounts change; none comes or goes that the container would have to be restarted for.
fn amounts(after: &Value, before: &Value, path: &Path, out: &mut Vec<Cause>) {
    for kind in ["requests", "limits"] {
        let kept = |name: &String| list(after, kind).is_some_and(|amounts| amounts.contains_key(name));
        if list(before, kind).is_some_and(|amounts| amounts.keys().any(|name| !kept(name))) {
            out.push(path.child(kind).forbidden(&format!("resource {kind} cannot be removed")));
        }
    }
    let memory = tree::list(after, "resizePolicy").iter().find(|policy| tree::text(policy, "resourceName") == "memory");
    let restarts = memory.is_some_and(|policy| tree::text(policy, "restartPolicy") == "RestartContainer");
    let limit = |container: &Value| {
        let text = list(container, "limits")?.get("memory")?.as_str()?;
        Quantity::parse(text).ok()
    };
    if restarts {
        return;
    }
    let at = path.child("limits").key("memory");
    if let (Some(_), None) = (limit(after), limit(before)) {
        out.push(at.forbidden("memory limits cannot be added unless resizePolicy is RestartContainer"));
    }
}

/// Why the container may not be changed so, when it changed in anything but its CPU and memory.
fn immutable(after: &Value, before: &Value, kind: &str) -> Option<&'static str> {
    let resizable = kind == "containers" || is_sidecar(before);
    let mut munged = after.clone();
    if resizable {
        for kind in ["limits", "requests"] {
            let path = format!("resources.{kind}");
            for name in ["cpu", "memory"] {
                match list(before, kind).and_then(|amounts| amounts.get(name)) {
                    Some(amount) => {
                        tree::map_mut(&mut munged, &path).insert(name.to_owned(), amount.clone());
                    }
                    None => drop(tree::remove(&mut munged, &format!("{path}.{name}"))),
                }
            }
            if tree::at(&munged, &path).and_then(Value::as_object).is_some_and(Map::is_empty) {
                tree::remove(&mut munged, &path);
            }
        }
    }
    if munged == *before {
        return None;
    }
    Some(match (kind, resizable) {
        ("containers", _) => "only cpu and memory resources are mutable",
        (_, true) => "only cpu and memory resources for sidecar containers are mutable",
        (_, false) => "resources for non-sidecar init containers are immutable",
    })
}

fn qos(pod: &Value) -> &'static str {
    api::usage::qos_class(tree::at(pod, "spec").unwrap_or(&Value::Null))
}
