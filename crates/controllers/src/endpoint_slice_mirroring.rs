//! EndpointSlice mirroring: Endpoints that people made for a Service without a selector, as the slices that proxies and DNS
//! read (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#mirroring>).

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{Gvr, Key, Object};
use cache::index::{BY_SERVICE, SERVICE_NAME, service_of};
use cache::{Change, Controller, Interest, Note, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::endpoints::ENDPOINTS;
use crate::services::SERVICES;
use crate::slices::{ENDPOINT_SLICES, Group, MANAGED_BY, Slices, group_of, present};
use crate::tree::{Tree, tree_of, without_nulls};

const OURS: &str = "endpointslicemirroring-controller.k8s.io";
/// Endpoints with this label have somebody else who makes slices for them.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// An old form of leader election.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Say something about the Endpoints alone.
const NOT_COPIED: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];
/// Of one subset no more are mirrored.
const ADDRESSES_MAX: usize = 1000;

pub struct EndpointSliceMirroring;

fn is_ours(slice: &Object) -> bool {
    slice.label(MANAGED_BY) == Some(OURS)
}

impl Controller for EndpointSliceMirroring {
    fn name(&self) -> &'static str {
        "endpoint-slice-mirroring-controller"
    }

    fn account(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(SERVICES, &[]), Interest::new(ENDPOINTS, &[]), Interest::new(ENDPOINT_SLICES, &[BY_SERVICE])]
    }

    fn wakes(&self, _snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let Some(object) = change.object() else { return Vec::new() };
        if *resource != ENDPOINT_SLICES {
            return vec![object.key()];
        }
        service_of(object).filter(|_| is_ours(object)).into_iter().collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let present = present(snapshot, key, is_ours)?;
        // Slices of Endpoints that are gone go with them, as the garbage collector sees to.
        let Some(object) = snapshot.get(&ENDPOINTS, key).filter(|endpoints| !endpoints.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let endpoints = tree_of(object)?;
        let service = snapshot.get(&SERVICES, key).map(tree_of).transpose()?;
        let has_no_selector = service.is_some_and(|service| service.at("spec.selector").is_null());
        let is_mirrored =
            has_no_selector && object.label(SKIP) != Some("true") && endpoints.annotation(LEADER).is_none();
        let wanted = if is_mirrored { wanted(&endpoints) } else { BTreeMap::new() };
        let slices = Slices {
            owner: object,
            labels: labels(&endpoints),
            annotations: Some(annotations(&endpoints)),
            identity: |endpoint| endpoint.items("addresses").first().map(Value::to_string).unwrap_or_default(),
            endpoints_max: ADDRESSES_MAX,
        };
        let mut plan = slices.plan(present, wanted);
        for step in &mut plan.steps {
            let message = format!("Error updating Endpoint Slices for Endpoints {key}: {{error}}");
            step.failed = Some(Note::warning(object, "FailedToUpdateEndpointSlices", message));
        }
        Ok(plan)
    }
}

fn labels(endpoints: &Value) -> Value {
    let mut labels = endpoints.at("metadata.labels").clone();
    labels[SERVICE_NAME] = json!(endpoints.text("metadata.name"));
    labels[MANAGED_BY] = json!(OURS);
    labels
}

fn annotations(endpoints: &Value) -> Value {
    let all = endpoints.at("metadata.annotations").as_object().into_iter().flatten();
    let kept = all.filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()));
    let kept: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

/// The addresses of all subsets, by family and ports.
fn wanted(endpoints: &Value) -> BTreeMap<Group, Vec<Value>> {
    let mut wanted = BTreeMap::<Group, Vec<Value>>::new();
    for subset in endpoints.items("subsets") {
        let with = |list: &'static str, ready: bool| subset.items(list).iter().map(move |address| (address, ready));
        let all = with("addresses", true).chain(with("notReadyAddresses", false));
        for (address, ready) in all.take(ADDRESSES_MAX) {
            let Ok(ip) = address.text("ip").parse::<IpAddr>() else { continue };
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let group = wanted.entry(group_of(family, &Value::Array(ports(subset)))).or_default();
            group.push(without_nulls(&json!({
                "addresses": [address.text("ip")],
                "conditions": {"ready": ready},
                "hostname": address.at("hostname"),
                "nodeName": address.at("nodeName"),
                "targetRef": address.at("targetRef"),
            })));
        }
    }
    wanted
}

