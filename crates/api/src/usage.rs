//! How much of a namespace's quota an object uses, and which quotas are about it. Admission asks before it writes, the
//! quota controller when it counts anew: both count by these rules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::name::Gvr;
use crate::quantity::{Format, Quantity};
use crate::selector::{Operator, Requirement};

/// Amounts of resources by name.
pub type Amounts = BTreeMap<String, Quantity>;

const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// What containers must say when a quota holds it down.
const ASKED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
/// Kinds that are also counted by their bare name.
const BARE: &[&str] = &["configmaps", "secrets", "resourcequotas", "replicationcontrollers"];

fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(tree, |value, step| value.get(step))
}

fn text<'a>(tree: &'a Value, path: &str) -> &'a str {
    at(tree, path).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(tree: &'a Value, path: &str) -> &'a [Value] {
    at(tree, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The amounts of a map of quantities.
pub fn amounts(map: Option<&Value>) -> Amounts {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?))).collect()
}

pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |present| *present + *amount);
        total.insert(name.clone(), sum);
    }
}

fn at_least(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let larger = total.get(name).map_or(*amount, |present| (*present).max(*amount));
        total.insert(name.clone(), larger);
    }
}

fn whole(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::Decimal)
}

/// The `requests` or `limits` of a whole pod: of its containers together, or of what starts it if that needs more.
pub fn pod_total(spec: &Value, kind: &str) -> Amounts {
    let of = |container: &Value| amounts(at(container, &format!("resources.{kind}")));
    let mut total = Amounts::new();
    items(spec, "containers").iter().for_each(|container| add(&mut total, &of(container)));
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in items(spec, "initContainers") {
        let mut need = of(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &need);
            add(&mut sidecars, &need);
            at_least(&mut peak, &sidecars);
        } else {
            add(&mut need, &sidecars);
            at_least(&mut peak, &need);
        }
    }
    at_least(&mut total, &peak);
    total.extend(of(spec));
    for (name, amount) in amounts(spec.get("overhead")) {
        if kind == "requests" || total.get(&name).is_some_and(|limit| !limit.is_zero()) {
            add(&mut total, &Amounts::from([(name, amount)]));
        }
    }
    total
}

/// `count/deployments.apps`.
fn count_name(resource: &Gvr) -> String {
    match &*resource.group {
        "" => format!("count/{}", resource.resource),
        group => format!("count/{}.{group}", resource.resource),
    }
}

/// What one object uses.
pub fn usage(resource: &Gvr, object: &Value, now: Timestamp) -> Amounts {
    let one = whole(1);
    let mut used = Amounts::from([(count_name(resource), one)]);
    match (&*resource.group, &*resource.resource) {
        ("", "pods") if runs(object, now) => {
            used.insert("pods".to_owned(), one);
            let spec = &object["spec"];
            add(&mut used, &compute(&pod_total(spec, "requests"), &pod_total(spec, "limits")));
        }
        ("", "services") => add(&mut used, &service(object)),
        ("", "persistentvolumeclaims") => add(&mut used, &claim(object)),
        ("resource.k8s.io", "resourceclaims") => add(&mut used, &devices(object)),
        ("", name) if BARE.contains(&name) => drop(used.insert(name.to_owned(), one)),
        _ => {}
    }
    used
}

/// A pod that is over uses nothing but its place.
fn runs(pod: &Value, now: Timestamp) -> bool {
    let over = matches!(text(pod, "status.phase"), "Failed" | "Succeeded");
    let deadline = text(pod, "metadata.deletionTimestamp").parse::<Timestamp>();
    !over && deadline.map_or(true, |deadline| now < deadline)
}

fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::new();
    for (name, amount) in requests {
        if COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), *amount);
        }
        if COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-") || name.contains('/') {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| COMPUTE.contains(&name.as_str())) {
        used.insert(format!("limits.{name}"), *amount);
    }
    used
}

