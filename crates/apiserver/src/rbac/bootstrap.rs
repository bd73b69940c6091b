//! Writes the namespaces, roles and bindings that every cluster has, at every start.
//!
//! An object that is there already is left alone, or completed: rules and subjects that it lacks are added unless its
//! annotation `rbac.authorization.kubernetes.io/autoupdate` is `false`. Nothing is ever taken away.

use std::sync::Arc;

use api::{Gvr, Key, Status};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::policy::{self, BINDINGS, BindingPolicy, CONTROLLER_PREFIX, NAMESPACES, RolePolicy};
use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES};
use crate::http::Server;
use crate::user::User;

const NAMESPACE_RESOURCE: Gvr = Gvr::new("", "v1", "namespaces");
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Writes in flight at once: they share the store's commits.
const WRITES_MAX: usize = 64;

struct Wanted {
    resource: Gvr,
    object: Value,
}

/// Makes the cluster have all of it.
pub async fn write(server: &Arc<Server>) -> Result<(), Status> {
    let namespaces = NAMESPACES.iter().map(|name| Wanted {
        resource: NAMESPACE_RESOURCE,
        object: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
    });
    write_all(server, namespaces.collect()).await?;
    let roles = policy::roles().map(role);
    let controllers = policy::roles().filter_map(controller_binding);
    write_all(server, roles.chain(BINDINGS.iter().map(binding)).chain(controllers).collect()).await
}

async fn write_all(server: &Arc<Server>, wanted: Vec<Wanted>) -> Result<(), Status> {
    let served = wanted.into_iter().filter(|wanted| server.engine.registry().get(&wanted.resource).is_some());
    stream::iter(served.map(|wanted| ensure(server, wanted))).buffer_unordered(WRITES_MAX).try_collect().await
}

async fn ensure(server: &Arc<Server>, wanted: Wanted) -> Result<(), Status> {
    let metadata = |field: &str| wanted.object["metadata"][field].as_str().unwrap_or_default();
    let key = Key::new(metadata("namespace"), metadata("name"));
    let existing = server.engine.table(&wanted.resource).and_then(|table| table.get(&key).cloned());
    let Some(existing) = existing else {
        let path = wanted.resource.path(&key.namespace, "");
        return match send(server, Method::POST, &path, &wanted.object).await {
            Err(status) if status.is_already_exists() => Ok(()),
            other => other,
        };
    };
    let tree = existing.tree().map_err(Status::internal)?;
    match completed(tree, &wanted.object) {
        Some(object) => {
            match send(server, Method::PUT, &wanted.resource.path(&key.namespace, &key.name), &object).await {
                // Another server that starts completes it too.
                Err(status) if status.is_conflict() => Ok(()),
                other => other,
            }
        }
        None => Ok(()),
    }
}

/// The existing object with what it lacks; `None` where it lacks nothing or is not to be touched.
fn completed(mut existing: Value, wanted: &Value) -> Option<Value> {
    if existing["metadata"]["annotations"][AUTOUPDATE].as_str() == Some("false") {
        return None;
    }
    let mut changed = false;
    for field in ["rules", "subjects"] {
        let have = existing[field].as_array().cloned().unwrap_or_default();
        let missing: Vec<Value> =
            wanted[field].as_array().into_iter().flatten().filter(|item| !have.contains(item)).cloned().collect();
        if !missing.is_empty() {
            existing[field] = have.into_iter().chain(missing).collect();
            changed = true;
        }
    }
    changed.then_some(existing)
}

async fn send(server: &Arc<Server>, method: Method, path: &str, object: &Value) -> Result<(), Status> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header("user-agent", "kube-apiserver").body(Bytes::from(object.to_string()));
    let request = request.map_err(Status::internal)?;
    let user = User::component("system:apiserver", &["system:masters"]);
    let response = server.call(request, user).await;
    if response.status().is_success() {
        return Ok(());
    }
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Status::internal)?.to_bytes();
    Err(serde_json::from_slice(&body)
        .unwrap_or_else(|_| Status::failure(code, "InternalError", format!("writing {path} failed"))))
}

fn metadata(namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTOUPDATE: "true"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn role(policy: &RolePolicy) -> Wanted {
    let label = |to: &str| format!("rbac.authorization.k8s.io/aggregate-to-{to}");
    let is_local = !policy.namespace.is_empty();
    let (resource, kind) = if is_local { (ROLES, "Role") } else { (CLUSTER_ROLES, "ClusterRole") };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(policy.namespace, policy.name),
        "rules": rules(policy),
    });
    if !policy.aggregates_to.is_empty() {
        object["metadata"]["labels"][label(policy.aggregates_to)] = "true".into();
    }
    if !policy.aggregates.is_empty() {
        let selector = json!({"matchLabels": {label(policy.aggregates): "true"}});
        object["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
    }
    Wanted { resource, object }
}

