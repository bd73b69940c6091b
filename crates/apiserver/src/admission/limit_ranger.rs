//! LimitRanger: containers get the namespace's default requests and limits, and nobody asks for too little or too much.

use api::quantity::Quantity;
use api::usage::{Amounts, amounts, pod_total};
use api::{Gvr, Status};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "LimitRanger", mutate: Some(mutate), validate: Some(validate) };

const LIMIT_RANGES: Gvr = Gvr::new("", "v1", "limitranges");
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Containers of a pod are fixed at its creation, but for a resize.
const LISTS: &[(&str, &str)] = &[("spec.containers", "container"), ("spec.initContainers", "init container")];

/// What the plug-in looks at: a pod or a claim, if any.
fn asks_for(attributes: &Attributes<'_>) -> Option<&'static str> {
    let resized = attributes.subresource == "resize" && attributes.operation == Operation::Update;
    let leaving = attributes.old.is_some_and(|old| tree::is_set(old, "metadata.deletionTimestamp"));
    if leaving || attributes.operation == Operation::Delete {
        None
    } else if attributes.creates_pod() || resized {
        Some("Pod")
    } else if attributes.is("", "persistentvolumeclaims") {
        Some("PersistentVolumeClaim")
    } else {
        None
    }
}

/// The limits of the namespace, of every LimitRange in it.
fn limits(attributes: &Attributes<'_>) -> Vec<Value> {
    let Some(table) = attributes.engine.table(&LIMIT_RANGES) else { return Vec::new() };
    let ranges = table.in_namespace(attributes.namespace).filter_map(|range| range.tree().ok());
    ranges.flat_map(|range| tree::list(&range, "spec.limits").to_vec()).collect()
}

fn mutate(attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
    if asks_for(attributes) != Some("Pod") {
        return Ok(());
    }
    let limits = limits(attributes);
    let of_containers = || limits.iter().filter(|limit| tree::text(limit, "type") == "Container");
    let (mut defaults, mut requests) = (serde_json::Map::new(), serde_json::Map::new());
    for limit in of_containers() {
        defaults.extend(limit.get("default").and_then(Value::as_object).cloned().unwrap_or_default());
        requests.extend(limit.get("defaultRequest").and_then(Value::as_object).cloned().unwrap_or_default());
    }
    let mut told = Vec::new();
    for (list, word) in LISTS {
        if !tree::is_set(object, list) {
            continue;
        }
        for container in tree::list_mut(object, list) {
            for (field, kind, wanted) in [("requests", "request", &requests), ("limits", "limit", &defaults)] {
                let given = fill(container, field, wanted);
                if !given.is_empty() {
                    let name = tree::text(container, "name");
                    told.push(format!("{} {kind} for {word} {name}", given.join(", ")));
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        tree::map_mut(object, "metadata.annotations").insert(ANNOTATION.to_owned(), text.into());
    }
    Ok(())
}

/// Gives the container what it does not ask for itself, and tells what.
fn fill(container: &mut Value, field: &str, wanted: &serde_json::Map<String, Value>) -> Vec<String> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let present = tree::map_mut(container, &format!("resources.{field}"));
    let mut given: Vec<String> = wanted.keys().filter(|name| !present.contains_key(*name)).cloned().collect();
    for name in &given {
        present.insert(name.clone(), wanted[name].clone());
    }
    given.sort();
    given
}

fn validate(attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let Some(kind) = asks_for(attributes) else { return Ok(()) };
    let mut errors = Vec::new();
    for limit in limits(attributes) {
        match (kind, tree::text(&limit, "type")) {
            ("Pod", "Container") => {
                for container in LISTS.iter().flat_map(|(list, _)| tree::list(object, list)) {
                    let of = |kind: &str| amounts(tree::at(container, &format!("resources.{kind}")));
                    errors.extend(bounds(&limit, &of("requests"), &of("limits")));
                }
            }
            ("Pod", "Pod") => {
                let spec = &object["spec"];
                errors.extend(bounds(&limit, &pod_total(spec, "requests"), &pod_total(spec, "limits")));
            }
            ("PersistentVolumeClaim", "PersistentVolumeClaim") => {
                let asked = amounts(tree::at(object, "spec.resources.requests"));
                errors.extend(claim_bounds(&limit, &asked));
            }
            _ => {}
        }
        if !errors.is_empty() {
            break;
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(attributes.forbidden(one)),
        many => Err(attributes.forbidden(&format!("[{}]", many.join(", ")))),
    }
}

fn bounds(limit: &Value, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let kind = tree::text(limit, "type");
    let of = |field: &str| amounts(limit.get(field)).into_iter();
    let pair = |name: &String| (requests.get(name).copied(), limits.get(name).copied());
    let least = of("min").filter_map(|(name, bound)| least(kind, &name, bound, pair(&name)));
    let most = of("max").filter_map(|(name, bound)| most(kind, &name, bound, pair(&name)));
    let ratio = of("maxLimitRequestRatio").filter_map(|(name, bound)| ratio(kind, &name, bound, pair(&name)));
    least.chain(most).chain(ratio).collect()
}

fn claim_bounds(limit: &Value, asked: &Amounts) -> Vec<String> {
    let kind = tree::text(limit, "type");
    let mut errors = Vec::new();
    for (name, bound) in amounts(limit.get("min")) {
        errors.extend(least(kind, &name, bound, (asked.get(&name).copied(), None)));
    }
    for (name, bound) in amounts(limit.get("max")) {
        let what = format!("maximum {name} usage per {kind} is {bound}");
        match asked.get(&name) {
            None => errors.push(format!("{what}.  No request is specified")),
            Some(request) if *request > bound => errors.push(format!("{what}, but request is {request}")),
            Some(_) => {}
        }
    }
    errors
}

/// A request and a limit, as far as there are.
type Pair = (Option<Quantity>, Option<Quantity>);

fn least(kind: &str, name: &str, bound: Quantity, (request, limit): Pair) -> Option<String> {
    let what = format!("minimum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (None, _) => Some(format!("{what}.  No request is specified")),
        (Some(request), _) if request < bound => Some(format!("{what}, but request is {request}")),
        (_, Some(limit)) if limit < bound => Some(format!("{what}, but limit is {limit}")),
        _ => None,
    }
}

fn most(kind: &str, name: &str, bound: Quantity, (request, limit): Pair) -> Option<String> {
    let what = format!("maximum {name} usage per {kind} is {bound}");
    match (request, limit) {
        (_, None) => Some(format!("{what}.  No limit is specified")),
        (_, Some(limit)) if limit > bound => Some(format!("{what}, but limit is {limit}")),
        (Some(request), _) if request > bound => Some(format!("{what}, but request is {request}")),
        _ => None,
    }
}

fn ratio(kind: &str, name: &str, bound: Quantity, (request, limit): Pair) -> Option<String> {
    let what = format!("{name} max limit to request ratio per {kind} is {bound}");
    let some = |amount: &Quantity| !amount.is_zero();
    let Some(request) = request.filter(some) else {
        return Some(format!("{what}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(some) else {
        return Some(format!("{what}, but no limit is specified or limit is 0"));
    };
    let ratio = limit.as_f64() / request.as_f64();
    (ratio > bound.as_f64()).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
}
