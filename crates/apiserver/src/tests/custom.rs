//! Custom resources: from their definition to their end, through the same engine as everything else.

use api::Gvr;
use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{Kit, MERGE, kit};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WS: &str = "/apis/g.io/v1/namespaces/default/ws";

fn definition(version: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "ws.g.io" },
        "spec": { "group": "g.io", "scope": "Namespaced", "names": { "plural": "ws", "kind": "W", "shortNames": ["w1"] },
            "versions": [version] },
    })
}

fn version(name: &str) -> Value {
    json!({
        "name": name, "served": true, "storage": true,
        "schema": { "openAPIV3Schema": { "type": "object", "properties": {
            "spec": { "type": "object", "properties": {
                "n": { "type": "integer", "minimum": 0 }, "color": { "type": "string", "default": "red" },
                "l": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": { "type": "object", "required": ["k"],
                        "properties": { "k": { "type": "string" }, "v": { "type": "integer" } } } },
            } },
            "status": { "type": "object", "properties": { "n": { "type": "integer" }, "selector": { "type": "string" } } },
        } } },
        "subresources": { "status": {}, "scale":
            { "specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.selector" } },
        "additionalPrinterColumns": [{ "name": "N", "type": "integer", "jsonPath": ".spec.n" }],
        "selectableFields": [{ "jsonPath": ".spec.color" }],
    })
}

fn w(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "g.io/v1", "kind": "W", "metadata": { "name": name }, "spec": spec })
}

impl Kit {
    /// Creates the definition and waits until it is served.
    async fn define(&self, definition: Value) {
        self.create(DEFINITIONS, definition).await;
        self.until(|kit| kit.engine.registry().find("g.io", "v1", "ws").is_some()).await;
    }

