//! rbac.authorization.k8s.io: roles and bindings.

pub mod clusterrole;
pub mod clusterrolebinding;
pub mod role;
pub mod rolebinding;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_subdomain, path_segment};
use api::validation::selector::label_selector;
use serde_json::Value;

use crate::resource::Column;
use crate::resources::fields::one_of;
use crate::tree;

const GROUP: &str = "rbac.authorization.k8s.io";

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

/// The rules of a Role.
fn validate_role(role: &Value) -> Vec<Cause> {
    rules(role, true)
}

/// The rules of a ClusterRole, and which others it is made of.
fn validate_cluster_role(role: &Value) -> Vec<Cause> {
    let mut causes = rules(role, false);
    if tree::is_set(role, "aggregationRule") {
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = tree::list(role, "aggregationRule.clusterRoleSelectors");
        if selectors.is_empty() {
            causes.push(path.required("at least one clusterRoleSelector required if aggregationRule is non-nil"));
        }
        for (i, selector) in selectors.iter().enumerate() {
            causes.extend(label_selector(Some(selector), &path.index(i)));
        }
    }
    causes
}

fn rules(role: &Value, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, rule) in tree::list(role, "rules").iter().enumerate() {
        let path = Path::new("rules").index(i);
        let has = |field: &str| !tree::list(rule, field).is_empty();
        if !has("verbs") {
            causes.push(path.child("verbs").required("verbs must contain at least one value"));
        }
        if has("nonResourceURLs") {
            let mut refuse =
                |why| causes.push(path.child("nonResourceURLs").invalid(rule["nonResourceURLs"].clone(), why));
            if namespaced {
                refuse("namespaced rules cannot apply to non-resource URLs");
            }
            if ["apiGroups", "resources", "resourceNames"].into_iter().any(has) {
                refuse("rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if !has("apiGroups") {
            causes.push(path.child("apiGroups").required("resource rules must supply at least one api group"));
        }
        if !has("resources") {
            causes.push(path.child("resources").required("resource rules must supply at least one resource"));
        }
    }
    causes
}

fn validate_binding(binding: &Value) -> Vec<Cause> {
    let path = Path::new("roleRef");
    let namespaced = !tree::text(binding, "metadata.namespace").is_empty();
    let supported: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let mut causes = one_of(binding, "roleRef.apiGroup", &[GROUP]);
    let (kind, name) = (tree::text(binding, "roleRef.kind"), tree::text(binding, "roleRef.name"));
    if !supported.contains(&kind) {
        causes.push(path.child("kind").not_supported(kind, supported));
    }
    match name {
        "" => causes.push(path.child("name").required("")),
        _ => causes.extend(path.child("name").invalid_each(name, path_segment(name))),
    }
    for (i, subject) in tree::list(binding, "subjects").iter().enumerate() {
        causes.extend(validate_subject(subject, namespaced, &Path::new("subjects").index(i)));
    }
    causes
}

fn validate_subject(subject: &Value, namespaced: bool, path: &Path) -> Vec<Cause> {
    let text = |field: &str| tree::text(subject, field);
    let mut causes = Vec::new();
    if text("name").is_empty() {
        causes.push(path.child("name").required(""));
    }
    let group = |wanted: &[&str]| {
        let found = text("apiGroup");
        (!wanted.contains(&found)).then(|| path.child("apiGroup").not_supported(found, wanted))
    };
    match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() {
                causes.extend(path.child("name").invalid_each(text("name"), dns1123_subdomain(text("name"))));
            }
            causes.extend(group(&[""]));
            if !namespaced && text("namespace").is_empty() {
                causes.push(path.child("namespace").required(""));
            }
        }
        kind @ ("User" | "Group") => {
            if text("name").is_empty() {
                let why = format!("{} name cannot be empty", kind.to_lowercase());
                causes.push(path.child("name").invalid("", &why));
            }
            causes.extend(group(&[GROUP]));
        }
        other => causes.push(path.child("kind").not_supported(other, &["ServiceAccount", "User", "Group"])),
    }
    causes
}

fn role_ref_stays(new: &Value, old: &Value) -> Vec<Cause> {
    if new.get("roleRef") == old.get("roleRef") {
        return Vec::new();
    }
    vec![Path::new("roleRef").invalid(new["roleRef"].clone(), "cannot change roleRef")]
}
