//! Changes: preconditions, patches, generations, what may not change.

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, MERGE, PODS, config_map, kit, pod};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    })
}

async fn patch(kit: &Kit, path: &str, content_type: &str, patch: Value) -> (u16, Value) {
    kit.ask(&format!("PATCH {path}")).content_type(content_type).body(patch).send().await
}

fn message(answer: &(u16, Value)) -> String {
    format!("{} {}", answer.0, answer.1["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn an_update_of_an_old_revision_is_refused_and_one_without_changes_writes_nothing() {
    let kit = kit().await;
    let first = kit.create(CONFIG_MAPS, config_map("c")).await;
    let path = format!("{CONFIG_MAPS}/c");
    let (code, same) = kit.ask(&format!("PUT {path}")).body(first.clone()).send().await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &first["metadata"]["resourceVersion"]));
    let mut changed = first.clone();
    changed["data"]["a"] = json!("2");
    let (code, second) = kit.ask(&format!("PUT {path}")).body(changed).send().await;
    assert!(code == 200 && second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]);
    let mut late = first.clone();
    late["data"]["a"] = json!("3");
    let refused = kit.ask(&format!("PUT {path}")).body(late).send().await;
    expect![[r#"409 Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again"#]].assert_eq(&message(&refused));
    let mut other = config_map("c");
    other["metadata"]["uid"] = json!("x");
    expect![[r#"409 Operation cannot be fulfilled on configmaps "c": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/c, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta: a534a6a6-b7fd-4b63-90ba-d0da572baaf1"#]].assert_eq(&message(&kit.ask(&format!("PUT {path}")).body(other).send().await));
    expect![[r#"404 configmaps "none" not found"#]]
        .assert_eq(&message(&kit.ask(&format!("PUT {CONFIG_MAPS}/none")).body(config_map("none")).send().await));
}

#[tokio::test]
async fn each_kind_of_patch_changes_the_object() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    let path = format!("{CONFIG_MAPS}/c");
    let (_, merged) = patch(&kit, &path, MERGE, json!({ "data": { "b": "2", "a": null } })).await;
    assert_eq!(merged["data"], json!({ "b": "2" }));
    let json_patch = json!([{ "op": "replace", "path": "/data/b", "value": "3" }]);
    let (_, patched) = patch(&kit, &path, "application/json-patch+json", json_patch).await;
    assert_eq!(patched["data"], json!({ "b": "3" }));
    kit.create(PODS, pod("p")).await;
    let strategic = json!({ "spec": { "containers": [{ "name": "c", "image": "new" }] } });
    let (_, changed) = patch(&kit, &format!("{PODS}/p"), "application/strategic-merge-patch+json", strategic).await;
    assert_eq!(
        (&changed["spec"]["containers"][0]["image"], &changed["metadata"]["generation"]),
        (&json!("new"), &json!(2))
    );
    let node = patch(&kit, &format!("{PODS}/p"), MERGE, json!({ "spec": { "nodeName": "n" } })).await;
    expect![[r#"
        422 Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
        @@ -140,7 +140,7 @@
          "NodeSelector": null,
          "ServiceAccountName": "default",
          "AutomountServiceAccountToken": null,
        - "NodeName": "",
        + "NodeName": "n",
          "SecurityContext": {
           "HostNetwork": false,
           "HostPID": false,
    "#]].assert_eq(&message(&node));
}

#[tokio::test]
async fn appliers_own_what_they_apply() {
    let kit = kit().await;
    let apply = "application/apply-patch+yaml";
    let path = format!("{CONFIG_MAPS}/c");
    let (code, made) = patch(&kit, &format!("{path}?fieldManager=m1"), apply, config_map("c")).await;
    assert_eq!((code, &made["metadata"]["managedFields"][0]["manager"]), (201, &json!("m1")), "{made}");
    let mut other = config_map("c");
    other["data"]["a"] = json!("2");
    let refused = patch(&kit, &format!("{path}?fieldManager=m2"), apply, other.clone()).await;
    expect![[r#"409 Apply failed with 1 conflict: conflict with "m1": .data.a"#]].assert_eq(&message(&refused));
    let (code, forced) = patch(&kit, &format!("{path}?fieldManager=m2&force=true"), apply, other).await;
    assert_eq!((code, &forced["data"]["a"]), (200, &json!("2")));
    expect![[
        r#"422 PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#
    ]]
    .assert_eq(&message(&patch(&kit, &path, apply, config_map("c")).await));
}

#[tokio::test]
async fn a_generation_counts_what_is_wanted_and_status_has_its_own_door() {
    let kit = kit().await;
    let made = kit.create(DEPLOYMENTS, deployment()).await;
    assert_eq!((&made["metadata"]["generation"], &made["spec"]["replicas"]), (&json!(1), &json!(1)));
    let path = format!("{DEPLOYMENTS}/d");
    let both = json!({ "spec": { "replicas": 2 }, "status": { "replicas": 9 } });
    let (_, changed) = patch(&kit, &path, MERGE, both).await;
    assert_eq!((&changed["metadata"]["generation"], &changed["status"]), (&json!(2), &json!({})));
    let both = json!({ "spec": { "replicas": 7 }, "status": { "replicas": 2 } });
    let (_, status) = patch(&kit, &format!("{path}/status"), MERGE, both).await;
    assert_eq!((&status["metadata"]["generation"], &status["spec"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!(status["status"]["replicas"], 2);
    let selector = json!({ "spec": { "selector": { "matchLabels": { "a": "c" } } } });
    expect![[r#"422 Deployment.apps "d" is invalid: [spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`, spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable]"#]].assert_eq(&message(&patch(&kit, &path, MERGE, selector).await));
}

#[tokio::test]
async fn a_lease_is_made_by_its_first_update_and_names_its_revision_later() {
    let kit = kit().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease = json!({ "metadata": { "name": "l" }, "spec": { "holderIdentity": "h" } });
    let (code, _) = kit.ask(&format!("PUT {path}")).body(lease.clone()).send().await;
    assert_eq!(code, 201);
    expect![[r#"422 leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#]].assert_eq(&message(&kit.ask(&format!("PUT {path}")).body(lease).send().await));
}
