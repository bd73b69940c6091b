//! Defaults of pods and pod templates that depend on other fields.
//!
//! Upstream gives a Pod some defaults that a template does not get (requests from limits, host ports, service links), so
//! that a template stays as its author wrote it; [`pod`] is for Pods, [`template_spec`] for both.

use std::collections::BTreeMap;

use serde_json::{Map as Json, Value, json};

use super::defaults::{set, text};
use crate::quantity::Quantity;

/// What a pod's spec gets, in a Pod or in a template.
pub fn template_spec(spec: &mut Json<String, Value>) {
    for (field, default) in
        [("dnsPolicy", "ClusterFirst"), ("restartPolicy", "Always"), ("schedulerName", "default-scheduler")]
    {
        if text(spec, field).is_empty() {
            spec.insert(field.to_owned(), default.into());
        }
    }
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "securityContext", json!({}));
    // The older name of the field is kept equal to the newer one.
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.insert("serviceAccountName".to_owned(), name.clone().into());
        spec.insert("serviceAccount".to_owned(), name.into());
    }
}

/// What only a Pod gets.
pub fn pod(pod: &mut Json<String, Value>) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    set(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default();
    for field in ["containers", "initContainers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
    whole_pod(spec);
}

/// Amounts by resource.
type Amounts = BTreeMap<String, Quantity>;

fn amounts(resources: Option<&Value>, kind: &str) -> Amounts {
    let entries = resources.and_then(|resources| resources.get(kind)).and_then(Value::as_object);
    let parse = |text: &Value| Quantity::parse(text.as_str().unwrap_or_default()).unwrap_or_default();
    entries.into_iter().flatten().map(|(name, amount)| (name.clone(), parse(amount))).collect()
}

/// What a pod's containers need at least: those that run together in sum, or the init container that needs the most.
pub fn container_requests(spec: &Value) -> Amounts {
    aggregate(spec, "requests")
}

fn aggregate(spec: &Value, kind: &str) -> Amounts {
    let list = |field: &str| spec.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let add = |sum: &mut Amounts, own: &Amounts| {
        own.iter().for_each(|(name, amount)| *sum.entry(name.clone()).or_default() += *amount);
    };
    let most = |sum: &mut Amounts, own: &Amounts| {
        for (name, amount) in own {
            let entry = sum.entry(name.clone()).or_default();
            *entry = (*entry).max(*amount);
        }
    };
    let mut sum = Amounts::new();
    for container in list("containers") {
        add(&mut sum, &amounts(container.get("resources"), kind));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in list("initContainers") {
        let mut own = amounts(container.get("resources"), kind);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            add(&mut own, &sidecars);
        }
        most(&mut init, &own);
    }
    most(&mut sum, &init);
    sum
}

/// Resources of the whole pod (KEP-2837): what is half said there follows from the containers.
fn whole_pod(spec: &mut Json<String, Value>) {
    if spec.get("resources").is_none_or(Value::is_null) {
        return;
    }
    let copy = Value::Object(spec.clone());
    let is_huge = |name: &str| name.starts_with("hugepages-");
    let asked = aggregate(&copy, "requests");
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let insert = |resources: &mut Json<String, Value>, kind: &str, name: &str, amount: Quantity| {
        set(resources, kind, json!({}));
        if let Some(all) = resources.get_mut(kind).and_then(Value::as_object_mut)
            && !all.contains_key(name)
        {
            all.insert(name.to_owned(), amount.to_string().into());
        }
    };
    // Huge pages cannot be promised twice: the containers' are the pod's limit.
    let pages = aggregate(&copy, "limits");
    for (name, amount) in pages.iter().filter(|(name, _)| is_huge(name)) {
        insert(resources, "limits", name, *amount);
    }
    let limits = amounts(copy.get("resources"), "limits");
    if limits.is_empty() {
        return;
    }
    for (name, amount) in asked.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory")) {
        insert(resources, "requests", name, *amount);
    }
    let whole = Value::Object(resources.clone());
    for (name, amount) in amounts(Some(&whole), "limits") {
        if matches!(name.as_str(), "cpu" | "memory") || is_huge(&name) {
            insert(resources, "requests", &name, amount);
        }
    }
}

/// All defaults of a pod's spec, for code that makes a Pod out of a template's spec.
pub fn pod_spec(spec: &mut Value) {
    let mut whole = json!({ "spec": spec.take() });
    if let Some(schema) = super::builtin().lookup("io.k8s.api.core.v1.Pod") {
        super::apply_defaults(&mut whole, schema);
    }
    *spec = whole.get_mut("spec").map(Value::take).unwrap_or_default();
}

pub fn container(container: &mut Json<String, Value>) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = if is_latest(text(container, "image")) { "Always" } else { "IfNotPresent" };
        container.insert("imagePullPolicy".to_owned(), policy.into());
    }
    for (field, default) in [("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File")] {
        if text(container, field).is_empty() {
            container.insert(field.to_owned(), default.into());
        }
    }
}

/// Whether an image is named by the tag `latest`, or by neither tag nor digest. What is no image's name is not.
pub fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let (repository, tag) = last.split_once(':').map_or((last, None), |(name, tag)| (name, Some(tag)));
    // The first part may be a host, which may have capital letters and a port.
    let parts = path.split('/').skip(usize::from(path.contains(['.', ':']) || path == "localhost"));
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let named = is_part(repository) && (path.is_empty() || parts.into_iter().all(is_part));
    named && tag.map_or(digest.is_none(), |tag| tag == "latest")
}

fn requests_from_limits(container: &mut Json<String, Value>) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    set(resources, "requests", json!({}));
    if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
        for (resource, amount) in limits {
            requests.entry(resource).or_insert(amount);
        }
    }
}

fn host_ports(container: &mut Json<String, Value>) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        let unset = port.get("hostPort").is_none_or(|host| host.is_null() || *host == json!(0));
        if unset && let Some(number) = port.get("containerPort").cloned() {
            port.insert("hostPort".to_owned(), number);
        }
    }
}
