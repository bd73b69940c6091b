//! ClusterRole aggregation: a role with an aggregationRule has the rules of all roles that it selects.

use api::selector::LabelSelector;
use api::{Gvr, Key, Object};
use cache::{Action, Change, Controller, Interest, Plan, PlanError, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::tree::{Tree, tree_of};

const CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");

pub struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> Vec<Interest> {
        vec![Interest::new(CLUSTER_ROLES, &[])]
    }

    /// Any role may be a part of any that aggregates: these are few.
    fn wakes(&self, snapshot: &Snapshot, _resource: &Gvr, _change: &Change) -> Vec<Key> {
        let aggregates = |role: &&Object| tree_of(role).is_ok_and(|tree| !tree.at("aggregationRule").is_null());
        snapshot.list(&CLUSTER_ROLES, None).filter(aggregates).map(Object::key).collect()
    }

    fn plan(&self, snapshot: &Snapshot, key: &Key, _now: Timestamp) -> Result<Plan, PlanError> {
        let Some(object) = snapshot.get(&CLUSTER_ROLES, key).filter(|role| !role.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let tree = tree_of(object)?;
        if tree.at("aggregationRule").is_null() {
            return Ok(Plan::nothing());
        }
        let mut rules: Vec<Value> = Vec::new();
        for selector in tree.items("aggregationRule.clusterRoleSelectors") {
            let Ok(selector) = LabelSelector::from_object(Some(selector)) else { continue };
            for part in snapshot.list(&CLUSTER_ROLES, None).filter(|part| part.uid() != object.uid()) {
                if !selector.matches_object(part) {
                    continue;
                }
                for rule in tree_of(part)?.items("rules") {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        if tree.items("rules") == rules {
            return Ok(Plan::nothing());
        }
        let applied = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": object.name()},
            "rules": rules,
        });
        Ok(Plan::act(vec![Action::Apply {
            resource: CLUSTER_ROLES,
            key: key.clone(),
            subresource: "".into(),
            object: applied,
        }]))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::ClusterRoleAggregation;
    use crate::testing::{plan, wakes};

    const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: all}}]}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: part-a, labels: {to: all}}
rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: part-b, labels: {to: all}}
rules: [{verbs: [get], apiGroups: [''], resources: [pods]}, {verbs: [list], apiGroups: [''], resources: [pods]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: other}
rules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*']}]";

    #[test]
    fn a_role_has_the_rules_of_the_roles_that_it_selects() {
        expect![[r#"
            apply clusterroles.rbac.authorization.k8s.io all {"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"all"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]},{"apiGroups":[""],"resources":["pods"],"verbs":["list"]}]}
        "#]].assert_eq(&plan(&ClusterRoleAggregation, ROLES, "all"));
        assert_eq!(wakes(&ClusterRoleAggregation, ROLES), ["all"]);
        let there = ROLES.replacen(
            "rules: []",
            "rules: [{verbs: [get], apiGroups: [''], resources: [pods]}, {verbs: [list], apiGroups: [''], resources: [pods]}]",
            1,
        );
        assert_eq!(plan(&ClusterRoleAggregation, &there, "all"), "nothing\n");
    }
}
