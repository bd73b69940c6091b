//! ConfigMap `kube-root-ca.crt` in every namespace: the authority by which pods know the API server.

use api::{Gvr, Key};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::json;

use crate::namespace::{NAMESPACES, is_active, namespace_keys};
use crate::tree::{Tree, tree_of};

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                                endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                                guaranteed across distributions of Kubernetes clusters.";

pub struct RootCaPublisher {
    /// In PEM.
    authority: String,
}

impl RootCaPublisher {
    pub fn new(authority: String) -> Self {
        Self { authority }
    }
}

impl Controller for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(NAMESPACES, &[]), Interest::new(CONFIG_MAPS, &[])]
    }

    fn wakes(&self, _: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        if *resource == CONFIG_MAPS && change.object().is_some_and(|object| object.name() != NAME) {
            return Vec::new();
        }
        namespace_keys(resource, change)
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        if !is_active(snapshot, key) {
            return Ok(Plan::nothing());
        }
        let data = json!({"ca.crt": self.authority});
        let place = Key::new(&key.name, NAME);
        let Some(found) = snapshot.get(&CONFIG_MAPS, &place) else {
            let object = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": &*key.name, "annotations": {DESCRIPTION: DESCRIPTION_TEXT}},
                "data": data,
            });
            let create = Action::Create { resource: CONFIG_MAPS, namespace: key.name.clone(), object };
            return Ok(Plan::act(vec![create]));
        };
        let mut object = tree_of(found)?;
        if *object.at("data") == data {
            return Ok(Plan::nothing());
        }
        object["data"] = data;
        Ok(Plan::act(vec![Action::Update { resource: CONFIG_MAPS, key: place, subresource: "".into(), object }]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::expect;

    #[test]
    fn the_authority_is_published_and_mended() {
        let publisher = RootCaPublisher::new("PEM".to_owned());
        let yaml = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: ConfigMap\n\
                    metadata: {name: kube-root-ca.crt, namespace: shop}\ndata: {ca.crt: old}";
        expect![[r#"
            update configmaps shop/kube-root-ca.crt
              data.ca.crt: "old" -> "PEM"
        "#]]
        .assert_eq(&plan(&publisher, yaml, "shop"));
        assert!(plan(&publisher, yaml.split("\n---").next().unwrap(), "shop").starts_with("create configmaps in"));
        assert_eq!(plan(&publisher, &yaml.replace("old", "PEM"), "shop"), "nothing\n");
    }
}
