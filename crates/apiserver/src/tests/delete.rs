//! Deletion: grace, finalizers, propagation, preconditions.

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, MERGE, PODS, config_map, kit, pod};

async fn delete(kit: &Kit, path: &str, options: Value) -> (u16, Value) {
    kit.ask(&format!("DELETE {path}")).body(options).send().await
}

fn short(answer: &(u16, Value)) -> String {
    let meta = &answer.1["metadata"];
    format!(
        "{} {} grace={} deleted={} finalizers={}",
        answer.0, answer.1["kind"], meta["deletionGracePeriodSeconds"], meta["deletionTimestamp"], meta["finalizers"]
    )
}

async fn bound_pod(kit: &Kit) {
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = json!("n1");
    kit.create(PODS, bound).await;
}

#[tokio::test]
async fn a_pod_on_a_node_goes_in_two_steps_and_grace_only_shortens() {
    let kit = kit().await;
    bound_pod(&kit).await;
    let path = format!("{PODS}/p");
    expect![[r#"200 "Pod" grace=30 deleted="2026-01-01T00:00:30Z" finalizers=null"#]]
        .assert_eq(&short(&delete(&kit, &path, json!({})).await));
    expect![[r#"200 "Pod" grace=30 deleted="2026-01-01T00:00:30Z" finalizers=null"#]]
        .assert_eq(&short(&delete(&kit, &path, json!({ "gracePeriodSeconds": 60 })).await));
    expect![[r#"200 "Pod" grace=5 deleted="2026-01-01T00:00:05Z" finalizers=null"#]]
        .assert_eq(&short(&delete(&kit, &path, json!({ "gracePeriodSeconds": 5 })).await));
    expect![[r#"200 "Pod" grace=0 deleted="2026-01-01T00:00:00Z" finalizers=null"#]]
        .assert_eq(&short(&delete(&kit, &path, json!({ "gracePeriodSeconds": 0 })).await));
    assert_eq!(kit.ask(&format!("GET {path}")).send().await.0, 404);
    kit.create(PODS, pod("q")).await;
    expect![[r#"200 "Pod" grace=0 deleted="2026-01-01T00:00:00Z" finalizers=null"#]]
        .assert_eq(&short(&delete(&kit, &format!("{PODS}/q"), json!({})).await));
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_taken_away() {
    let kit = kit().await;
    let mut held = config_map("c");
    held["metadata"]["finalizers"] = json!(["a.b/c"]);
    kit.create(CONFIG_MAPS, held).await;
    let path = format!("{CONFIG_MAPS}/c");
    expect![[r#"200 "ConfigMap" grace=0 deleted="2026-01-01T00:00:00Z" finalizers=["a.b/c"]"#]]
        .assert_eq(&short(&delete(&kit, &path, json!({})).await));
    let patch = |finalizers: Value| {
        let ask = kit.ask(&format!("PATCH {path}")).content_type(MERGE);
        ask.body(json!({ "metadata": { "finalizers": finalizers } })).send()
    };
    let (_, refused) = patch(json!(["a.b/c", "d.e/f"])).await;
    expect![[r#"ConfigMap "c" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"d.e/f"}"#]].assert_eq(refused["message"].as_str().unwrap());
    assert_eq!(patch(Value::Null).await.0, 200);
    assert_eq!(kit.ask(&format!("GET {path}")).send().await.0, 404);
}

#[tokio::test]
async fn propagation_becomes_finalizers_and_plain_deletion_a_status() {
    let kit = kit().await;
    for (policy, name) in [("Orphan", "a"), ("Foreground", "b"), ("Background", "c")] {
        kit.create(CONFIG_MAPS, config_map(name)).await;
        let answer = delete(&kit, &format!("{CONFIG_MAPS}/{name}"), json!({ "propagationPolicy": policy })).await;
        match policy {
            "Orphan" => expect![[r#"200 "ConfigMap" grace=0 deleted="2026-01-01T00:00:00Z" finalizers=["orphan"]"#]]
                .assert_eq(&short(&answer)),
            "Foreground" => {
                expect![[r#"200 "ConfigMap" grace=0 deleted="2026-01-01T00:00:00Z" finalizers=["foregroundDeletion"]"#]]
                    .assert_eq(&short(&answer))
            }
            _ => expect![[r#"200 "Status" grace=null deleted=null finalizers=null"#]].assert_eq(&short(&answer)),
        }
    }
}

#[tokio::test]
async fn preconditions_are_kept() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    let path = format!("{CONFIG_MAPS}/c");
    let (code, uid) = delete(&kit, &path, json!({ "preconditions": { "uid": "x" } })).await;
    assert!(code == 409 && uid["message"].as_str().unwrap().contains("the UID in the precondition (x) does not match"));
    let (code, revision) = delete(&kit, &path, json!({ "preconditions": { "resourceVersion": "1" } })).await;
    assert!(code == 409 && revision["message"].as_str().unwrap().contains("The object might have been modified"));
    let refused = delete(&kit, &path, json!({ "propagationPolicy": "Sideways" })).await;
    expect![[r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil""#]].assert_eq(refused.1["message"].as_str().unwrap());
}

#[tokio::test]
async fn a_namespace_waits_for_its_controller_and_takes_nothing_new() {
    let kit = kit().await;
    let namespace = json!({ "metadata": { "name": "n" } });
    let made = kit.create("/api/v1/namespaces", namespace).await;
    assert_eq!(made["metadata"]["labels"], json!({ "kubernetes.io/metadata.name": "n" }));
    let (code, going) = delete(&kit, "/api/v1/namespaces/n", json!({})).await;
    assert_eq!((code, &going["status"]["phase"]), (200, &json!("Terminating")));
    let (code, refused) = kit.ask("POST /api/v1/namespaces/n/configmaps").body(config_map("c")).send().await;
    expect![[
        r#"403 configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated"#
    ]]
    .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
    let mut finalized = going.clone();
    finalized["spec"]["finalizers"] = json!([]);
    let (code, body) = kit.ask("PUT /api/v1/namespaces/n/finalize").body(finalized).send().await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(kit.ask("GET /api/v1/namespaces/n").send().await.0, 404);
    let (code, refused) = delete(&kit, "/api/v1/namespaces/default", json!({})).await;
    expect![[r#"403 namespaces "default" is forbidden: this namespace may not be deleted"#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let kit = kit().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({ "l": label });
        kit.create(CONFIG_MAPS, map).await;
    }
    let (code, list) = kit.ask(&format!("DELETE {CONFIG_MAPS}?labelSelector=l%3Dx")).send().await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
    let (_, left) = kit.ask(&format!("GET {CONFIG_MAPS}")).send().await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn events_expire_an_hour_after_they_were_last_seen() {
    let kit = kit().await;
    let event = json!({
        "metadata": { "name": "e", "namespace": "default" }, "involvedObject": { "kind": "Pod", "namespace": "default" },
        "lastTimestamp": "2026-01-01T00:30:00Z",
    });
    kit.create("/api/v1/namespaces/default/events", event).await;
    for (minutes, deleted) in [(80, 0), (20, 1)] {
        kit.clock.advance(jiff::SignedDuration::from_mins(minutes));
        assert_eq!(crate::upkeep::expire_events(&kit.engine).await.unwrap(), deleted);
    }
}
