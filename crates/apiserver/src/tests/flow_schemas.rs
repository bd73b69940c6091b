//! What the API server says of flow schemas: whether their priority level exists.

use api::{Gvr, Key};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::kit::{Kit, MERGE, kit};

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

fn schema(name: &str, level: &str) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": { "name": name },
        "spec": { "priorityLevelConfiguration": { "name": level } },
    })
}

fn level(name: &str) -> Value {
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": { "name": name },
        "spec": { "type": "Limited", "limited": { "limitResponse": { "type": "Reject" } } },
    })
}

fn condition(kit: &Kit, name: &str) -> Value {
    let table = kit.engine.table(&Gvr::new("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")).unwrap();
    table
        .get(&Key::cluster(name))
        .map_or(Value::Null, |schema| schema.tree().unwrap()["status"]["conditions"][0].clone())
}

/// The condition, once its status is this.
async fn check(kit: &Kit, name: &str, status: &str, wanted: Expect) {
    kit.until(|kit| condition(kit, name)["status"] == status).await;
    let found = condition(kit, name);
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    let fields = ["type", "status", "lastTransitionTime", "reason", "message"];
    wanted.assert_eq(&fields.map(text).join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_schema_says_whether_its_level_exists_and_follows_it() {
    let kit = kit().await;
    kit.create(SCHEMAS, schema("a", "gold")).await;
    check(
        &kit,
        "a",
        "True",
        expect![[r#"
        Dangling
        True
        2026-01-01T00:00:00Z
        NotFound
        This FlowSchema references the PriorityLevelConfiguration object named "gold" but there is no such object"#]],
    )
    .await;
    kit.clock.advance(jiff::SignedDuration::from_secs(1));
    kit.create(LEVELS, level("gold")).await;
    check(
        &kit,
        "a",
        "False",
        expect![[r#"
        Dangling
        False
        2026-01-01T00:00:01Z
        Found
        This FlowSchema references the PriorityLevelConfiguration object named "gold" and it exists"#]],
    )
    .await;
    let (_, stored) = kit.ask(&format!("GET {SCHEMAS}/a")).send().await;
    let fields = &stored["metadata"]["managedFields"][0];
    expect![[r#""api-priority-and-fairness-config-consumer-v1" "Apply" "status""#]]
        .assert_eq(&format!("{} {} {}", fields["manager"], fields["operation"], fields["subresource"]));

    kit.ask(&format!("DELETE {LEVELS}/gold")).send().await;
    check(
        &kit,
        "a",
        "True",
        expect![[r#"
        Dangling
        True
        2026-01-01T00:00:01Z
        NotFound
        This FlowSchema references the PriorityLevelConfiguration object named "gold" but there is no such object"#]],
    )
    .await;
    let patch = json!({ "spec": { "priorityLevelConfiguration": { "name": "silver" } } });
    kit.create(LEVELS, level("silver")).await;
    kit.ask(&format!("PATCH {SCHEMAS}/a")).content_type(MERGE).body(patch).send().await;
    check(
        &kit,
        "a",
        "False",
        expect![[r#"
        Dangling
        False
        2026-01-01T00:00:01Z
        Found
        This FlowSchema references the PriorityLevelConfiguration object named "silver" and it exists"#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_another_writer_insists_on_is_mended_only_so_often() {
    let kit = kit().await;
    kit.create(LEVELS, level("gold")).await;
    kit.create(SCHEMAS, schema("a", "gold")).await;
    let wrong = json!({ "status": { "conditions": [{ "type": "Dangling", "status": "Unknown" }] } });
    let insist = || async {
        let ask = kit.ask(&format!("PATCH {SCHEMAS}/a/status")).content_type(MERGE).body(wrong.clone());
        assert_eq!(ask.send().await.0, 200);
        kit.engine.caches().catch_up(&**kit.engine.store()).await.unwrap();
    };
    for _ in 0..5 {
        kit.until(|kit| condition(kit, "a")["status"] == "False").await;
        insist().await;
    }
    kit.until(|kit| condition(kit, "a")["status"] == "False").await;
    insist().await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(condition(&kit, "a")["status"], "Unknown");
    kit.clock.advance(jiff::SignedDuration::from_secs(61));
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    kit.until(|kit| condition(kit, "a")["status"] == "False").await;
}

#[tokio::test(start_paused = true)]
async fn the_schemas_that_every_cluster_has_find_their_levels() {
    let kit = kit().await;
    crate::bootstrap::standing(&kit.engine).await.unwrap();
    for name in ["exempt", "catch-all", "global-default", "probes"] {
        kit.until(|kit| condition(kit, name)["reason"] == "Found").await;
    }
}
