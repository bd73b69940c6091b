//! EndpointSlice: the pods behind each Service, in slices of at most a hundred, one set of ports and one address family
//! each.

use std::collections::BTreeMap;

use api::{Gvr, Key, Object};
use cache::index::{BY_SERVICE, SERVICE_NAME, service_of};
use cache::{Change, Controller, Interest, Note, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pods::PODS;
use crate::services::{Backend, SERVICES, backends, is_served, labels_of, service_keys};
use crate::slices::{ENDPOINT_SLICES, Group, MANAGED_BY, Slices, group_of, present};
use crate::tree::{Tree, tree_of};

const OURS: &str = "endpointslice-controller.k8s.io";
const ENDPOINTS_MAX: usize = 100;

pub struct EndpointSliceController;

/// Others may make slices of a Service too; theirs are left alone.
fn is_ours(slice: &Object) -> bool {
    slice.label(MANAGED_BY) == Some(OURS)
}

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
        let slices = Slices {
            owner: object,
            labels: slice_labels(&service),
            annotations: None,
            identity: |endpoint| endpoint.text("targetRef.uid").to_owned(),
            endpoints_max: ENDPOINTS_MAX,
        };
        let mut plan = slices.plan(present(snapshot, key, is_ours)?, wanted);
        // A failure is told about the Service, as upstream does.
        for step in &mut plan.steps {
            let message = format!("Error updating Endpoint Slices for Service {key}: {{error}}");
            step.failed = Some(Note::warning(object, "FailedToUpdateEndpointSlices", message));
        }
        Ok(plan)
    }
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
