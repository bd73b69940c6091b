//! rbac.authorization.k8s.io: roles and bindings.

pub mod clusterrole;
pub mod clusterrolebinding;
pub mod role;
pub mod rolebinding;

use api::status::Cause;
use serde_json::Value;

use crate::causes::{invalid_value, required, unsupported};
use crate::resource::Column;
use crate::tree;

/// `ClusterRole/view`.
fn role(binding: &Value) -> String {
    format!("{}/{}", tree::text(binding, "roleRef.kind"), tree::text(binding, "roleRef.name"))
}

fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = tree::list(binding, "subjects").iter().filter(|subject| tree::text(subject, "kind") == kind);
    let names = of_kind.map(|subject| match tree::text(subject, "namespace") {
        "" => tree::text(subject, "name").to_owned(),
        namespace => format!("{namespace}/{}", tree::text(subject, "name")),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The columns of a binding; their descriptions differ by kind.
const fn columns([role_text, users, groups, accounts]: [&'static str; 4]) -> [Column; 5] {
    [
        Column::text("Role", role_text, |object, _| role(object).into()),
        Column::age(),
        Column::text("Users", users, |object, _| subjects(object, "User").into()).wide(),
        Column::text("Groups", groups, |object, _| subjects(object, "Group").into()).wide(),
        Column::text("ServiceAccounts", accounts, |object, _| subjects(object, "ServiceAccount").into()).wide(),
    ]
}

fn validate_rules(role: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, rule) in tree::list(role, "rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        if tree::list(rule, "verbs").is_empty() {
            causes.push(required(&format!("{path}.verbs"), "verbs must contain at least one value"));
        }
        if !tree::list(rule, "nonResourceURLs").is_empty() {
            if !tree::list(rule, "apiGroups").is_empty() || !tree::list(rule, "resources").is_empty() {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                causes.push(invalid_value(&format!("{path}.nonResourceURLs"), &rule["nonResourceURLs"], why));
            }
            continue;
        }
        if tree::list(rule, "apiGroups").is_empty() {
            causes.push(required(&format!("{path}.apiGroups"), "resource rules must supply at least one api group"));
        }
        if tree::list(rule, "resources").is_empty() {
            causes.push(required(&format!("{path}.resources"), "resource rules must supply at least one resource"));
        }
    }
    causes
}

fn validate_binding(binding: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let namespaced = !tree::text(binding, "metadata.namespace").is_empty();
    let supported = if namespaced { "\"Role\", \"ClusterRole\"" } else { "\"ClusterRole\"" };
    let kind = tree::text(binding, "roleRef.kind");
    if kind != "ClusterRole" && !(namespaced && kind == "Role") {
        causes.push(unsupported("roleRef.kind", kind, supported));
    }
    let group = tree::text(binding, "roleRef.apiGroup");
    if group != "rbac.authorization.k8s.io" {
        causes.insert(0, unsupported("roleRef.apiGroup", group, "\"rbac.authorization.k8s.io\""));
    }
    if tree::text(binding, "roleRef.name").is_empty() {
        causes.push(required("roleRef.name", ""));
    }
    for (i, subject) in tree::list(binding, "subjects").iter().enumerate() {
        if tree::text(subject, "name").is_empty() {
            causes.push(required(&format!("subjects[{i}].name"), ""));
        }
        match tree::text(subject, "kind") {
            "ServiceAccount" if tree::text(subject, "namespace").is_empty() => {
                causes.push(required(&format!("subjects[{i}].namespace"), ""));
            }
            "ServiceAccount" | "User" | "Group" => {}
            other => {
                let all = "\"Group\", \"ServiceAccount\", \"User\"";
                causes.push(unsupported(&format!("subjects[{i}].kind"), other, all));
            }
        }
    }
    causes
}

fn role_ref_stays(new: &Value, old: &Value) -> Vec<Cause> {
    if new.get("roleRef") == old.get("roleRef") {
        return Vec::new();
    }
    vec![invalid_value("roleRef", &new["roleRef"], "cannot change roleRef")]
}