    async fn definition(&self) -> Value {
        self.ask(&format!("GET {DEFINITIONS}/ws.g.io")).send().await.1
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_served_at_once_and_taken_away_with_its_objects() {
    let kit = kit().await;
    assert_eq!(kit.ask(&format!("GET {WS}")).send().await.0, 404);
    kit.define(definition(version("v1"))).await;
    let stored = kit.definition().await;
    let conditions = stored["status"]["conditions"].as_array().unwrap();
    let conditions: Vec<_> =
        conditions.iter().map(|c| format!("{}={} {}", c["type"], c["status"], c["reason"])).collect();
    expect![[r#"
        [
            "\"NamesAccepted\"=\"True\" \"NoConflicts\"",
            "\"Established\"=\"True\" \"InitialNamesAccepted\"",
        ]
    "#]]
    .assert_debug_eq(&conditions);
    assert_eq!(stored["status"]["acceptedNames"]["listKind"], "WList");

    let mut frames = kit.ask(&format!("GET {WS}?watch=true")).stream().await;
    let mut held = w("held", json!({ "n": 1 }));
    held["metadata"]["finalizers"] = json!(["g.io/wait"]);
    kit.create(WS, w("a", json!({ "n": 1, "junk": true }))).await;
    kit.create(WS, held).await;
    assert_eq!([frames.next().await, frames.next().await], ["ADDED a", "ADDED held"]);

    let (code, answer) = kit.ask(&format!("DELETE {DEFINITIONS}/ws.g.io")).send().await;
    assert_eq!((code, &answer["kind"]), (200, &json!("CustomResourceDefinition")));
    assert_eq!(frames.next().await, "DELETED a");
    assert_eq!(frames.next().await, "MODIFIED held");
    let (code, refused) = kit.ask(&format!("POST {WS}")).body(w("late", json!({}))).send().await;
    assert_eq!(
        (code, &refused["message"]),
        (405, &json!("create not allowed while custom resource definition is terminating"))
    );

    let patch = json!({ "metadata": { "finalizers": null } });
    kit.ask(&format!("PATCH {WS}/held")).content_type(MERGE).body(patch).send().await;
    assert_eq!(frames.next().await, "DELETED held");
    kit.until(|kit| kit.engine.registry().find("g.io", "v1", "ws").is_none()).await;
    assert_eq!(frames.next().await, "END");
    assert_eq!(kit.ask(&format!("GET {DEFINITIONS}/ws.g.io")).send().await.0, 404);
    assert!(kit.engine.table(&Gvr::new("g.io", "v1", "ws")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_changed_schema_takes_effect_at_once_and_old_objects_are_read_by_it() {
    let kit = kit().await;
    kit.define(definition(version("v1"))).await;
    kit.create(WS, w("a", json!({ "n": 1, "color": "blue" }))).await;
    let mut frames = kit.ask(&format!("GET {WS}?watch=true")).stream().await;
    assert_eq!(frames.next().await, "ADDED a");

    let change = json!([
        { "op": "remove", "path": "/spec/versions/0/selectableFields" },
        { "op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color" },
        { "op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size",
          "value": { "type": "string", "default": "big" } },
    ]);
    let line = format!("PATCH {DEFINITIONS}/ws.g.io");
    let (code, body) = kit.ask(&line).content_type("application/json-patch+json").body(change).send().await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(body["metadata"]["generation"], 2);
    assert_eq!(frames.next().await, "END", "watchers begin anew under the new schema");
    let (_, list) = kit.ask(&format!("GET {WS}")).send().await;
    assert_eq!(list["items"][0]["spec"], json!({ "n": 1, "size": "big" }));
    let (_, one) = kit.ask(&format!("GET {WS}/a")).send().await;
    assert_eq!(one["spec"], json!({ "n": 1, "size": "big" }));
}

#[tokio::test(start_paused = true)]
async fn versions_share_their_objects_and_a_restart_serves_them_again() {
    let kit = kit().await;
    let mut two = definition(version("v1"));
    let mut second = version("v2");
    second["storage"] = false.into();
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    kit.define(two).await;
    kit.create(WS, w("a", json!({ "n": 1 }))).await;
    let (_, seen) = kit.ask("GET /apis/g.io/v2/namespaces/default/ws/a").send().await;
    assert_eq!((&seen["apiVersion"], &seen["spec"]["color"]), (&json!("g.io/v2"), &json!("red")));
    let change = json!({ "spec": { "n": 2 } });
    let (code, seen) =
        kit.ask("PATCH /apis/g.io/v2/namespaces/default/ws/a").content_type(MERGE).body(change).send().await;
    assert_eq!((code, &seen["apiVersion"], &seen["metadata"]["generation"]), (200, &json!("g.io/v2"), &json!(2)));
    let (_, list) = kit.ask("GET /apis/g.io/v1/ws?fieldSelector=spec.color%3Dred").send().await;
    assert_eq!((&list["items"][0]["spec"]["n"], &list["kind"]), (&json!(2), &json!("WList")));
    let (code, refused) = kit.ask("GET /apis/g.io/v1/ws?fieldSelector=spec.n%3D1").send().await;
    assert_eq!((code, &refused["message"]), (400, &json!("field label not supported: spec.n")));

    let again = kit.restarted().await;
    let (code, seen) = again.ask(&format!("GET {WS}/a")).send().await;
    assert_eq!((code, &seen["spec"]["n"]), (200, &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn writes_are_checked_pruned_and_owned_as_those_of_built_in_kinds() {
    let kit = kit().await;
    kit.define(definition(version("v1"))).await;
    let (code, refused) =
        kit.ask(&format!("POST {WS}?fieldValidation=Strict")).body(w("a", json!({ "x": 1 }))).send().await;
    let message = "W in version \"v1\" cannot be handled as a W: strict decoding error: unknown field \"spec.x\"";
    assert_eq!((code, &refused["message"]), (400, &json!(message)));
    let (code, refused) = kit.ask(&format!("POST {WS}")).body(w("a", json!({ "n": -1 }))).send().await;
    let message = "W.g.io \"a\" is invalid: [spec.n: Invalid value: -1: spec.n in body should be greater than or equal to 0, \
                   .spec.n: Invalid value: -1: should be a non-negative integer]";
    assert_eq!((code, &refused["message"]), (422, &json!(message)));

    let apply = "application/apply-patch+yaml";
    for (manager, k) in [("one", "a"), ("two", "b")] {
        let configuration = w("a", json!({ "l": [{ "k": k, "v": 1 }] }));
        let line = format!("PATCH {WS}/a?fieldManager={manager}");
        let (code, body) = kit.ask(&line).content_type(apply).body(configuration).send().await;
        assert!(code < 300, "{body}");
    }
    let line = format!("PATCH {WS}/a?fieldManager=two");
    let taken = w("a", json!({ "l": [{ "k": "a", "v": 2 }, { "k": "b", "v": 1 }] }));
    let (code, refused) = kit.ask(&line).content_type(apply).body(taken).send().await;
    let message = "Apply failed with 1 conflict: conflict with \"one\": .spec.l[k=\"a\"].v";
    assert_eq!((code, &refused["message"]), (409, &json!(message)));

    let merge =
        json!({ "metadata": { "labels": { "x": "y" } }, "spec": { "n": 9 }, "status": { "n": 4, "selector": "a=b" } });
    let line = format!("PATCH {WS}/a/status");
    let (_, body) = kit.ask(&line).content_type(MERGE).body(merge).send().await;
    assert_eq!(
        (&body["spec"]["n"], &body["status"]["n"], &body["metadata"]["labels"]),
        (&Value::Null, &json!(4), &Value::Null)
    );
    assert_eq!(body["metadata"]["generation"], 2, "a status is no new wish");
    let (code, _) = kit
        .ask(&format!("PUT {WS}/a/scale"))
        .body(json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a" }, "spec": { "replicas": 3 },
        }))
        .send()
        .await;
    assert_eq!(code, 200);
    let (_, scale) = kit.ask(&format!("GET {WS}/a/scale")).send().await;
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({ "replicas": 3 }), &json!({ "replicas": 4, "selector": "a=b" }))
    );

    let (_, table) = kit.ask(&format!("GET {WS}")).accept("application/json;as=Table;v=v1;g=meta.k8s.io").send().await;
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3]));
    let strategic = kit.ask(&format!("PATCH {WS}/a")).content_type("application/strategic-merge-patch+json");
    assert_eq!(strategic.body(json!({})).send().await.0, 415);
}