fn service(service: &Value) -> Amounts {
    let ports = items(service, "spec.ports");
    let kind = text(service, "spec.type");
    let allocates = at(service, "spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => ports.iter().filter(|port| port.get("nodePort").is_some_and(|port| port != 0)).count(),
        _ => 0,
    };
    Amounts::from([
        ("services".to_owned(), whole(1)),
        ("services.nodeports".to_owned(), whole(node_ports)),
        ("services.loadbalancers".to_owned(), whole(usize::from(kind == "LoadBalancer"))),
    ])
}

fn claim(claim: &Value) -> Amounts {
    let asked = amounts(at(claim, "spec.resources.requests"));
    let given = amounts(at(claim, "status.allocatedResources"));
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), whole(1))]);
    let storage = [asked.get("storage"), given.get("storage")].into_iter().flatten().max().copied();
    let annotation =
        at(claim, "metadata.annotations").and_then(|all| all.get("volume.beta.kubernetes.io/storage-class"));
    let class = annotation.and_then(Value::as_str).unwrap_or_else(|| text(claim, "spec.storageClassName"));
    let of_class = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
    if !class.is_empty() {
        used.insert(of_class("persistentvolumeclaims"), whole(1));
    }
    if let Some(storage) = storage {
        used.insert("requests.storage".to_owned(), storage);
        if !class.is_empty() {
            used.insert(of_class("requests.storage"), storage);
        }
    }
    used
}

fn devices(claim: &Value) -> Amounts {
    let mut used = Amounts::new();
    for request in items(claim, "spec.devices.requests") {
        let exact = request.get("exactly").or_else(|| items(request, "firstAvailable").first());
        let Some(exact) = exact else { continue };
        let count = exact.get("count").and_then(Value::as_i64).unwrap_or(1);
        let name = format!("{}.deviceclass.resource.k8s.io/devices", text(exact, "deviceClassName"));
        add(&mut used, &Amounts::from([(name, Quantity::new(count, Format::Decimal))]));
    }
    used
}

/// Whether objects of the resource can use what a quota calls `name`.
pub fn concerns(resource: &Gvr, name: &str) -> bool {
    if name == count_name(resource) {
        return true;
    }
    let bare = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| COMPUTE.contains(&rest));
    match (&*resource.group, &*resource.resource) {
        ("", "pods") => {
            name == "pods"
                || bare("")
                || bare("requests.")
                || bare("limits.")
                || name.starts_with("hugepages-")
                || name
                    .strip_prefix("requests.")
                    .is_some_and(|rest| rest.starts_with("hugepages-") || rest.contains('/'))
        }
        ("", "services") => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        ("", "persistentvolumeclaims") => {
            matches!(name, "persistentvolumeclaims" | "requests.storage")
                || name.contains(".storageclass.storage.k8s.io/")
        }
        ("resource.k8s.io", "resourceclaims") => name.ends_with(".deviceclass.resource.k8s.io/devices"),
        ("", plural) => BARE.contains(&plural) && name == plural,
        _ => false,
    }
}

/// Whether the quota's scopes let it count the object.
pub fn in_scope(quota: &Value, resource: &Gvr, object: &Value) -> bool {
    let plain = items(quota, "spec.scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", Vec::new()));
    let chosen = items(quota, "spec.scopeSelector.matchExpressions").iter().map(|one| {
        let values = items(one, "values").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        (text(one, "scopeName"), text(one, "operator"), values)
    });
    plain.chain(chosen).all(|(scope, operator, values)| matches_scope(scope, operator, values, resource, object))
}

