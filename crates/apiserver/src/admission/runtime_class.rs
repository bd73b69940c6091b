//! RuntimeClass: a pod's class says what running it costs besides its containers, and on which nodes it can run.

use api::{Gvr, Status};
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "RuntimeClass", mutate: Some(mutate), validate: Some(validate) };

const CLASSES: Gvr = Gvr::new("node.k8s.io", "v1", "runtimeclasses");

/// The class of a pod that is created, if it names one.
fn class_of(attributes: &Attributes<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let name = tree::text(pod, "spec.runtimeClassName");
    if !attributes.creates_pod() || name.is_empty() {
        return Ok(None);
    }
    let found = attributes.cached(&CLASSES, "", name);
    let why = format!("pod rejected: RuntimeClass {name:?} not found");
    let found = found.ok_or_else(|| attributes.forbidden(&why))?;
    found.tree().map(Some).map_err(Status::internal)
}

fn mutate(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    let Some(class) = class_of(attributes, pod)? else { return Ok(()) };
    if let Some(overhead) = tree::at(&class, "overhead.podFixed") {
        if tree::at(pod, "spec.overhead").is_some_and(|asked| asked != overhead) {
            return Err(other_overhead(attributes));
        }
        tree::set(pod, "spec.overhead", overhead.clone());
    }
    let labels = tree::at(&class, "scheduling.nodeSelector").and_then(Value::as_object);
    for (key, wanted) in labels.into_iter().flatten() {
        let selector = tree::map_mut(pod, "spec.nodeSelector");
        if let Some(asked) = selector.get(key).filter(|asked| *asked != wanted) {
            let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                shown(wanted),
                shown(asked)
            );
            return Err(attributes.forbidden(&why));
        }
        selector.insert(key.clone(), wanted.clone());
    }
    for toleration in tree::list(&class, "scheduling.tolerations") {
        let tolerations = tree::list_mut(pod, "spec.tolerations");
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    Ok(())
}

fn other_overhead(attributes: &Attributes<'_>) -> Status {
    attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
}

fn validate(attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
    if !attributes.creates_pod() {
        return Ok(());
    }
    let class = class_of(attributes, pod)?;
    let given = class.as_ref().and_then(|class| tree::at(class, "overhead.podFixed"));
    match (given, tree::at(pod, "spec.overhead")) {
        (Some(given), asked) if asked != Some(given) => Err(other_overhead(attributes)),
        (None, Some(_)) => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            Err(attributes.forbidden(why))
        }
        _ => Ok(()),
    }
}
