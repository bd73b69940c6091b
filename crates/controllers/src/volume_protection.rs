//! Volumes and claims that are being deleted stay while somebody uses them: a claim while a pod that was given a node
//! names it, a volume while it is bound. Then their finalizer goes.

use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Precondition, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pods::PODS;
use crate::tree::{Tree, tree_of};

const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Lets claims go that no pod uses.
pub struct ClaimProtection;

/// Lets volumes go that no claim has.
pub struct VolumeProtection;

/// The object without the finalizer, if it is being deleted and has it.
fn release(resource: &Gvr, object: &Object, tree: &Value, finalizer: &str) -> Plan {
    let finalizers = tree.items("metadata.finalizers");
    if !object.is_deleting() || !finalizers.iter().any(|one| one == finalizer) {
        return Plan::nothing();
    }
    let left: Vec<&Value> = finalizers.iter().filter(|one| *one != finalizer).collect();
    Plan::act(vec![Action::Patch {
        resource: resource.clone(),
        key: object.key(),
        subresource: "".into(),
        patch: json!({ "metadata": { "finalizers": left } }),
        precondition: Precondition::exactly(object),
    }])
}

/// The claims that a pod names; an ephemeral volume's claim is called after both.
fn claims_of(pod: &Value) -> Vec<String> {
    let volumes = pod.items("spec.volumes").iter();
    let claims = volumes.filter_map(|volume| {
        let named = volume.text("persistentVolumeClaim.claimName");
        if !named.is_empty() {
            return Some(named.to_owned());
        }
        let own = !volume.at("ephemeral").is_null();
        own.then(|| format!("{}-{}", pod.text("metadata.name"), volume.text("name")))
    });
    claims.collect()
}

impl Controller for ClaimProtection {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(CLAIMS, &[]), Interest::new(PODS, &[])]
    }

    fn wakes(&self, snapshot: &Snapshot, resource: &Gvr, change: &Change) -> Vec<Key> {
        let Some(object) = change.object() else { return Vec::new() };
        if *resource == CLAIMS {
            return if object.is_deleting() { vec![object.key()] } else { Vec::new() };
        }
        if change.after.is_some() {
            return Vec::new();
        }
        let Ok(pod) = tree_of(object) else { return Vec::new() };
        let keys = claims_of(&pod).into_iter().map(|name| Key::new(object.namespace(), &name));
        keys.filter(|key| snapshot.get(&CLAIMS, key).is_some_and(Object::is_deleting)).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&CLAIMS, key).filter(|claim| claim.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        for pod in snapshot.list(&PODS, Some(&key.namespace)) {
            let pod = tree_of(pod)?;
            if !pod.text("spec.nodeName").is_empty() && claims_of(&pod).iter().any(|name| **name == *key.name) {
                return Ok(Plan::nothing());
            }
        }
        Ok(release(&CLAIMS, object, &tree_of(object)?, CLAIM_FINALIZER))
    }
}

impl Controller for VolumeProtection {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(VOLUMES, &[])]
    }

    fn wakes(&self, _: &Snapshot, _: &Gvr, change: &Change) -> Vec<Key> {
        change.after.iter().filter(|volume| volume.is_deleting()).map(Object::key).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&VOLUMES, key) else { return Ok(Plan::nothing()) };
        let tree = tree_of(object)?;
        if tree.text("status.phase") == "Bound" {
            return Ok(Plan::nothing());
        }
        Ok(release(&VOLUMES, object, &tree, VOLUME_FINALIZER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;
    use expect_test::expect;

    const CLAIM: &str = "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, deletionTimestamp: '2026-01-01T12:00:00Z', finalizers: [kubernetes.io/pvc-protection, a.b/c]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop}
spec: {nodeName: n1, volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}";

    #[test]
    fn a_claim_goes_when_no_pod_on_a_node_uses_it() {
        assert_eq!(plan(&ClaimProtection, CLAIM, "shop/data"), "nothing\n");
        expect![[r#"
            patch persistentvolumeclaims shop/data {"metadata":{"finalizers":["a.b/c"]}}
        "#]]
        .assert_eq(&plan(&ClaimProtection, &CLAIM.replace("claimName: data", "claimName: other"), "shop/data"));
        let waiting = CLAIM.replace("nodeName: n1, ", "");
        assert_ne!(plan(&ClaimProtection, &waiting, "shop/data"), "nothing\n");
    }

    #[test]
    fn a_volume_goes_when_it_is_not_bound() {
        let volume = "\
apiVersion: v1
kind: PersistentVolume
metadata: {name: v, deletionTimestamp: '2026-01-01T12:00:00Z', finalizers: [kubernetes.io/pv-protection]}
status: {phase: Bound}";
        assert_eq!(plan(&VolumeProtection, volume, "v"), "nothing\n");
        expect![[r#"
            patch persistentvolumes v {"metadata":{"finalizers":[]}}
        "#]]
        .assert_eq(&plan(&VolumeProtection, &volume.replace("Bound", "Released"), "v"));
    }
}