fn ports(subset: &Value) -> Vec<Value> {
    let of = |port: &Value| {
        without_nulls(&json!({
            "name": port.text("name"),
            "port": port.at("port"),
            "protocol": port.at("protocol"),
            "appProtocol": port.at("appProtocol"),
        }))
    };
    subset.items("ports").iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::EndpointSliceMirroring;
    use crate::testing::plan;

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {}\n---\n";

    fn endpoints(meta: &str, subsets: &str) -> String {
        // As upstream's own kind, the plural is the name of the kind.
        format!("apiVersion: v1\nkind: Endpoints\nmetadata: {{name: db, namespace: shop{meta}}}\nsubsets: [{subsets}]")
    }

    const SUBSET: &str = "{addresses: [{ip: 10.0.0.1, nodeName: n1}], notReadyAddresses: [{ip: 'fd00::1'}], ports: [{name: sql, port: 5432, protocol: TCP}]}";

    fn slice() -> String {
        "\n---\napiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-x, namespace: shop, labels: {kubernetes.io/service-name: db,
  endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io}}
addressType: IPv4
ports: [{name: sql, port: 5432, protocol: TCP}]
endpoints: [{addresses: [10.0.0.9], conditions: {ready: true}}]"
            .to_owned()
    }

    fn check(yaml: &str, expected: Expect) {
        expected.assert_eq(&plan(&EndpointSliceMirroring, yaml, "shop/db"));
    }

    #[test]
    fn endpoints_of_a_service_without_selector_are_mirrored_by_family() {
        check(
            &(SERVICE.to_owned() + &endpoints("", SUBSET)),
            expect![[r#"
            create endpointslices.discovery.k8s.io in "shop": {"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true},"nodeName":"n1"}],"metadata":{"generateName":"db-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslicemirroring-controller.k8s.io","kubernetes.io/service-name":"db"},"namespace":"shop","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Endpoints","name":"db","uid":"uid-db"}]},"ports":[{"name":"sql","port":5432,"protocol":"TCP"}]}
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Endpoints shop/db: {error}
            create endpointslices.discovery.k8s.io in "shop": {"addressType":"IPv6","endpoints":[{"addresses":["fd00::1"],"conditions":{"ready":false}}],"metadata":{"generateName":"db-","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslicemirroring-controller.k8s.io","kubernetes.io/service-name":"db"},"namespace":"shop","ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Endpoints","name":"db","uid":"uid-db"}]},"ports":[{"name":"sql","port":5432,"protocol":"TCP"}]}
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Endpoints shop/db: {error}
        "#]],
        );
    }

    #[test]
    fn a_change_is_mirrored_into_the_slice_that_is_there() {
        let subset = "{addresses: [{ip: 10.0.0.2}], ports: [{name: sql, port: 5432, protocol: TCP}]}";
        check(
            &(SERVICE.to_owned() + &endpoints("", subset) + &slice()),
            expect![[r#"
            update endpointslices.discovery.k8s.io shop/db-x
              endpoints: [{"addresses":["10.0.0.9"],"conditions":{"ready":true}}] -> [{"addresses":["10.0.0.2"],"conditions":{"ready":true}}]
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Endpoints shop/db: {error}
        "#]],
        );
        check(
            &(SERVICE.to_owned() + &endpoints("", "") + &slice()),
            expect![[r#"
            delete endpointslices.discovery.k8s.io shop/db-x
              else Warning FailedToUpdateEndpointSlices: Error updating Endpoint Slices for Endpoints shop/db: {error}
        "#]],
        );
    }

    #[test]
    fn endpoints_with_a_selector_a_mark_or_no_service_are_not_mirrored() {
        check(
            &(SERVICE.replace("spec: {}", "spec: {selector: {a: b}}") + &endpoints("", SUBSET)),
            expect![[r#"
            nothing
        "#]],
        );
        let marked = ", labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}";
        check(
            &(SERVICE.to_owned() + &endpoints(marked, SUBSET)),
            expect![[r#"
            nothing
        "#]],
        );
        check(
            &endpoints("", SUBSET),
            expect![[r#"
            nothing
        "#]],
        );
    }
}
