//! Endpoints: the pods behind each Service in the old form, for clients that still read it.

use std::collections::BTreeMap;

use api::{Gvr, Key};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pods::PODS;
use crate::services::{Backend, SERVICES, backends, is_served, labels_of, service_keys};
use crate::tree::{Tree, set, tree_of};

pub(crate) const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
/// More addresses are cut off and the object is marked.
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

pub struct EndpointsController;

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(SERVICES, &[]), Interest::new(PODS, &[]), Interest::new(ENDPOINTS, &[])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == PODS {
            return service_keys(snapshot, change);
        }
        change.object().map(|object| object.key()).into_iter().collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let found = snapshot.get(&ENDPOINTS, key);
        let Some(object) = snapshot.get(&SERVICES, key) else {
            // Endpoints that we made go with their Service; those that people made stay.
            let ours = found.filter(|endpoints| endpoints.label(MANAGED_BY) == Some("endpoint-controller"));
            let delete = ours.map(|endpoints| Action::Delete {
                resource: ENDPOINTS,
                key: key.clone(),
                precondition: Precondition::same(endpoints),
                propagation: None,
                grace_period_secs: None,
            });
            return Ok(Plan::act(delete.into_iter().collect()));
        };
        let service = tree_of(object)?;
        if !is_served(&service) || object.is_deleting() {
            return Ok(Plan::nothing());
        }
        let (subsets, over) = subsets(&service, &backends(snapshot, &service, &key.namespace)?);
        let mut labels = labels_of(&service);
        labels[MANAGED_BY] = json!("endpoint-controller");
        let mut object = match found {
            Some(found) => tree_of(found)?,
            None => json!({
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": &*key.name, "namespace": &*key.namespace},
            }),
        };
        let is_marked = object.annotation(OVER_CAPACITY).is_some();
        if found.is_some()
            && object.items("subsets") == subsets.as_slice()
            && *object.at("metadata.labels") == labels
            && is_marked == over
        {
            return Ok(Plan::nothing());
        }
        set(&mut object, "metadata.labels", labels);
        mark(&mut object, over);
        object["subsets"] = Value::Array(subsets);
        Ok(Plan::act(vec![match found {
            Some(_) => Action::Update { resource: ENDPOINTS, key: key.clone(), subresource: "".into(), object },
            None => Action::Create { resource: ENDPOINTS, namespace: key.namespace.clone(), object },
        }]))
    }
}

fn mark(object: &mut Value, over: bool) {
    let mut annotations = object.at("metadata.annotations").as_object().cloned().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if over {
        annotations.insert(OVER_CAPACITY.to_owned(), json!("truncated"));
    }
    if !annotations.is_empty() || object.at("metadata.annotations").is_object() {
        set(object, "metadata.annotations", Value::Object(annotations));
    }
}

/// Pods with the same ports form a subset; addresses are in order. Whether there were too many comes with them.
fn subsets(service: &Value, backends: &[Backend]) -> (Vec<Value>, bool) {
    let is_v6 = service.items("spec.ipFamilies").first().is_some_and(|family| family == "IPv6");
    let publish = service.flag("spec.publishNotReadyAddresses");
    // By ports: ready addresses, then those that are not.
    let mut groups = BTreeMap::<String, [BTreeMap<String, Value>; 2]>::new();
    let mut count = 0;
    for backend in backends.iter().filter(|backend| publish || !backend.terminating) {
        let Some(ip) = backend.addresses(is_v6).first().map(|ip| (*ip).to_owned()) else { continue };
        count += 1;
        if count > ADDRESSES_MAX {
            continue;
        }
        let mut address = json!({"ip": ip, "targetRef": backend.reference()});
        let node = backend.tree.text("spec.nodeName");
        if !node.is_empty() {
            address["nodeName"] = json!(node);
        }
        if let Some(hostname) = backend.hostname(service) {
            address["hostname"] = json!(hostname);
        }
        let ready = usize::from(!(publish || backend.ready));
        let ports = Value::Array(backend.ports(service)).to_string();
        groups.entry(ports).or_default()[ready].insert(ip, address);
    }
    let subset = |(ports, [ready, unready]): (String, [BTreeMap<String, Value>; 2])| {
        let mut subset = json!({});
        for (field, addresses) in [("addresses", ready), ("notReadyAddresses", unready)] {
            if !addresses.is_empty() {
                subset[field] = addresses.into_values().collect();
            }
        }
        let mut ports: Vec<Value> = serde_json::from_str(&ports).unwrap_or_default();
        for port in &mut ports {
            if port.text("name").is_empty()
                && let Some(fields) = port.as_object_mut()
            {
                fields.remove("name");
            }
        }
        if !ports.is_empty() {
            subset["ports"] = Value::Array(ports);
        }
        subset
    };
    (groups.into_iter().map(subset).collect(), count > ADDRESSES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::expect;

    #[test]
    fn ready_and_unready_pods_are_listed_and_ending_ones_are_not() {
        let pod = |name: &str, extra: &str, ready: &str| {
            format!(
                "\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web}}{extra}}}\n\
                 status: {{podIP: 10.0.0.{}, conditions: [{{type: Ready, status: '{ready}'}}]}}",
                name.len()
            )
        };
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, \
                       ports: [{port: 80, targetPort: 8080}]}"
                .to_owned();
        let ending = ", deletionTimestamp: '2026-01-01T12:00:00Z'";
        let yaml = service + &pod("a", "", "True") + &pod("bb", "", "False") + &pod("ccc", ending, "True");
        expect![[r#"
            create endpoints in "shop": {"metadata":{"labels":{"endpoints.kubernetes.io/managed-by":"endpoint-controller"},"name":"web","namespace":"shop"},"subsets":[{"addresses":[{"ip":"10.0.0.1","targetRef":{"kind":"Pod","name":"a","namespace":"shop","uid":"uid-a"}}],"notReadyAddresses":[{"ip":"10.0.0.2","targetRef":{"kind":"Pod","name":"bb","namespace":"shop","uid":"uid-bb"}}],"ports":[{"port":8080,"protocol":"TCP"}]}]}
        "#]].assert_eq(&plan(&EndpointsController, &yaml, "shop/web"));
    }
}
