//! Defaults of pods and pod templates that depend on other fields.
//!
//! Upstream gives a Pod some defaults that a template does not get (requests from limits, host ports, service links), so
//! that a template stays as its author wrote it; [`pod`] is for Pods, [`template_spec`] for both.

use serde_json::{Map as Json, Value, json};

use super::defaults::{set, text};

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

/// Whether an image is named by the tag `latest`, or by neither tag nor digest.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, tag)), _) => tag == "latest",
        (None, digest) => digest.is_none(),
    }
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
