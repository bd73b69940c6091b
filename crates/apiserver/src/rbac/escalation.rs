//! Nobody gives away more than they hold: writes of roles and bindings are checked against the writer's own rules.
//!
//! Two verbs lift the check: `escalate` on a role and `bind` on the role that a binding refers to
//! (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping>).

use api::status::About;
use api::{Gvr, Status};
use serde::Deserialize;
use serde_json::Value;

use super::index::WireBinding;
use super::{GROUP, Rbac, Rule};
use crate::seams::Access;
use crate::user::User;

pub fn check(rbac: &Rbac, user: &User, resource: &Gvr, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    let same = |field: &str| old.is_some_and(|old| old.get(field) == object.get(field));
    let metadata = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let (namespace, name) = (metadata("namespace"), metadata("name"));
    let about = About { group: GROUP, resource: &resource.resource, name };
    match &*resource.resource {
        // Whoever only changes metadata, such as the garbage collector, need not hold what the role grants.
        "roles" | "clusterroles" if same("rules") && same("aggregationRule") => Ok(()),
        "rolebindings" | "clusterrolebindings" if same("roleRef") && same("subjects") => Ok(()),
        "roles" | "clusterroles" => {
            if rbac.allows(user, &access("escalate", &resource.resource, namespace, name)) {
                return Ok(());
            }
            let mut wanted = Vec::<Rule>::deserialize(&object["rules"]).unwrap_or_default();
            if !object["aggregationRule"].is_null() && !same("aggregationRule") {
                wanted.extend(Rule::everything());
            }
            covered(rbac, user, namespace, &wanted, about)
        }
        "rolebindings" | "clusterrolebindings" => binding(rbac, user, object, namespace, about),
        _ => Ok(()),
    }
}

fn binding(rbac: &Rbac, user: &User, object: &Value, namespace: &str, about: About<'_>) -> Result<(), Status> {
    let binding = WireBinding::deserialize(object).map_err(|why| Status::bad_request(why.to_string()))?;
    let role = binding.role_ref;
    let resource = if &*role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    if rbac.allows(user, &access("bind", resource, namespace, &role.name)) {
        return Ok(());
    }
    let index = rbac.index();
    match index.role(&role.kind, namespace, &role.name) {
        Some(rules) => covered(rbac, user, namespace, rules, about),
        None => Err(Status::not_found(About { group: GROUP, resource, name: &role.name })),
    }
}

fn covered(rbac: &Rbac, user: &User, namespace: &str, wanted: &[Rule], about: About<'_>) -> Result<(), Status> {
    let index = rbac.index();
    let parts = wanted.iter().flat_map(Rule::parts);
    let missing = parts.filter(|part| !index.rules(user, namespace).any(|held| held.covers(part))).collect();
    let missing = merge(missing);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing.iter().map(Rule::compact).collect();
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        lines.join("\n")
    );
    Err(Status::forbidden(about, &why))
}

/// Parts that differ only in their verb as one.
fn merge(parts: Vec<Rule>) -> Vec<Rule> {
    let mut merged: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |rule: &&mut Rule| Rule { verbs: part.verbs.clone(), ..(**rule).clone() } == part;
        match merged.iter_mut().find(same) {
            Some(rule) => rule.verbs.extend(part.verbs),
            None => merged.push(part),
        }
    }
    merged.sort();
    merged
}

fn access(verb: &str, resource: &str, namespace: &str, name: &str) -> Access {
    Access {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Access::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn missing_rights_are_listed_by_resource_with_their_verbs_together() {
        let rule: Rule =
            serde_json::from_str(r#"{"apiGroups":[""],"resources":["pods","secrets"],"verbs":["get","list"]}"#)
                .unwrap();
        let lines: Vec<String> = merge(rule.parts()).iter().map(Rule::compact).collect();
        expect![[r#"
            {APIGroups:[""], Resources:["pods"], Verbs:["get", "list"]}
            {APIGroups:[""], Resources:["secrets"], Verbs:["get", "list"]}"#]]
        .assert_eq(&lines.join("\n"));
    }
}
