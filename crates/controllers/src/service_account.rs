//! ServiceAccount `default` in every namespace: pods that name none run as it.

use api::{Gvr, Key};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::json;

use crate::namespace::{NAMESPACES, is_active, namespace_keys};

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const DEFAULT: &str = "default";

pub struct ServiceAccountController;

impl Controller for ServiceAccountController {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NAMESPACES, &[]), Interest::new(SERVICE_ACCOUNTS, &[])]
    }

    fn wakes(&self, _: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        namespace_keys(resource, change)
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        if !is_active(snapshot, key) || snapshot.get(&SERVICE_ACCOUNTS, &Key::new(&key.name, DEFAULT)).is_some() {
            return Ok(Plan::nothing());
        }
        let object = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT, "namespace": &*key.name},
        });
        let create = Action::Create { resource: SERVICE_ACCOUNTS, namespace: key.name.clone(), object };
        Ok(Plan::act(vec![create]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::expect;

    #[test]
    fn a_namespace_without_its_account_gets_one_unless_it_is_ending() {
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\nstatus: {phase: Active}";
        expect![[r#"
            create serviceaccounts in "shop": {"metadata":{"name":"default","namespace":"shop"}}
        "#]]
        .assert_eq(&plan(&ServiceAccountController, namespace, "shop"));
        let ending = namespace.replace("name: shop", "name: shop, deletionTimestamp: '2026-01-01T12:00:00Z'");
        assert_eq!(plan(&ServiceAccountController, &ending, "shop"), "nothing\n");
    }
}