/// A role's own rules, or the rules of all that it sums up: each once, in the order in which the aggregation controller
/// would put them, so that it has nothing to write at the start.
fn rules(policy: &RolePolicy) -> Vec<Value> {
    if policy.aggregates.is_empty() {
        return policy.rules.iter().map(|line| rule(line)).collect();
    }
    let mut parts: Vec<_> = policy::roles().filter(|part| part.aggregates_to == policy.aggregates).collect();
    parts.sort_by_key(|part| part.name);
    let mut sum: Vec<Value> = Vec::new();
    for rule in parts.into_iter().flat_map(rules) {
        if !sum.contains(&rule) {
            sum.push(rule);
        }
    }
    sum
}

/// One list of a line, sorted as upstream sorts it.
fn sorted(field: &str) -> Vec<&str> {
    let items = field.split(',').map(str::trim);
    let mut list: Vec<&str> = items.map(|one| if one == "core" { "" } else { one }).collect();
    list.sort_unstable();
    list
}

fn rule(line: &str) -> Value {
    let fields: Vec<Vec<&str>> = line.split('|').map(sorted).collect();
    let verbs = &fields[0];
    match &fields[1..] {
        [paths] => json!({"verbs": verbs, "nonResourceURLs": paths}),
        [groups, resources, names @ ..] => {
            let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources});
            if let [names] = names {
                rule["resourceNames"] = json!(names);
            }
            rule
        }
        [] => json!({"verbs": verbs}),
    }
}

fn binding(policy: &BindingPolicy) -> Wanted {
    let (kind, name) = policy.role.split_once('/').unwrap_or(("ClusterRole", policy.role));
    let subjects = policy.subjects.iter().map(|text| subject(text)).collect();
    bound(policy.namespace, policy.name, (kind, name), subjects)
}

fn controller_binding(policy: &RolePolicy) -> Option<Wanted> {
    let account = policy.name.strip_prefix(CONTROLLER_PREFIX).filter(|_| policy.namespace.is_empty())?;
    let subjects = vec![subject(&format!("ServiceAccount/kube-system/{account}"))];
    Some(bound("", policy.name, ("ClusterRole", policy.name), subjects))
}

fn bound(namespace: &str, name: &str, (role_kind, role): (&str, &str), subjects: Vec<Value>) -> Wanted {
    let is_local = !namespace.is_empty();
    let (resource, kind) =
        if is_local { (ROLE_BINDINGS, "RoleBinding") } else { (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding") };
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata(namespace, name),
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
        "subjects": subjects,
    });
    Wanted { resource, object }
}

fn subject(text: &str) -> Value {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["ServiceAccount", namespace, name] => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        [kind, name] => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_policy_is_a_rule_and_every_binding_has_its_role() {
        for policy in policy::roles() {
            for rule in rules(policy) {
                let complete = rule["nonResourceURLs"].is_array()
                    || (rule["apiGroups"].is_array() && rule["resources"].is_array());
                assert!(complete, "{}: {rule}", policy.name);
                assert!(!rule.to_string().contains('|') && !rule.to_string().contains(' '), "{}: {rule}", policy.name);
            }
        }
        for wanted in BINDINGS {
            let (_, name) = wanted.role.split_once('/').unwrap();
            assert!(
                policy::roles().any(|policy| policy.name == name && policy.namespace == wanted.namespace),
                "{name}"
            );
            assert!(!wanted.subjects.iter().any(|text| subject(text).is_null()), "{}", wanted.name);
        }
    }

    #[test]
    fn admin_has_what_edit_and_view_have() {
        let of = |name: &str| rules(policy::roles().find(|policy| policy.name == name).unwrap());
        let (admin, edit, view) = (of("admin"), of("edit"), of("view"));
        assert!(view.iter().all(|rule| edit.contains(rule)) && edit.iter().all(|rule| admin.contains(rule)));
        assert!(view.len() < edit.len() && edit.len() < admin.len());
    }

    #[test]
    fn what_an_administrator_added_stays_and_what_is_missing_comes_back() {
        let wanted = json!({"rules": [{"verbs": ["get"]}, {"verbs": ["list"]}]});
        let existing = json!({"metadata": {}, "rules": [{"verbs": ["list"]}, {"verbs": ["own"]}]});
        let completed_rules = completed(existing.clone(), &wanted).map(|object| object["rules"].clone());
        assert_eq!(completed_rules, Some(json!([{"verbs": ["list"]}, {"verbs": ["own"]}, {"verbs": ["get"]}])));
        let mut kept = existing;
        kept["metadata"] = json!({"annotations": {AUTOUPDATE: "false"}});
        assert_eq!(completed(kept, &wanted), None);
    }
}
