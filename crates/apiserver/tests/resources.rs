//! What the front does for resources: discovery, tokens of service accounts, roles, OpenAPI.
#![allow(clippy::unwrap_used)]

mod support;

use apiserver::user::User;
use expect_test::expect;
use serde_json::{Value, json};
use support::Cluster;

#[tokio::test]
async fn discovery_tells_a_resource_with_its_subresources() {
    let cluster = Cluster::start().await;
    let list = cluster.must("GET", "/apis/apps/v1", Value::Null).await;
    let line = |entry: &Value| {
        let verbs: Vec<&str> = entry["verbs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        format!("{} {} {} {}\n", entry["name"], entry["kind"], entry["shortNames"], verbs.join(","))
    };
    let text: String = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["name"].as_str().unwrap().starts_with("deploy"))
        .map(line)
        .collect();
    expect![[r#"
        "deployments" "Deployment" ["deploy"] create,delete,deletecollection,get,list,patch,update,watch
        "deployments/scale" "Scale" null get,patch,update
        "deployments/status" "Deployment" null get,patch,update
    "#]]
    .assert_eq(&text);
    // Upstream's own hash of the stored form.
    let core = cluster.must("GET", "/api/v1", Value::Null).await;
    let maps =
        core["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == "configmaps").unwrap().clone();
    assert_eq!(maps["storageVersionHash"], "qFsyl6wFWjQ=");
    cluster.stop().await;
}

#[tokio::test]
async fn a_service_accounts_token_is_good_while_its_account_lives() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.must("POST", accounts, json!({"metadata": {"name": "bot"}})).await;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let answer = cluster.must("POST", &format!("{accounts}/bot/token"), request.clone()).await;
    let bearer = format!("Bearer {}", answer["status"]["token"].as_str().unwrap());
    let path = "/api/v1/namespaces/default/pods";
    let ask = async || cluster.get(None, path, &[("authorization", &bearer)]).await;
    expect![[r#"403 pods is forbidden: User "system:serviceaccount:default:bot" cannot list resource "pods" in API group "" in the namespace "default""#]].assert_eq(&ask().await);

    let role =
        json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    cluster.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", role).await;
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}]});
    cluster.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding).await;
    let mut tries = 0..100;
    while !ask().await.starts_with("200 ") {
        assert!(tries.next().is_some(), "the account is never allowed");
    }

    let other =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["vault"]}});
    let answer = cluster.must("POST", &format!("{accounts}/bot/token"), other).await;
    let foreign = format!("Bearer {}", answer["status"]["token"].as_str().unwrap());
    assert_eq!(cluster.get(None, path, &[("authorization", &foreign)]).await, "401 Unauthorized");

    cluster.must("DELETE", &format!("{accounts}/bot"), Value::Null).await;
    assert_eq!(ask().await, "401 Unauthorized");
    cluster.must("POST", accounts, json!({"metadata": {"name": "bot"}})).await;
    assert_eq!(ask().await, "401 Unauthorized", "the new account of the same name is another one");
    cluster.stop().await;
}

#[tokio::test]
async fn nobody_grants_more_than_they_hold() {
    let cluster = Cluster::start().await;
    let admin = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    cluster.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", admin).await;
    let jane = User::component("jane", &["devs"]);
    let create = async |name: &str, resource: &str| {
        let role = json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get", "list"]}]});
        let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
        cluster.ask(&jane, "POST", path, &role).await
    };
    // The caches that decide follow the store by a moment.
    let mut tries = 0..10_000;
    while create("fine", "pods").await.0 != 201 {
        assert!(tries.next().is_some(), "jane is never allowed");
        tokio::task::yield_now().await;
    }
    let (code, answer) = create("greedy", "nodes").await;
    assert_eq!(code, 403);
    expect![[r#"
        roles.rbac.authorization.k8s.io "greedy" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["nodes"], Verbs:["get", "list"]}"#]]
    .assert_eq(answer["message"].as_str().unwrap());
    cluster.stop().await;
}

#[tokio::test]
async fn openapi_describes_what_kubectl_looks_for() {
    let cluster = Cluster::start().await;
    let index = cluster.must("GET", "/openapi/v3", Value::Null).await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = cluster.must("GET", url, Value::Null).await;
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let names: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "kind": "Deployment", "version": "v1"})
    );
    let containers = &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert!(containers["description"].as_str().is_some_and(|text| text.starts_with("List of containers")));
    let references = document.to_string();
    let missing: Vec<&str> = references
        .split("#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| document["components"]["schemas"].get(*name).is_none())
        .collect();
    assert_eq!(missing, [""; 0]);
    cluster.stop().await;
}
