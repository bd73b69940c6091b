//! Tests of patches.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn pod() -> Schema<'static> {
    crate::schema::builtin().lookup("io.k8s.api.core.v1.Pod").unwrap()
}

fn check(original: Value, patch: Value, wanted: Expect) {
    let result = strategic(&original, patch.to_string().as_bytes(), pod());
    let text = |status: Status| format!("{} {status}", status.code);
    wanted.assert_eq(&result.map_or_else(text, |patched| patched.value.to_string()));
}

#[test]
fn containers_are_merged_by_name_and_new_ones_come_first() {
    check(
        json!({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1","args":["x"]}]}}),
        json!({"spec":{"containers":[{"name":"b","image":"2","args":null},{"name":"c","image":"3"}]}}),
        expect![[
            r#"{"spec":{"containers":[{"image":"1","name":"a"},{"image":"2","name":"b"},{"image":"3","name":"c"}]}}"#
        ]],
    );
}

#[test]
fn items_are_deleted_and_lists_replaced_by_directive() {
    check(
        json!({"spec":{"containers":[{"name":"a"},{"name":"b"}],"volumes":[{"name":"v","emptyDir":{}}]}}),
        json!({"spec":{"containers":[{"name":"a","$patch":"delete"}],"volumes":[{"$patch":"replace"},{"name":"w"}]}}),
        expect![[r#"{"spec":{"containers":[{"name":"b"}],"volumes":[{"name":"w"}]}}"#]],
    );
    // As kubectl changes one of two ports that share their number.
    check(
        json!({"spec":{"containers":[{"name":"a","image":"1"},{"name":"a","image":"2"}]}}),
        json!({"spec":{"containers":[{"name":"a","image":"3"},{"name":"b"},{"name":"a","$patch":"delete"}]}}),
        expect![[r#"{"spec":{"containers":[{"image":"3","name":"a"},{"name":"b"}]}}"#]],
    );
    check(json!({"spec":{"a":1}}), json!({"spec":{"$patch":"replace","b":2}}), expect![[r#"{"spec":{"b":2}}"#]]);
    check(
        json!({"spec":{"a":1}}),
        json!({"spec":{"$patch":"x"}}),
        expect!["500 unknown patch type: x in map: map[$patch:x]"],
    );
}

#[test]
fn retained_keys_drop_the_other_members_of_a_union() {
    check(
        json!({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}),
        json!({"spec":{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}}),
        expect![[r#"{"spec":{"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}}"#]],
    );
}

#[test]
fn element_order_is_the_clients_and_unknown_items_keep_their_place() {
    check(
        json!({"spec":{"containers":[{"name":"a"},{"name":"s"},{"name":"b"}]}}),
        json!({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"b","image":"2"}]}}),
        expect![[r#"{"spec":{"containers":[{"name":"s"},{"image":"2","name":"b"},{"name":"a"}]}}"#]],
    );
}

#[test]
fn finalizers_are_a_set_and_can_be_taken_away_one_by_one() {
    check(
        json!({"metadata":{"finalizers":["a","b"]}}),
        json!({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],"finalizers":["c"]}}),
        expect![[r#"{"metadata":{"finalizers":["c","b"]}}"#]],
    );
}

#[test]
fn lists_without_a_merge_strategy_are_replaced() {
    check(
        json!({"spec":{"tolerations":[{"key":"a"}]}}),
        json!({"spec":{"tolerations":[{"key":"b"}]}}),
        expect![[r#"{"spec":{"tolerations":[{"key":"b"}]}}"#]],
    );
    check(
        json!({"spec":{"containers":[{"name":"a"}]}}),
        json!({"spec":{"containers":[{"image":"b"}]}}),
        expect!["500 map: map[image:b] does not contain declared merge key: name"],
    );
}

#[test]
fn json_patches_apply_whole_or_not_at_all() {
    let original = json!({"metadata":{"labels":{"l":"1"}}});
    let apply = |patch: Value| match json(&original, patch.to_string().as_bytes()) {
        Ok(patched) => patched.value.to_string(),
        Err(status) => format!("{} {status}", status.code),
    };
    let cases = [
        json!([{"op":"add","path":"/metadata/annotations","value":{"x":"y"}}]),
        json!([{"op":"test","path":"/metadata/labels/l","value":"2"}]),
        json!([{"op":"remove","path":"/spec"}]),
        json!({"op":"remove"}),
    ];
    expect![[r#"
        {"metadata":{"annotations":{"x":"y"},"labels":{"l":"1"}}}
        422 the server rejected our request due to an error in our request
        422 the server rejected our request due to an error in our request
        400 error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp
    "#]]
    .assert_eq(&cases.map(|case| apply(case) + "\n").concat());
}

#[test]
fn a_json_patch_that_doubles_and_doubles_is_stopped() {
    let original = json!({"data":{"a":"x".repeat(1000)}});
    let mut operations = Vec::new();
    for round in 0..40 {
        operations.push(json!({"op":"copy","from":"/data","path":format!("/data/c{round}")}));
    }
    let status = json(&original, Value::Array(operations).to_string().as_bytes()).unwrap_err();
    assert_eq!(status.code, 422);
}

#[test]
fn merge_patches_remove_what_is_null() {
    let merged = merge(&json!({"a":{"b":1,"c":2},"d":[1]}), br#"{"a":{"b":null,"e":{"f":null}},"d":[2]}"#).unwrap();
    assert_eq!(merged.value, json!({"a":{"c":2,"e":{}},"d":[2]}));
}

#[test]
fn wrong_strategic_patches_are_refused_in_upstreams_words() {
    let live = json!({"spec":{"containers":[{"name":"a"}],"volumes":[{"name":"v","emptyDir":{}}]}});
    let cases = [
        json!({"spec":{"containers":[{"name":"a","$patch":"merge"}]}}),
        json!({"spec":{"containers":[{"name":"a","$patch":"x"}]}}),
        json!({"spec":{"volumes":[{"name":"v","$retainKeys":"name"}]}}),
        json!({"spec":{"volumes":[{"name":"v","$retainKeys":["name"],"hostPath":{"path":"/"}}]}}),
        json!({"spec":{"$setElementOrder/containers":"a"}}),
        json!({"spec":{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a"}]}}),
        json!({"spec":{"containers":[["x"]]}}),
        json!(["x"]),
    ];
    let refused = |patch: Value| {
        let status = strategic(&live, patch.to_string().as_bytes(), pod()).unwrap_err();
        format!("{} {}\n", status.code, status.message.trim_end())
    };
    expect![[r#"
        500 merging lists cannot yet be specified in the patch
        500 unknown patch type: x in map: map[$patch:x name:a]
        400 invalid patch format of retainKeys
        400 invalid patch format of retainKeys
        500 expected a []interface {}, but received a string
        500 The order in patch list:
        [map[name:a]]
         doesn't match $setElementOrder list:
        [map[name:b]]
        422 the server rejected our request due to an error in our request
        400 json: cannot unmarshal array into Go value of type map[string]interface {}
    "#]]
    .assert_eq(&cases.map(refused).concat());
}

#[test]
fn a_patch_tells_what_it_has_twice_or_nobody_reads() {
    let live = json!({"metadata":{"name":"a"}});
    let found = |patched: Result<Patched, Status>| patched.unwrap().findings.join("; ");
    let text = br#"[{"op":"test","path":"/metadata/name","value":"a","x":1},{"op":"test","op":"test","path":"/metadata/none"}]"#;
    expect![[r#"json patch duplicate field "[1].op"; json patch unknown field "[0].x""#]]
        .assert_eq(&found(json(&live, text)));
    let text = br#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#;
    expect![[r#"duplicate field "metadata.labels.a""#]].assert_eq(&found(merge(&live, text)));
    expect![[r#"duplicate field "metadata.labels.a""#]].assert_eq(&found(strategic(&live, text, pod())));
}
