//! What the query of a request may say: every combination that is refused, and what the others mean.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, PODS, config_map, kit, pod};

/// One line a query: what came of it.
async fn table(kit: &Kit, verb: &str, queries: &[&str]) -> String {
    let mut lines = String::new();
    for query in queries {
        let (code, answer) = kit.ask(&format!("{verb}?{query}")).send().await;
        let said = match answer["items"].as_array() {
            Some(items) => {
                let names = items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>();
                let meta = &answer["metadata"];
                let more = if meta["continue"].is_string() { " ..." } else { "" };
                let left = meta["remainingItemCount"].as_u64().map(|n| format!(" {n} left")).unwrap_or_default();
                format!("{}{more}{left}", names.join(" "))
            }
            None => without_revision(answer["message"].as_str().unwrap_or_default()),
        };
        writeln!(lines, "{query} -> {code} {said}").unwrap();
    }
    lines
}

/// How far the server is depends on what a cluster begins with.
fn without_revision(message: &str) -> String {
    let (head, _) = message.split_once(", current: ").unwrap_or((message, ""));
    if head.len() < message.len() { format!("{head}, current: N") } else { head.to_owned() }
}

async fn three() -> Kit {
    let kit = kit().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({ "l": label });
        kit.create(CONFIG_MAPS, map).await;
    }
    // The caches are as new as that once a list has waited for them.
    kit.ask(&format!("GET {CONFIG_MAPS}")).send().await;
    kit
}

