//! EndpointSlice: the pods behind each Service, in slices of at most a hundred, one set of ports and one address family
//! each.
//!
//! A plan changes as few slices as it can, because every change is sent to every node: endpoints stay in the slice they
//! are in, removed ones leave gaps, and new ones fill the fullest slice with room.

use std::collections::BTreeMap;

use api::{Gvr, Key, Object};
use cache::index::{BY_SERVICE, SERVICE_NAME, service_of};
use cache::{Action, Change, Controller, Interest, Note, Plan, PlanError, Precondition, Snapshot, Step};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::owners::controller_reference;
use crate::pods::PODS;
use crate::services::{Backend, SERVICES, backends, is_served, labels_of, service_keys};
use crate::tree::{Tree, set, tree_of};

pub(crate) const ENDPOINT_SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "endpointslice-controller.k8s.io";
const ENDPOINTS_MAX: usize = 100;

pub struct EndpointSliceController;

/// Others may make slices of a Service too; theirs are left alone.
fn is_ours(slice: &Object) -> bool {
    slice.label(MANAGED_BY) == Some(OURS)
}

/// Slices of one address family and one set of ports.
type Group = (String, String);

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn account(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(SERVICES, &[]), Interest::new(PODS, &[]), Interest::new(ENDPOINT_SLICES, &[BY_SERVICE])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == PODS {
            return service_keys(snapshot, change);
        }
        let Some(object) = change.object() else { return Vec::new() };
        if *resource == SERVICES {
            return vec![object.key()];
        }
        service_of(object).filter(|_| is_ours(object)).into_iter().collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&SERVICES, key) else { return Ok(Plan::nothing()) };
        let service = tree_of(object)?;
        if !is_served(&service) || object.is_deleting() {
            return Ok(Plan::nothing());
        }
        let wanted = wanted(snapshot, &service, &key.namespace)?;
        let mut slices = BTreeMap::<Group, Vec<Value>>::new();
        let place = key.to_string();
        for slice in snapshot.by_index(&ENDPOINT_SLICES, BY_SERVICE.name, &place).filter(|slice| is_ours(slice)) {
            let tree = tree_of(slice)?;
            slices.entry(group_of(tree.text("addressType"), tree.at("ports"))).or_default().push(tree);
        }
        let mut plan = Plan::nothing();
        let labels = slice_labels(&service);
        for (group, endpoints) in &wanted {
            let slices = slices.remove(group).unwrap_or_default();
            fill(&mut plan, object, &labels, group, endpoints, &slices);
        }
        for slice in slices.into_values().flatten() {
            plan.push(delete(&slice));
        }
        // A failure is told about the Service, as upstream does.
        for step in &mut plan.steps {
            let message = format!("Error updating Endpoint Slices for Service {key}: {{error}}");
            step.failed = Some(Note::warning(object, "FailedToUpdateEndpointSlices", message));
        }
        Ok(plan)
    }
}

fn group_of(family: &str, ports: &Value) -> Group {
    let mut ports = ports.as_array().cloned().unwrap_or_default();
    ports.sort_by_key(Value::to_string);
    (family.to_owned(), Value::Array(ports).to_string())
}

/// The endpoints that there shall be. A Service without pods has an empty slice for each of its families.
fn wanted(snapshot: &Snapshot, service: &Value, namespace: &str) -> Result<BTreeMap<Group, Vec<Value>>, PlanError> {
    let backends = backends(snapshot, service, namespace)?;
    let families: Vec<&str> = service.items("spec.ipFamilies").iter().filter_map(Value::as_str).collect();
    let families = if families.is_empty() { vec!["IPv4"] } else { families };
    let mut wanted = BTreeMap::<Group, Vec<Value>>::new();
    for family in families {
        let mut any = false;
        for backend in &backends {
            let addresses = backend.addresses(family == "IPv6");
            if addresses.is_empty() {
                continue;
            }
            any = true;
            let group = group_of(family, &Value::Array(backend.ports(service)));
            wanted.entry(group).or_default().push(endpoint(service, backend, &addresses));
        }
        if !any {
            wanted.entry(group_of(family, &json!([]))).or_default();
        }
    }
    Ok(wanted)
}

