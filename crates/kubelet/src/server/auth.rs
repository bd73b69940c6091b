//! Whether a certified user may ask the kubelet.

use http::Method;
use serde_json::{Value, json};

use crate::shared::Shared;

/// The API server, as it shows itself to kubelets.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const MASTERS: &str = "system:masters";

/// Lets in, or says why not.
pub async fn allows(shared: &Shared, user: &pki::Subject, method: &Method, path: &str) -> Result<(), String> {
    if user.common_name == API_SERVER || user.organizations.iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    let (verb, subresource) = (verb(method), subresource(path));
    let name = &shared.config.node_name;
    let mut groups = user.organizations.clone();
    groups.push("system:authenticated".to_owned());
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.common_name,
            "groups": groups,
            "resourceAttributes": {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": name},
        },
    });
    let answer = shared.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await;
    let answer = answer.map_err(|error| format!("cannot ask whether user {} may do so: {error}", user.common_name))?;
    if answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    Err(format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])", user.common_name))
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

/// The subresource of nodes that stands for a path.
fn subresource(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        _ => "proxy",
    }
}