#[tokio::test(start_paused = true)]
async fn lists_take_each_revision_with_each_match_or_say_why_not() {
    let kit = three().await;
    let queries = [
        "resourceVersion=0",
        "resourceVersion=0&limit=1",
        "resourceVersion=1",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Nope&continue=x",
        "resourceVersion=1&resourceVersionMatch=Nope",
        "resourceVersion=abc",
        "resourceVersion=-1",
        "resourceVersion=99999999999999999999",
        "resourceVersion=1000000",
        "resourceVersion=1000000&resourceVersionMatch=Exact",
        "sendInitialEvents=true",
        "limit=x",
        "limit=-1",
        "limit=2",
        "limit=3",
        "limit=1&labelSelector=l%3Dx",
        "limit=2&labelSelector=l%3Dx",
        "limit=1&fieldSelector=metadata.name%3Da",
        "continue=%21",
        "continue=abcde",
        "continue=e30",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIifQ",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vYiJ9",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYiJ9",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYiJ9&resourceVersion=5",
        "labelSelector=l+in+(x",
        "labelSelector=l%3D%3D%3Dx",
        "labelSelector=-l",
        "labelSelector=l%21%3Dx",
        "labelSelector=%21l",
        "fieldSelector=what",
        "fieldSelector=data.a%3D1",
        "fieldSelector=metadata.namespace%3Dother",
        "fieldSelector=metadata.name%21%3Da",
    ];
    expect![[r#"
        resourceVersion=0 -> 200 a b c
        resourceVersion=0&limit=1 -> 200 a b c
        resourceVersion=1 -> 200 a b c
        resourceVersion=0&resourceVersionMatch=NotOlderThan -> 200 a b c
        resourceVersion=0&resourceVersionMatch=Exact -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"
        resourceVersionMatch=Exact -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided
        resourceVersionMatch=Nope&continue=x -> 422 ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided, resourceVersionMatch: Unsupported value: "Nope": supported values: "Exact", "NotOlderThan", ""]
        resourceVersion=1&resourceVersionMatch=Nope -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Nope": supported values: "Exact", "NotOlderThan", ""
        resourceVersion=abc -> 400 invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax
        resourceVersion=-1 -> 400 invalid resource version: resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": invalid syntax
        resourceVersion=99999999999999999999 -> 400 invalid resource version: resourceVersion: Invalid value: "99999999999999999999": strconv.ParseUint: parsing "99999999999999999999": value out of range
        resourceVersion=1000000 -> 504 Timeout: Too large resource version: 1000000, current: N
        resourceVersion=1000000&resourceVersionMatch=Exact -> 504 Timeout: Too large resource version: 1000000, current: N
        sendInitialEvents=true -> 422 ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list
        limit=x -> 400 strconv.ParseInt: parsing "x": invalid syntax
        limit=-1 -> 200 a b c
        limit=2 -> 200 a b ... 1 left
        limit=3 -> 200 a b c
        limit=1&labelSelector=l%3Dx -> 200 a ...
        limit=2&labelSelector=l%3Dx -> 200 a c
        limit=1&fieldSelector=metadata.name%3Da -> 200 a
        continue=%21 -> 400 invalid continue token: continue key is not valid: illegal base64 data at input byte 0
        continue=abcde -> 400 invalid continue token: continue key is not valid: illegal base64 data at input byte 4
        continue=e30 -> 400 invalid continue token: continue key is not valid: server does not recognize this encoded version 
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0 -> 400 invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIifQ -> 400 invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vYiJ9 -> 400 invalid continue token: continue key is not valid: ../b
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYiJ9 -> 200 b c
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYiJ9&resourceVersion=5 -> 400 specifying resource version is not allowed when using continue
        labelSelector=l+in+(x -> 400 unable to parse requirement: found '', expected: ',' or ')'
        labelSelector=l%3D%3D%3Dx -> 400 unable to parse requirement: found '=', expected: identifier
        labelSelector=-l -> 400 unable to parse requirement: <nil>: Invalid value: "-l": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        labelSelector=l%21%3Dx -> 200 b
        labelSelector=%21l -> 200 
        fieldSelector=what -> 400 invalid selector: 'what'; can't understand 'what'
        fieldSelector=data.a%3D1 -> 400 "data.a" is not a known field selector: only "metadata.name", "metadata.namespace"
        fieldSelector=metadata.namespace%3Dother -> 200 
        fieldSelector=metadata.name%21%3Da -> 200 b c
    "#]].assert_eq(&table(&kit, &format!("GET {CONFIG_MAPS}"), &queries).await);
}

#[tokio::test(start_paused = true)]
async fn watches_take_initial_events_with_one_match_only() {
    let kit = three().await;
    let refused = [
        "watch=1&resourceVersionMatch=NotOlderThan",
        "watch=1&resourceVersionMatch=Exact",
        "watch=1&sendInitialEvents=true",
        "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
        "watch=1&resourceVersion=abc",
        "watch=1&timeoutSeconds=x",
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=1000000",
    ];
    expect![[r#"
        watch=1&resourceVersionMatch=NotOlderThan -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided
        watch=1&resourceVersionMatch=Exact -> 422 ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]
        watch=1&sendInitialEvents=true -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan
        watch=1&sendInitialEvents=true&resourceVersionMatch=Exact -> 422 ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]
        watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x -> 422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided
        watch=1&resourceVersion=abc -> 500 resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax
        watch=1&timeoutSeconds=x -> 400 strconv.ParseInt: parsing "x": invalid syntax
        watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=1000000 -> 504 Timeout: Too large resource version: 1000000, current: N
    "#]].assert_eq(&table(&kit, &format!("GET {CONFIG_MAPS}"), &refused).await);
    let begun = [
        "watch=1&timeoutSeconds=1",
        "watch&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0",
        "watch=1&timeoutSeconds=5&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "watch=1&timeoutSeconds=5&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "watch=1&timeoutSeconds=5&allowWatchBookmarks=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
        "watch=1&timeoutSeconds=1&resourceVersion=1000000",
        "watch=1&timeoutSeconds=-5",
        "watch=1&timeoutSeconds=1&resourceVersion=1",
        "watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Db",
    ];
    let mut lines = String::new();
    for query in begun {
        let mut watch = kit.ask(&format!("GET {CONFIG_MAPS}?{query}")).stream().await;
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "END") {
            seen.push(watch.next().await);
        }
        writeln!(lines, "{query} -> {}", seen.join(", ")).unwrap();
    }
    expect![[r#"
        watch=1&timeoutSeconds=1 -> ADDED a, ADDED b, ADDED c, END
        watch&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=0 -> ADDED a, ADDED b, ADDED c, BOOKMARK  end, END
        watch=1&timeoutSeconds=5&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan -> ADDED a, ADDED b, ADDED c, BOOKMARK  end, BOOKMARK , END
        watch=1&timeoutSeconds=5&sendInitialEvents=true&resourceVersionMatch=NotOlderThan -> ADDED a, ADDED b, ADDED c, END
        watch=1&timeoutSeconds=5&allowWatchBookmarks=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan -> BOOKMARK , END
        watch=1&timeoutSeconds=1&resourceVersion=1000000 -> END
        watch=1&timeoutSeconds=-5 -> ADDED a, ADDED b, ADDED c, END
        watch=1&timeoutSeconds=1&resourceVersion=1 -> ADDED a, ADDED b, ADDED c, END
        watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Db -> ADDED b, END
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn a_bookmark_is_an_empty_object_of_its_kind() {
    let kit = kit().await;
    let query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = kit.ask(&format!("GET {PODS}?{query}")).stream().await;
    let mut event = watch.event().await.unwrap();
    assert!(event["object"]["metadata"]["resourceVersion"].take().is_string());
    expect![[r#"{"object":{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":null},"spec":{"containers":null},"status":{}},"type":"BOOKMARK"}"#]]
        .assert_eq(&event.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_revision_to_come_passes_over_what_is_before_it() {
    let kit = kit().await;
    let first = kit.create(CONFIG_MAPS, config_map("a")).await;
    let now: u64 = first["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let mut watch = kit.ask(&format!("GET {CONFIG_MAPS}?watch=1&resourceVersion={}", now + 1)).stream().await;
    for name in ["b", "c"] {
        kit.create(CONFIG_MAPS, config_map(name)).await;
    }
    assert_eq!(watch.next().await, "ADDED c");
}

#[tokio::test(start_paused = true)]
async fn a_read_may_ask_for_a_revision() {
    let kit = three().await;
    let queries = ["resourceVersion=0", "resourceVersion=1", "resourceVersion=x", "resourceVersion=1000000"];
    let mut lines = String::new();
    for query in queries {
        let (code, answer) = kit.ask(&format!("GET {CONFIG_MAPS}/a?{query}")).send().await;
        let more = answer["details"].to_string();
        let message = without_revision(answer["message"].as_str().unwrap_or_default());
        writeln!(lines, "{query} -> {code} {message} {more}").unwrap();
    }
    expect![[r#"
        resourceVersion=0 -> 200  null
        resourceVersion=1 -> 200  null
        resourceVersion=x -> 500 resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax null
        resourceVersion=1000000 -> 504 Timeout: Too large resource version: 1000000, current: N {"causes":[{"message":"Too large resource version","reason":"ResourceVersionTooLarge"}],"retryAfterSeconds":1}
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn options_of_writes_are_checked_all_at_once() {
    let kit = kit().await;
    let long = "x".repeat(129);
    let queries = [
        "dryRun=Some&fieldValidation=Nope",
        "dryRun=",
        "dryRun=All&dryRun=None",
        "fieldManager=a%07b",
        &format!("fieldManager={long}"),
    ];
    let mut lines = String::new();
    for query in queries {
        let (code, answer) = kit.ask(&format!("POST {CONFIG_MAPS}?{query}")).body(config_map("m")).send().await;
        writeln!(lines, "{code} {}", answer["message"].as_str().unwrap_or_default()).unwrap();
    }
    expect![[r#"
        422 CreateOptions.meta.k8s.io "" is invalid: [dryRun: Unsupported value: ["Some"]: supported values: "All", fieldValidation: Unsupported value: "Nope": supported values: "", "Ignore", "Strict", "Warn"]
        422 CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: [""]: supported values: "All"
        422 CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["All","None"]: supported values: "All"
        422 CreateOptions.meta.k8s.io "" is invalid: fieldManager: Invalid value: "a\ab": invalid character U+0007 (at position 1)
        422 CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn options_of_deletions_come_from_body_or_query() {
    let kit = kit().await;
    let mut lines = String::new();
    let bodies: [(&str, Value); 9] = [
        ("", json!({ "propagationPolicy": "Sideways", "orphanDependents": true, "dryRun": ["Some"] })),
        ("", json!({ "gracePeriodSeconds": "x" })),
        ("", json!({ "kind": "Pod", "apiVersion": "v1" })),
        ("", json!("x")),
        ("gracePeriodSeconds=x", Value::Null),
        ("", json!({ "preconditions": { "uid": "x" } })),
        ("", json!({ "preconditions": { "resourceVersion": "1" } })),
        ("dryRun=All", Value::Null),
        ("orphanDependents=false", Value::Null),
    ];
    for (query, body) in bodies {
        kit.ask(&format!("POST {CONFIG_MAPS}")).body(config_map("c")).send().await;
        let mut ask = kit.ask(&format!("DELETE {CONFIG_MAPS}/c?{query}"));
        if !body.is_null() {
            ask = ask.body(body.clone());
        }
        let (code, answer) = ask.send().await;
        let uid = answer["details"]["uid"].as_str().unwrap_or_default();
        let said = answer["message"].as_str().unwrap_or(answer["status"].as_str().unwrap_or_default());
        let said = said.split("record (").next().unwrap_or_default();
        writeln!(lines, "{query} {body} -> {code} {said} {}", uid.is_empty()).unwrap();
    }
    expect![[r#"
         {"dryRun":["Some"],"orphanDependents":true,"propagationPolicy":"Sideways"} -> 422 DeleteOptions.meta.k8s.io "" is invalid: [propagationPolicy: Invalid value: "Sideways": orphanDependents and deletionPropagation cannot be both set, propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil", dryRun: Unsupported value: ["Some"]: supported values: "All"] true
         {"gracePeriodSeconds":"x"} -> 500 json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64 true
         {"apiVersion":"v1","kind":"Pod"} -> 500 no kind "Pod" is registered for version "v1" in scheme "pkg/apis/meta/internalversion/scheme/register.go:31" true
         "x" -> 500 couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" } true
        gracePeriodSeconds=x null -> 400 strconv.ParseInt: parsing "x": invalid syntax true
         {"preconditions":{"uid":"x"}} -> 409 Operation cannot be fulfilled on ConfigMap "c": the UID in the precondition (x) does not match the UID in  true
         {"preconditions":{"resourceVersion":"1"}} -> 409 Operation cannot be fulfilled on ConfigMap "c": the ResourceVersion in the precondition (1) does not match the ResourceVersion in  true
        dryRun=All null -> 200 Success false
        orphanDependents=false null -> 200 Success false
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn a_collection_is_deleted_as_it_is_listed() {
    let kit = three().await;
    let shown =
        table(&kit, &format!("DELETE {CONFIG_MAPS}"), &["dryRun=All", "limit=1", "labelSelector=l%3Dx", ""]).await;
    expect![[r#"
        dryRun=All -> 200 a b c
        limit=1 -> 200 a ... 2 left
        labelSelector=l%3Dx -> 200 c
         -> 200 b
    "#]]
    .assert_eq(&shown);
}

#[tokio::test]
async fn pods_offer_fields_to_select_by_and_refuse_others_in_their_words() {
    let kit = kit().await;
    kit.create(PODS, pod("p")).await;
    let queries =
        ["fieldSelector=status.phase%3DPending", "fieldSelector=spec.image%3Dx", "fieldSelector=spec.nodeName%3Dn"];
    expect![[r#"
        fieldSelector=status.phase%3DPending -> 200 p
        fieldSelector=spec.image%3Dx -> 400 field label not supported: spec.image
        fieldSelector=spec.nodeName%3Dn -> 200 
    "#]]
    .assert_eq(&table(&kit, &format!("GET {PODS}"), &queries).await);
}