fn endpoint(service: &Value, backend: &Backend, addresses: &[&str]) -> Value {
    let serving = backend.ready;
    let publish = service.flag("spec.publishNotReadyAddresses");
    let mut endpoint = json!({
        "addresses": addresses,
        "conditions": {
            "ready": publish || (serving && !backend.terminating),
            "serving": serving,
            "terminating": backend.terminating,
        },
        "targetRef": backend.reference(),
    });
    let node = backend.tree.text("spec.nodeName");
    if !node.is_empty() {
        endpoint["nodeName"] = json!(node);
    }
    if let Some(hostname) = backend.hostname(service) {
        endpoint["hostname"] = json!(hostname);
    }
    endpoint
}

/// Makes the slices of one group hold exactly the endpoints.
fn fill(plan: &mut Plan, service: &Object, labels: &Value, group: &Group, endpoints: &[Value], slices: &[Value]) {
    let id = |endpoint: &Value| endpoint.text("targetRef.uid").to_owned();
    let mut missing: BTreeMap<String, &Value> = endpoints.iter().map(|endpoint| (id(endpoint), endpoint)).collect();
    let mut contents: Vec<Vec<Value>> = Vec::new();
    for slice in slices.iter() {
        // What is still wanted stays where it is, in its newest form.
        let kept = slice.items("endpoints").iter().filter_map(|endpoint| missing.remove(&id(endpoint)).cloned());
        contents.push(kept.collect());
    }
    let mut missing: Vec<Value> = missing.into_values().cloned().collect();
    let mut by_fill: Vec<usize> = (0..slices.len()).collect();
    by_fill.sort_by_key(|index| std::cmp::Reverse(contents[*index].len()));
    for index in by_fill {
        let room = ENDPOINTS_MAX.saturating_sub(contents[index].len()).min(missing.len());
        contents[index].extend(missing.drain(..room));
    }
    let mut kept_any = false;
    for (slice, content) in slices.iter().zip(contents) {
        let is_last = !kept_any && endpoints.is_empty();
        if content.is_empty() && !is_last {
            plan.push(delete(slice));
            continue;
        }
        kept_any = true;
        let is_same = slice.items("endpoints") == content.as_slice() && slice.at("metadata.labels") == labels;
        if !is_same {
            let mut object = slice.clone();
            object["endpoints"] = Value::Array(content);
            set(&mut object, "metadata.labels", labels.clone());
            let key = Key::new(object.text("metadata.namespace"), object.text("metadata.name"));
            plan.push(Action::Update { resource: ENDPOINT_SLICES, key, subresource: "".into(), object });
        }
    }
    while !missing.is_empty() || (endpoints.is_empty() && !kept_any) {
        kept_any = true;
        let some: Vec<Value> = missing.drain(..missing.len().min(ENDPOINTS_MAX)).collect();
        plan.push(create(service, labels, group, some));
    }
}

fn create(service: &Object, labels: &Value, group: &Group, endpoints: Vec<Value>) -> Step {
    let ports: Value = serde_json::from_str(&group.1).unwrap_or_default();
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", service.name()),
            "namespace": service.namespace(),
            "labels": labels,
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": group.0,
        "endpoints": endpoints,
        "ports": ports,
    });
    Action::Create { resource: ENDPOINT_SLICES, namespace: service.namespace().into(), object }.into()
}

fn delete(slice: &Value) -> Action {
    Action::Delete {
        resource: ENDPOINT_SLICES,
        key: Key::new(slice.text("metadata.namespace"), slice.text("metadata.name")),
        precondition: Precondition { uid: Some(slice.text("metadata.uid").into()), revision: None },
        propagation: None,
        grace_period_secs: None,
    }
}

fn slice_labels(service: &Value) -> Value {
    let mut labels = labels_of(service);
    labels[SERVICE_NAME] = json!(service.text("metadata.name"));
    labels[MANAGED_BY] = json!(OURS);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::{Expect, expect};

    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {team: a}}
