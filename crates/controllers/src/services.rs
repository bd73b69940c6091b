//! What a Service's endpoints are made of, for EndpointSlices and Endpoints alike: its pods, their addresses, its ports.

use api::{Gvr, Key, Object};
use cache::{Change, PlanError, Snapshot};
use serde_json::{Value, json};

use crate::labels::map_selects;
use crate::pods::{PODS, is_ready, is_terminal};
use crate::tree::{Tree, set, tree_of};

pub(crate) const SERVICES: Gvr = Gvr::new("", "v1", "services");
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// A pod behind a Service.
pub(crate) struct Backend {
    pub object: Object,
    pub tree: Value,
    pub ready: bool,
    pub terminating: bool,
}

/// The keys of the Services that select a pod, before and after a change.
pub(crate) fn service_keys(snapshot: &Snapshot, change: &Change) -> Vec<Key> {
    let mut keys = std::collections::BTreeSet::new();
    for pod in change.before.iter().chain(&change.after) {
        let selects = |service: &&Object| service.tree().is_ok_and(|tree| map_selects(tree.at("spec.selector"), pod));
        keys.extend(snapshot.list(&SERVICES, Some(pod.namespace())).filter(selects).map(Object::key));
    }
    keys.into_iter().collect()
}

/// Whether endpoints are made for the Service: it selects pods and is no alias.
pub(crate) fn is_served(service: &Value) -> bool {
    service.at("spec.selector").as_object().is_some_and(|selector| !selector.is_empty())
        && service.text("spec.type") != "ExternalName"
}

/// The Service's pods that have an address and have not ended, in name order.
pub(crate) fn backends(snapshot: &Snapshot, service: &Value, namespace: &str) -> Result<Vec<Backend>, PlanError> {
    let mut backends = Vec::new();
    for object in snapshot.list(&PODS, Some(namespace)) {
        if !map_selects(service.at("spec.selector"), object) {
            continue;
        }
        let tree = tree_of(object)?;
        if is_terminal(&tree) || tree.items("status.podIPs").is_empty() && tree.text("status.podIP").is_empty() {
            continue;
        }
        let ready = is_ready(&tree);
        backends.push(Backend { object: object.clone(), ready, terminating: object.is_deleting(), tree });
    }
    Ok(backends)
}

impl Backend {
    /// The pod's addresses of one family.
    pub fn addresses(&self, is_v6: bool) -> Vec<&str> {
        let listed = self.tree.items("status.podIPs").iter().map(|ip| ip.text("ip"));
        let single = self.tree.items("status.podIPs").is_empty().then(|| self.tree.text("status.podIP"));
        listed.chain(single).filter(|ip| !ip.is_empty() && ip.contains(':') == is_v6).collect()
    }

    pub fn reference(&self) -> Value {
        json!({
            "kind": "Pod",
            "namespace": self.object.namespace(),
            "name": self.object.name(),
            "uid": self.object.uid(),
        })
    }

    /// The pod's own name in DNS, if it has one below this Service.
    pub fn hostname(&self, service: &Value) -> Option<&str> {
        let hostname = self.tree.text("spec.hostname");
        let below = self.tree.text("spec.subdomain") == service.text("metadata.name");
        (below && !hostname.is_empty()).then_some(hostname)
    }

    /// The Service's ports as this pod has them. A port that the pod does not name is left out.
    pub fn ports(&self, service: &Value) -> Vec<Value> {
        let mut ports = Vec::new();
        for port in service.items("spec.ports") {
            let protocol = if port.text("protocol").is_empty() { "TCP" } else { port.text("protocol") };
            let Some(number) = self.target_port(port, protocol) else { continue };
            let mut found = json!({"name": port.text("name"), "port": number, "protocol": protocol});
            if !port.at("appProtocol").is_null() {
                set(&mut found, "appProtocol", port.at("appProtocol").clone());
            }
            ports.push(found);
        }
        ports
    }

    fn target_port(&self, port: &Value, protocol: &str) -> Option<i64> {
        match port.at("targetPort") {
            Value::String(name) => {
                let sidecars = self.tree.items("spec.initContainers").iter();
                let sidecars = sidecars.filter(|container| container.text("restartPolicy") == "Always");
                let containers = self.tree.items("spec.containers").iter().chain(sidecars);
                let mut named = containers.flat_map(|container| container.items("ports")).filter(|candidate| {
                    let its = candidate.text("protocol");
                    candidate.text("name") == name && (if its.is_empty() { "TCP" } else { its }) == protocol
                });
                named.next().map(|found| found.int("containerPort"))
            }
            Value::Number(number) if number.as_i64() != Some(0) => number.as_i64(),
            _ => Some(port.int("port")),
        }
    }
}

/// The Service's labels, and the mark of a headless one.
pub(crate) fn labels_of(service: &Value) -> Value {
    let mut labels = service.at("metadata.labels").clone();
    if !labels.is_object() {
        labels = json!({});
    }
    if service.text("spec.clusterIP") == "None" {
        labels[HEADLESS_LABEL] = json!("");
    }
    labels
}