fn matches_scope(scope: &str, operator: &str, values: Vec<String>, resource: &Gvr, object: &Value) -> bool {
    let chosen = |value: &str| match operator {
        "Exists" => !value.is_empty(),
        operator => {
            let operator = match operator {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                _ => Operator::DoesNotExist,
            };
            let label = Some(value).filter(|value| !value.is_empty());
            Requirement::new("value", operator, values).is_ok_and(|requirement| requirement.matches(label))
        }
    };
    let spec = &object["spec"];
    match (&*resource.group, &*resource.resource, scope) {
        ("", "persistentvolumeclaims", "VolumeAttributesClass") => chosen(text(spec, "volumeAttributesClassName")),
        ("", "pods", "Terminating") => spec.get("activeDeadlineSeconds").is_some(),
        ("", "pods", "NotTerminating") => spec.get("activeDeadlineSeconds").is_none(),
        ("", "pods", "BestEffort") => qos_class(spec) == "BestEffort",
        ("", "pods", "NotBestEffort") => qos_class(spec) != "BestEffort",
        ("", "pods", "PriorityClass") => chosen(text(spec, "priorityClassName")),
        ("", "pods", "CrossNamespacePodAffinity") => crosses_namespaces(spec),
        _ => false,
    }
}

/// Guaranteed, Burstable or BestEffort, by the CPU and memory of the whole pod where it says them, or else of all its
/// containers.
pub fn qos_class(spec: &Value) -> &'static str {
    let whole = spec.get("resources").filter(|resources| {
        ["requests", "limits"]
            .iter()
            .any(|kind| resources.get(kind).and_then(Value::as_object).is_some_and(|map| !map.is_empty()))
    });
    let containers = || ["containers", "initContainers"].iter().flat_map(|list| items(spec, list));
    let holders: Vec<&Value> = whole.map_or_else(|| containers().collect(), |_| vec![spec]);
    let amount = |holder: &Value, kind: &str, name: &str| {
        let text = text(holder, &format!("resources.{kind}.{name}"));
        Quantity::parse(text).ok().filter(|quantity| !quantity.is_zero())
    };
    let (mut any, mut guaranteed) = (false, true);
    for holder in holders {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(holder, "requests", name), amount(holder, "limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn crosses_namespaces(spec: &Value) -> bool {
    let crosses = |term: &Value| !items(term, "namespaces").is_empty() || term.get("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let path = |rest: &str| format!("affinity.{kind}.{rest}");
        let required = items(spec, &path("requiredDuringSchedulingIgnoredDuringExecution")).iter();
        let preferred = items(spec, &path("preferredDuringSchedulingIgnoredDuringExecution")).iter();
        required.chain(preferred.filter_map(|weighted| weighted.get("podAffinityTerm"))).any(crosses)
    })
}

/// What each container must say because a quota holds it down, as `cpu for: a,b; memory for: a`; empty if all is said.
pub fn unsaid(pod: &Value, hard: &Amounts) -> String {
    let asked: Vec<&str> = ASKED.iter().copied().filter(|name| hard.contains_key(*name)).collect();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for list in ["spec.containers", "spec.initContainers"] {
        for container in items(pod, list) {
            let of = |kind: &str| amounts(at(container, &format!("resources.{kind}")));
            let said = compute(&of("requests"), &of("limits"));
            for name in asked.iter().filter(|name| !said.contains_key(**name)) {
                missing.entry(name).or_default().push(text(container, "name"));
            }
        }
    }
    let lines = missing.into_iter().map(|(name, mut containers)| {
        containers.sort_unstable();
        containers.dedup();
        format!("{name} for: {}", containers.join(","))
    });
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pods_class_is_by_the_whole_pod_or_by_every_container() {
        let one = json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1000m" } });
        let some = json!({ "requests": { "cpu": "1" } });
        let specs = [
            json!({ "containers": [{ "resources": one }] }),
            json!({ "containers": [{ "resources": one }, { "resources": some }] }),
            json!({ "containers": [{}, { "resources": { "limits": { "memory": "0", "x/y": "1" } } }] }),
            json!({ "containers": [{}, { "resources": some }], "resources": one }),
            json!({ "containers": [{ "resources": one }], "resources": {} }),
        ];
        expect![[r#"["Guaranteed", "Burstable", "BestEffort", "Guaranteed", "Guaranteed"]"#]]
            .assert_eq(&format!("{:?}", specs.each_ref().map(qos_class)));
    }
}