spec:
  selector: {app: web}
  ipFamilies: [IPv4]
  ports: [{name: http, port: 80, targetPort: web, protocol: TCP}]";

    fn pod(name: &str, ip: &str, extra: &str, ready: &str) -> String {
        format!(
            "\n---\napiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: web}}{extra}}}
spec: {{nodeName: n1, hostname: {name}, subdomain: web, containers: [{{ports: [{{name: web, containerPort: 8080}}]}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: '{ready}'}}]}}"
        )
    }

    fn slice(endpoints: &str) -> String {
        format!(
            "\n---\napiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-x, namespace: shop, labels: {{team: a, kubernetes.io/service-name: web,
  endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}}}
addressType: IPv4
ports: [{{name: http, port: 8080, protocol: TCP}}]
endpoints: {endpoints}"
        )
    }

    fn check(yaml: &str, expected: Expect) {
        expected.assert_eq(&plan(&EndpointSliceController, yaml, "shop/web"));
    }

    #[test]
    fn ready_ending_and_unready_pods_are_told_apart() {
        let ending = ", deletionTimestamp: '2026-01-01T12:00:00Z'";
        let pods = pod("a", "10.0.0.1", "", "True")
            + &pod("b", "10.0.0.2", ending, "True")
            + &pod("c", "10.0.0.3", "", "False");
        check(
            &(SERVICE.to_owned() + &pods),
            expect![[r#"
            create endpointslices.discovery.k8s.io in "shop": {"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"hostname":"a","nodeName":"n1","targetRef":{"kind":"Pod","name":"a","namespace":"shop","uid":"uid-a"}},{"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true},"hostname":"b","nodeName":"n1","targetRef":{"kind":"Pod","name":"b","namespace":"shop","uid":"uid-b"}},{"addresses":["10.0.0.3"],"conditions":{"ready":false,"serving":false,"terminating":false},"hostname":"c","nodeName":"n1","targetRef":{"kind":"Pod","name":"c","namespace":"shop","uid":"uid-c"}}],"metadata":{"generateName":"web-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"a"},"namespace":"shop","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Service","name":"web","uid":"uid-web"}]},"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Service shop/web: {error}
        "#]],
        );
    }

    #[test]
    fn a_service_without_pods_has_an_empty_slice() {
        check(
            SERVICE,
            expect![[r#"
            create endpointslices.discovery.k8s.io in "shop": {"addressType":"IPv4","endpoints":[],"metadata":{"generateName":"web-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"a"},"namespace":"shop","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Service","name":"web","uid":"uid-web"}]},"ports":[]}
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Service shop/web: {error}
        "#]],
        );
    }

    #[test]
    fn a_pod_that_changed_is_updated_in_its_slice_and_one_that_went_leaves_it() {
        let old = "[{addresses: [10.0.0.9], targetRef: {uid: uid-gone}}, {addresses: [10.0.0.1], conditions: {ready: false}, targetRef: {uid: uid-a}}]";
        check(
            &(SERVICE.to_owned() + &pod("a", "10.0.0.1", "", "True") + &slice(old)),
            expect![[r#"
            update endpointslices.discovery.k8s.io shop/web-x
              endpoints: [{"addresses":["10.0.0.9"],"targetRef":{"uid":"uid-gone"}},{"addresses":["10.0.0.1"],"conditions":{"ready":false},"targetRef":{"uid":"uid-a"}}] -> [{"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":true,"terminating":false},"hostname":"a","nodeName":"n1","targetRef":{"kind":"Pod","name":"a","namespace":"shop","uid":"uid-a"}}]
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Service shop/web: {error}
        "#]],
        );
    }

    #[test]
    fn more_than_a_hundred_pods_take_two_slices() {
        let pods: String = (0..120).map(|i| pod(&format!("p{i:03}"), &format!("10.0.1.{i}"), "", "True")).collect();
        let text = plan(&EndpointSliceController, &(SERVICE.to_owned() + &pods), "shop/web");
        let sizes: Vec<_> = text.lines().map(|line| line.matches("addresses").count()).filter(|n| *n > 0).collect();
        assert_eq!(sizes, [100, 20]);
    }
}
