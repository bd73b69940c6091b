//! Binding, eviction, scale, events in two groups.

use expect_test::expect;
use serde_json::json;

use super::kit::{MERGE, PODS, kit, pod};

#[tokio::test]
async fn a_pod_is_bound_once() {
    let kit = kit().await;
    kit.create(PODS, pod("p")).await;
    let bind = |node: &str| {
        let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": node } });
        kit.ask(&format!("POST {PODS}/p/binding")).body(binding).send()
    };
    let (code, answer) = bind("n1").await;
    expect![[r#"201 {"apiVersion":"v1","code":201,"kind":"Status","metadata":{},"status":"Success"}"#]]
        .assert_eq(&format!("{code} {answer}"));
    let (code, refused) = bind("n2").await;
    expect![[r#"409 Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1""#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
    let (_, bound) = kit.ask(&format!("GET {PODS}/p")).send().await;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test]
async fn an_eviction_deletes() {
    let kit = kit().await;
    kit.create(PODS, pod("p")).await;
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" } });
    let (code, answer) = kit.ask(&format!("POST {PODS}/p/eviction")).body(eviction).send().await;
    assert_eq!((code, &answer["status"]), (201, &json!("Success")));
    assert_eq!(kit.ask(&format!("GET {PODS}/p")).send().await.0, 404);
}

#[tokio::test]
async fn scale_reads_and_writes_replicas() {
    let kit = kit().await;
    let set = json!({
        "metadata": { "name": "r" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    });
    kit.create("/apis/apps/v1/namespaces/default/replicasets", set).await;
    let path = "/apis/apps/v1/namespaces/default/replicasets/r/scale";
    let (_, scale) = kit.ask(&format!("GET {path}")).send().await;
    assert_eq!(
        (&scale["kind"], &scale["spec"], &scale["status"]),
        (&json!("Scale"), &json!({ "replicas": 2 }), &json!({ "replicas": 0, "selector": "a=b" }))
    );
    let patch = json!({ "spec": { "replicas": 5 } });
    let (code, scale) = kit.ask(&format!("PATCH {path}")).content_type(MERGE).body(patch).send().await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(5)));
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = json!(1);
    let (code, scale) = kit.ask(&format!("PUT {path}")).body(wanted).send().await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(1)), "{scale}");
}

#[tokio::test]
async fn an_event_is_read_in_both_groups() {
    let kit = kit().await;
    let event = json!({
        "metadata": { "name": "e", "namespace": "default" }, "regarding": { "kind": "Pod", "name": "p", "namespace": "default" },
        "reason": "Started", "note": "hello", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Starting", "reportingController": "kubelet", "reportingInstance": "n1",
    });
    kit.create("/apis/events.k8s.io/v1/namespaces/default/events", event).await;
    let (_, core) = kit.ask("GET /api/v1/namespaces/default/events/e").send().await;
    assert_eq!((&core["apiVersion"], &core["message"]), (&json!("v1"), &json!("hello")));
    let list = "GET /apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name%3Dp";
    let (_, list) = kit.ask(list).send().await;
    assert_eq!((&list["kind"], &list["items"][0]["note"]), (&json!("EventList"), &json!("hello")));
    let old = json!({
        "metadata": { "name": "old" }, "involvedObject": { "namespace": "default" }, "source": { "component": "scheduler" },
        "reportingComponent": "other",
    });
    kit.create("/api/v1/namespaces/default/events", old).await;
    let mut found = Vec::new();
    for source in ["kubelet", "scheduler", "other"] {
        let line = format!("GET /api/v1/namespaces/default/events?fieldSelector=source%3D{source}");
        let (_, list) = kit.ask(&line).send().await;
        found.push(list["items"].as_array().unwrap().len());
    }
    assert_eq!(found, [1, 1, 0], "by its source, or by its controller where it names none");
}

#[tokio::test]
async fn what_is_answered_and_not_kept_has_no_columns() {
    let kit = kit().await;
    let line = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": "/" } } });
    let (code, refused) =
        kit.ask(line).accept("application/json;as=Table;v=v1;g=meta.k8s.io").body(review).send().await;
    expect![[r#"406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
}

#[tokio::test]
async fn a_kubelet_writes_only_what_is_its_own() {
    let kit = kit().await;
    let node = |name: &str| json!({ "metadata": { "name": name } });
    let as_node = |line: &str, body| kit.ask(line).user("system:node:n1", "system:nodes").body(body).send();
    assert_eq!(as_node("POST /api/v1/nodes", node("n1")).await.0, 201);
    let (code, refused) = as_node("POST /api/v1/nodes", node("n2")).await;
    expect![[r#"403 nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
    let (code, refused) = as_node(&format!("POST {PODS}"), pod("p")).await;
    expect![[r#"403 pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#]].assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
    let mut mirror = pod("m");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    mirror["spec"]["nodeName"] = json!("n1");
    let (code, body) = as_node(&format!("POST {PODS}"), mirror).await;
    assert_eq!((code, &body["spec"]["serviceAccountName"]), (201, &json!(null)), "{body}");
    kit.create(PODS, pod("p")).await;
    let (code, refused) = as_node(&format!("DELETE {PODS}/p"), json!({})).await;
    expect![[r#"403 pods "p" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself"#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
}
