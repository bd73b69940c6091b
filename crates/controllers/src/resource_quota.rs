//! ResourceQuota: the status tells what the namespace may use and what it uses.
//!
//! Admission adds to `status.used` in the commit that creates an object; this controller counts what a new quota finds,
//! and what is given back by deletions, by pods that end and by everything else that admission does not see.

use api::usage::{Amounts, add, amounts, concerns, in_scope, usage};
use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Discovery, Interest, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Served;
use crate::definitions::{self, DEFINITIONS, LIST_WAIT, is_listed};
use crate::tree::{Tree, set, tree_of};

const QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");
/// Events are never counted.
const UNCOUNTED: &str = "events";
/// Kinds of which more counts than that they are there.
const MEASURED: &[(&str, &str)] =
    &[("", "pods"), ("", "services"), ("", "persistentvolumeclaims"), ("resource.k8s.io", "resourceclaims")];

pub struct ResourceQuotaController {
    /// Namespaced resources, one version each.
    resources: Vec<Gvr>,
}

impl ResourceQuotaController {
    /// `served` is all that the API server serves.
    pub fn new(served: &[Served]) -> Self {
        let counted = served.iter().filter(|served| served.namespaced && served.resource.resource != UNCOUNTED);
        Self { resources: counted.map(|served| served.resource.clone()).collect() }
    }
}

fn is_measured(resource: &Gvr) -> bool {
    MEASURED.contains(&(&*resource.group, &*resource.resource))
}

impl Controller for ResourceQuotaController {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        let interest = |resource: &Gvr| {
            if is_measured(resource) || *resource == QUOTAS {
                Interest::new(resource.clone(), &[])
            } else {
                Interest::metadata(resource.clone(), &[])
            }
        };
        let others = self.resources.iter().filter(|resource| **resource != QUOTAS).map(interest);
        [interest(&QUOTAS), Interest::new(DEFINITIONS, &[])].into_iter().chain(others).collect()
    }

    fn discovers(&self) -> Option<Discovery> {
        Some(definitions::discover_namespaced())
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let Some(object) = change.object() else { return Vec::new() };
        let stays = change.before.is_some() && change.after.is_some();
        let mut keys: Vec<Key> = Vec::new();
        if !stays || is_measured(resource) {
            keys.extend(snapshot.list(&QUOTAS, Some(object.namespace())).map(Object::key));
        }
        if *resource == QUOTAS {
            keys.push(object.key());
        }
        keys
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&QUOTAS, key).filter(|quota| !quota.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let mut quota = tree_of(object)?;
        let hard = amounts(Some(quota.at("spec.hard")));
        let mut used: Amounts = hard.keys().map(|name| (name.clone(), api::quantity::Quantity::ZERO)).collect();
        let is_asked = |resource: &Gvr| hard.keys().any(|name| concerns(resource, name));
        let custom: Vec<Gvr> = definitions::namespaced(snapshot).filter(is_asked).collect();
        if !custom.iter().all(|resource| is_listed(snapshot, resource)) {
            return Ok(Plan { wake_at: Some(now + LIST_WAIT), ..Plan::nothing() });
        }
        for resource in self.resources.iter().filter(|resource| is_asked(resource)).chain(&custom) {
            for object in snapshot.list(resource, Some(&key.namespace)) {
                let tree = tree_of(object)?;
                if in_scope(&quota, resource, &tree) {
                    let mut more = usage(resource, &tree, now);
                    more.retain(|name, _| hard.contains_key(name));
                    add(&mut used, &more);
                }
            }
        }
        let status = json!({ "hard": shown(&hard), "used": shown(&used) });
        if same(quota.at("status"), &hard, &used) {
            return Ok(Plan::nothing());
        }
        set(&mut quota, "status", status);
        let update = Action::Update { resource: QUOTAS, key: key.clone(), subresource: "status".into(), object: quota };
        Ok(Plan::act(vec![update]))
    }
}

/// The status says so already, in whatever form.
fn same(status: &Value, hard: &Amounts, used: &Amounts) -> bool {
    amounts(status.get("hard")) == *hard && amounts(status.get("used")) == *used
}

fn shown(amounts: &Amounts) -> Map<String, Value> {
    amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plan, wakes};
    use expect_test::expect;

    fn controller() -> ResourceQuotaController {
        let served = [("", "pods", "Pod"), ("", "secrets", "Secret"), ("", "resourcequotas", "ResourceQuota")];
        let served = served.map(|(group, resource, kind)| Served {
            resource: Gvr::new(group, "v1", resource),
            kind: kind.to_owned(),
            namespaced: true,
        });
        ResourceQuotaController::new(&served)
    }

    const CLUSTER: &str = "\
apiVersion: v1
kind: ResourceQuota
metadata: {name: q, namespace: shop}
spec: {hard: {pods: '3', requests.cpu: '2', secrets: '1', count/configmaps: '4'}}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec: {containers: [{name: c, resources: {requests: {cpu: 300m}}}], initContainers: [{name: i, resources: {requests: {cpu: '1'}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: over, namespace: shop}
spec: {containers: [{name: c, resources: {requests: {cpu: '1'}}}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: other}
spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}";

    #[test]
    fn a_quota_tells_what_its_namespace_uses() {
        expect![[r#"
            update resourcequotas shop/q status
              status: null -> {"hard":{"count/configmaps":"4","pods":"3","requests.cpu":"2","secrets":"1"},"used":{"count/configmaps":"0","pods":"1","requests.cpu":"1","secrets":"1"}}
        "#]].assert_eq(&plan(&controller(), CLUSTER, "shop/q"));
    }

    #[test]
    fn a_quota_that_tells_the_truth_is_left_alone() {
        let told = "status: {hard: {pods: '3', requests.cpu: 2000m, secrets: '1', count/configmaps: '4'}, \
                    used: {pods: '1', requests.cpu: '1', secrets: '1', count/configmaps: '0'}}\n---";
        let cluster = CLUSTER.replacen("---", told, 1);
        assert_eq!(plan(&controller(), &cluster, "shop/q"), "nothing\n");
    }

    #[test]
    fn custom_resources_are_counted_once_they_are_listed() {
        let cluster = "\
apiVersion: v1
kind: ResourceQuota
metadata: {name: q, namespace: shop}
spec: {hard: {count/widgets.example.com: '2'}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, names: {plural: widgets, kind: Widget}, scope: Namespaced, versions: [{name: v1, served: true}]}
status: {conditions: [{type: Established, status: 'True'}]}
";
        assert_eq!(plan(&controller(), cluster, "shop/q"), "wake at 2026-01-01T12:00:00.5Z\n");
        let mut snapshot = crate::testing::cluster(&controller(), cluster);
        let mut widgets = cache::Table::new([].into());
        widgets.advance(api::Revision(9));
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop", "uid": "u", "resourceVersion": "8"}});
        widgets.put(Object::decode(widget.to_string().into_bytes().into(), &[]).unwrap());
        snapshot.insert(Gvr::new("example.com", "v1", "widgets"), widgets);
        let plan = controller().plan(&snapshot, &Key::new("shop", "q"), crate::testing::now()).unwrap();
        expect![[r#"
            update resourcequotas shop/q status
              status: null -> {"hard":{"count/widgets.example.com":"2"},"used":{"count/widgets.example.com":"1"}}
        "#]]
        .assert_eq(&crate::testing::show(&snapshot, &plan));
    }

    #[test]
    fn only_what_is_beside_a_quota_wakes_it() {
        assert_eq!(wakes(&controller(), CLUSTER), ["shop/q"]);
    }
}
