//! Bodies, patches and applies that do not fit, and who owns what afterwards.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, MERGE, PODS, config_map, kit, pod};

const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn said(kit: &Kit, line: &str, content_type: &str, body: &str) -> String {
    let (code, answer, warnings) = kit.ask(line).content_type(content_type).text(body).send_with_warnings().await;
    let message = answer["message"].as_str().unwrap_or_default().trim_end().to_owned();
    let warned = if warnings.is_empty() { String::new() } else { format!(" warned: {}", warnings.join(" | ")) };
    format!("{code} {message}{warned}\n")
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused_in_upstreams_words() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    kit.create(PODS, pod("p")).await;
    let (c, p) = (format!("{CONFIG_MAPS}/c"), format!("{PODS}/p"));
    let many = format!("[{}]", vec![r#"{"op":"test","path":"/kind","value":"x"}"#; 10_001].join(","));
    let rows: Vec<(&str, &str, &str, &str)> = vec![
        (&c, "", "text/plain", "x"),
        (&c, "", JSON, "{}"),
        (&c, "", JSON, "["),
        (&c, "", JSON, &many),
        (&c, "", JSON, r#"[{"op":"remove","path":"/data/none"}]"#),
        (
            &c,
            "",
            JSON,
            r#"[{"op":"move","from":"/data/a","path":"/data/z"},{"op":"test","path":"/data/none","value":null}]"#,
        ),
        (&c, "", JSON, r#"[{"op":"copy","from":"/data/z","path":"/data/a","x":1}]"#),
        (&c, "?fieldValidation=Strict", JSON, r#"[{"op":"copy","from":"/data/z","path":"/data/a","x":1}]"#),
        (&c, "", JSON, r#"[{"op":"replace","path":"/data","value":3}]"#),
        (&c, "", JSON, r#"[{"op":"replace","path":"/kind","value":"Pod"}]"#),
        (&c, "", JSON, r#"[{"op":"remove","path":"/metadata/name"}]"#),
        (&c, "", MERGE, "[1]"),
        (&c, "", MERGE, "{"),
        (&c, "?force=false", MERGE, "{}"),
        (&c, "", MERGE, r#"{"metadata":{"name":"d"}}"#),
        (&c, "", MERGE, r#"{"metadata":{"namespace":"other"}}"#),
        (&c, "", MERGE, r#"{"metadata":{"uid":"x"}}"#),
        (&c, "", MERGE, r#"{"metadata":{"resourceVersion":"1"}}"#),
        (&c, "", MERGE, r#"{"metadata":{"resourceVersion":"x"}}"#),
        (&c, "", MERGE, r#"{"bogus":1,"data":{"b":"1","b":"2"}}"#),
        (&c, "?fieldValidation=Ignore", MERGE, r#"{"bogus":1}"#),
        (&c, "?fieldValidation=Strict", MERGE, r#"{"bogus":1,"data":{"b":"1","b":"2"}}"#),
        (&p, "?fieldValidation=Strict", STRATEGIC, r#"{"spec":{"bogus":{"a":[1,"x"]}}}"#),
        (&p, "", STRATEGIC, r#"{"spec":{"priority":"x"}}"#),
        (&p, "", STRATEGIC, r#"{"spec":{"hostname":5}}"#),
        (&p, "", STRATEGIC, r#"{"kind":"Node","spec":{"containers":[{"image":"i"}]}}"#),
        (&p, "", STRATEGIC, r#"{"kind":"Node","metadata":{"labels":{"a":"b"}}}"#),
    ];
    let mut lines = String::new();
    for (path, query, content_type, body) in rows {
        lines += &said(&kit, &format!("PATCH {path}{query}"), content_type, body).await;
    }
    expect![[r#"
        415 415: Unsupported Media Type
        400 error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp
        400 error decoding patch: unexpected end of JSON input
        413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001
        422 the server rejected our request due to an error in our request
        200 
        200  warned: json patch unknown field "[0].x"
        422  "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"1\",\"z\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{},\"f:z\":{}}},\"manager\":\"kit\",\"operation\":\"Update\",\"time\":\"2026-01-01T00:00:00Z\"}],\"name\":\"c\",\"namespace\":\"default\",\"resourceVersion\":\"13\",\"uid\":\"a534a6a6-b7fd-4b63-90ba-d0da572baaf1\"}}": strict decoding error: json patch unknown field "[0].x"
        422  "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"data\":3,\"kind\":\"ConfigMap\",\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{},\"f:z\":{}}},\"manager\":\"kit\",\"operation\":\"Update\",\"time\":\"2026-01-01T00:00:00Z\"}],\"name\":\"c\",\"namespace\":\"default\",\"resourceVersion\":\"13\",\"uid\":\"a534a6a6-b7fd-4b63-90ba-d0da572baaf1\"}}": json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string
        422  "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"1\",\"z\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{},\"f:z\":{}}},\"manager\":\"kit\",\"operation\":\"Update\",\"time\":\"2026-01-01T00:00:00Z\"}],\"name\":\"c\",\"namespace\":\"default\",\"resourceVersion\":\"13\",\"uid\":\"a534a6a6-b7fd-4b63-90ba-d0da572baaf1\"}}": converting (v1.Pod) to (core.ConfigMap): unknown conversion
        400 the name of the object (c based on URL) was undeterminable: name must be provided
        400 error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}
        400 error decoding patch: unexpected end of JSON input
        422 PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch
        400 the name of the object (d) does not match the name on the URL (c)
        400 the namespace of the provided object does not match the namespace sent on the request
        422 ConfigMap "c" is invalid: metadata.uid: Invalid value: "x": field is immutable
        409 Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to the latest version and try again
        500 strconv.ParseUint: parsing "x": invalid syntax
        200  warned: duplicate field "data.b" | unknown field "bogus"
        200 
        422  "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"bogus\":1,\"data\":{\"a\":\"1\",\"b\":\"2\",\"z\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\".\":{},\"f:a\":{},\"f:b\":{},\"f:z\":{}}},\"manager\":\"kit\",\"operation\":\"Update\",\"time\":\"2026-01-01T00:00:00Z\"}],\"name\":\"c\",\"namespace\":\"default\",\"resourceVersion\":\"14\",\"uid\":\"a534a6a6-b7fd-4b63-90ba-d0da572baaf1\"}}": strict decoding error: duplicate field "data.b", unknown field "bogus"
        422  "" is invalid: patch: Invalid value: "map[spec:map[bogus:map[a:[1 x]]]]": strict decoding error: unknown field "spec.bogus"
        422  "" is invalid: patch: Invalid value: "map[spec:map[priority:x]]": unrecognized type: int32
        422  "" is invalid: patch: Invalid value: "map[spec:map[hostname:5]]": cannot convert int64 to string
        500 map: map[image:i] does not contain declared merge key: name
        200 
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_in_upstreams_words() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    let owner = r#"{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u"}"#;
    let twice = format!(r#"{{"metadata":{{"name":"e","ownerReferences":[{owner},{owner}]}}}}"#);
    let rows: Vec<(&str, &str, &str)> = vec![
        ("PUT /c", "", r#"{"data":{}}"#),
        ("PUT /c", "", r#"{"metadata":{"name":"d"}}"#),
        ("PUT /c", "", r#"{"metadata":{"name":"c","namespace":"other"}}"#),
        ("PUT /c", "", r#"{"metadata":{"name":"c","resourceVersion":"x"}}"#),
        ("PUT /c", "", r#"{"metadata":{"name":"c","uid":"x"}}"#),
        ("PUT /c", "", r#"{"metadata":{"name":"c","deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"x":"-"}}}"#),
        ("PUT /c", "", r#"{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"c"}}"#),
        ("POST ", "", r#"{"kind":5}"#),
        ("POST ", "", "[]"),
        ("POST ", "", r#"{"metadata":{"name":"some-long-name"},"data":{"a":}}"#),
        ("POST ", "", r#"{"metadata":{"name":"c"}}"#),
        ("POST ", "", r#"{"metadata":{"name":"c","generateName":"g-"}}"#),
        ("POST ", "", r#"{"metadata":{"name":"d","resourceVersion":"7"}}"#),
        ("POST ", "", &twice),
        ("POST ", "application/yaml", "metadata: {name: y1}\ndata:\n  a: x\n  a: z\nbogus: 1\n"),
        ("POST ?fieldValidation=Strict", "application/yaml", "metadata: {name: y2}\ndata:\n  a: x\n  a: z\nbogus: 1\n"),
        ("POST ?fieldValidation=Strict", "application/yaml", "metadata: {name: y2}\nbogus: 1\n"),
        ("POST ", "application/yaml", "a: [\n"),
        ("POST ", "application/yaml", "metadata: {name: y}\n"),
    ];
    let mut lines = String::new();
    for (what, content_type, body) in rows {
        let (verb, rest) = what.split_once(' ').unwrap();
        lines += &said(&kit, &format!("{verb} {CONFIG_MAPS}{rest}"), content_type, body).await;
    }
    expect![[r#"
        400 the name of the object (c based on URL) was undeterminable: name must be provided
        400 the name of the object (d) does not match the name on the URL (c)
        400 the namespace of the provided object does not match the namespace sent on the request
        500 strconv.ParseUint: parsing "x": invalid syntax
        409 Operation cannot be fulfilled on configmaps "c": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/c, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: x, UID in object meta: a534a6a6-b7fd-4b63-90ba-d0da572baaf1
        422 ConfigMap "c" is invalid: [metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'), metadata.deletionTimestamp: Invalid value: "2026-01-01T00:00:00Z": field is immutable]
        400 ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"
        400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})
        400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" } (5b5d)
        400 the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character '}' looking for beginning of value ({"metadata":{"name":"some-long ...)
        409 configmaps "c" already exists
        409 configmaps "c" already exists, the server was not able to generate a unique name for the object
        500 resourceVersion should not be set on objects to be created
        201  warned: .metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: [u]
        201  warned: line 4: key "a" already set in map | unknown field "bogus"
        400 ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:
          line 4: key "a" already set in map, unknown field "bogus"
        400 ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bogus"
        400 the object provided is unrecognized (must be of type ConfigMap): error converting YAML to JSON: yaml: unclosed bracket '[' at line 1, column 4 (613a205b0a)
        400 ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn an_object_that_goes_says_so_to_who_wants_its_name() {
    let kit = kit().await;
    let mut held = config_map("c");
    held["metadata"]["finalizers"] = json!(["a.b/c"]);
    kit.create(CONFIG_MAPS, held.clone()).await;
    kit.ask(&format!("DELETE {CONFIG_MAPS}/c")).send().await;
    let (code, refused) = kit.ask(&format!("POST {CONFIG_MAPS}")).body(held).send().await;
    expect![[r#"409 object is being deleted: configmaps "c" already exists"#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
}

#[tokio::test]
async fn configurations_that_do_not_fit_are_refused_in_upstreams_words() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n";
    let rows: Vec<(&str, &str, String)> = vec![
        (CONFIG_MAPS, "c", "x".to_owned()),
        (CONFIG_MAPS, "c?fieldManager=m", "[1]".to_owned()),
        (CONFIG_MAPS, "c?fieldManager=m", "a: [".to_owned()),
        (CONFIG_MAPS, "c?fieldManager=m", "kind: Pod\napiVersion: v1\n".to_owned()),
        (
            CONFIG_MAPS,
            "c?fieldManager=m",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {managedFields: []}\n".to_owned(),
        ),
        (CONFIG_MAPS, "c?fieldManager=m", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n".to_owned()),
        (CONFIG_MAPS, "new?fieldManager=m", "apiVersion: v1\nkind: ConfigMap\n".to_owned()),
        (
            CONFIG_MAPS,
            "new?fieldManager=m",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, uid: u}\n".to_owned(),
        ),
        (
            CONFIG_MAPS,
            "new?fieldManager=m",
            "apiVersion: v1\nkind: ConfigMap\nbogus: 1\nmetadata: {name: new, labels: {a: 5}}\n".to_owned(),
        ),
        (
            CONFIG_MAPS,
            "new?fieldManager=m",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata:\n  a: x\n  a: z\n".to_owned(),
        ),
        (
            CONFIG_MAPS,
            "new?fieldManager=m&fieldValidation=Strict",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata:\n  a: x\n  a: z\n".to_owned(),
        ),
        (
            DEPLOYMENTS,
            "d?fieldManager=m",
            format!(
                "{deployment}spec: {{replicas: x, paused: 1, template: [], selector: {{matchExpressions: {{}}}}}}\n"
            ),
        ),
        (
            DEPLOYMENTS,
            "d?fieldManager=m",
            format!(
                "{deployment}spec: {{template: {{spec: {{containers: [{{image: i}}, {{name: a}}, {{name: a}}]}}}}}}\n"
            ),
        ),
        (
            DEPLOYMENTS,
            "d?fieldManager=m",
            format!(
                "{deployment}spec: {{template: {{spec: {{containers: [{{name: a, resources: {{limits: {{cpu: x}}}}}}]}}}}}}\n"
            ),
        ),
        (CONFIG_MAPS, "none/status?fieldManager=m", "apiVersion: v1\nkind: ConfigMap\n".to_owned()),
    ];
    let mut lines = String::new();
    for (path, name, body) in rows {
        lines += &said(&kit, &format!("PATCH {path}/{name}"), APPLY, &body).await;
    }
    expect![[r#"
        422 PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch
        400 error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}
        400 error decoding YAML: error converting YAML to JSON: yaml: unclosed bracket '[' at line 1, column 4
        400 invalid object type: /v1, Kind=Pod
        400 metadata.managedFields must be nil
        400 the name of the object (d) does not match the name on the URL (c)
        400 the name of the object (new based on URL) was undeterminable: name must be provided
        409 Operation cannot be fulfilled on configmaps "new": uid mismatch: the provided object specified uid u, and no existing object was found
        500 failed to create typed patch object (/new; /v1, Kind=ConfigMap): errors:
          .bogus: field not declared in schema
          .metadata.labels.a: expected string, got &value.valueUnstructured{Value:5}
        201  warned: line 6: key "a" already set in map
        400 error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:
          line 6: key "a" already set in map
        500 failed to create typed patch object (/d; apps/v1, Kind=Deployment): errors:
          .spec.paused: expected boolean, got &value.valueUnstructured{Value:1}
          .spec.replicas: expected numeric (int or float), got string
          .spec.selector.matchExpressions: expected list, got &{{}}
          .spec.template: expected map, got &{[]}
        500 failed to create typed patch object (/d; apps/v1, Kind=Deployment): errors:
          .spec.template.spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)
          .spec.template.spec.containers: duplicate entries for key [name="a"]
        500 failed to convert new object (/d; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured object to apps/v1, Kind=Deployment: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        404 the server could not find the requested resource
    "#]].assert_eq(&lines);
}

/// The owners of an object, one a line.
fn owners(object: &Value) -> String {
    let mut lines = String::new();
    for entry in object["metadata"]["managedFields"].as_array().into_iter().flatten() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let subresource = text("subresource");
        let line = format!("{} {} {} {subresource}", text("manager"), text("operation"), text("apiVersion"));
        writeln!(lines, "{} {}", line.trim_end(), entry["fieldsV1"]).unwrap();
    }
    lines
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    })
}

#[tokio::test]
async fn replicas_change_hands_through_the_scale() {
    let kit = kit().await;
    let mut small = deployment(1);
    small["spec"]["template"]["spec"] = json!({ "containers": [{ "name": "c", "image": "i" }] });
    let line = |path: &str, manager: &str| format!("PATCH {DEPLOYMENTS}/d{path}?fieldManager={manager}");
    let made = kit.ask(&line("", "m1")).content_type(APPLY).body(small).send().await;
    assert_eq!(made.0, 201, "{}", made.1);
    let scale = json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "d" }, "spec": { "replicas": 2 } });
    let (code, refused) = kit.ask(&line("/scale", "m2")).content_type(APPLY).body(scale.clone()).send().await;
    let mut lines = format!("{code} {}\n", refused["message"].as_str().unwrap());
    let forced = kit.ask(&format!("{}&force=true", line("/scale", "m2"))).content_type(APPLY).body(scale).send().await;
    writeln!(lines, "{} {}", forced.0, forced.1["spec"]).unwrap();
    lines += &owners(&kit.ask(&format!("GET {DEPLOYMENTS}/d")).send().await.1);
    kit.ask(&line("/scale", "m3")).content_type(MERGE).body(json!({ "spec": { "replicas": 3 } })).send().await;
    lines += &owners(&kit.ask(&format!("GET {DEPLOYMENTS}/d")).send().await.1);
    let put = json!({ "spec": { "replicas": 4 } });
    let (code, refused) = kit.ask(&format!("PUT {DEPLOYMENTS}/d/scale")).body(put).send().await;
    writeln!(lines, "{code} {}", refused["message"].as_str().unwrap()).unwrap();
    expect![[r#"
        409 Apply failed with 1 conflict: conflict with "m1": .spec.replicas
        200 {"replicas":2}
        m1 Apply apps/v1 {"f:spec":{"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}}}}}
        m2 Apply apps/v1 scale {"f:spec":{"f:replicas":{}}}
        m1 Apply apps/v1 {"f:spec":{"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}}}}}
        m3 Update apps/v1 scale {"f:spec":{"f:replicas":{}}}
        400 the name of the object (d based on URL) was undeterminable: name must be provided
    "#]].assert_eq(&lines);
}

#[tokio::test]
async fn who_only_writes_the_same_again_owns_nothing_and_changes_no_time() {
    let kit = kit().await;
    let first = kit.create(CONFIG_MAPS, config_map("c")).await;
    kit.clock.advance(jiff::SignedDuration::from_secs(60));
    let path = format!("{CONFIG_MAPS}/c");
    for (verb, content_type, body) in [
        ("PUT", "", first.clone()),
        ("PATCH", MERGE, json!({ "data": { "a": "1" } })),
        ("PATCH", STRATEGIC, json!({ "metadata": { "labels": null } })),
    ] {
        let line = format!("{verb} {path}?fieldManager=other");
        let (code, same) = kit.ask(&line).content_type(content_type).body(body).send().await;
        assert_eq!((code, same), (200, first.clone()));
    }
}

#[tokio::test]
async fn managers_are_forgotten_when_asked_and_folded_when_there_are_many() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("c")).await;
    let path = format!("{CONFIG_MAPS}/c");
    for i in 0..12 {
        kit.clock.advance(jiff::SignedDuration::from_secs(1));
        let line = format!("PATCH {path}?fieldManager=m{i}");
        kit.ask(&line).content_type(MERGE).body(json!({ "data": { format!("k{i}"): "1" } })).send().await;
    }
    let (_, many) = kit.ask(&format!("GET {path}")).send().await;
    expect![[r#"
        ancient-changes Update v1 {"f:data":{".":{},"f:a":{},"f:k0":{},"f:k1":{},"f:k2":{}}}
        m3 Update v1 {"f:data":{"f:k3":{}}}
        m4 Update v1 {"f:data":{"f:k4":{}}}
        m5 Update v1 {"f:data":{"f:k5":{}}}
        m6 Update v1 {"f:data":{"f:k6":{}}}
        m7 Update v1 {"f:data":{"f:k7":{}}}
        m8 Update v1 {"f:data":{"f:k8":{}}}
        m9 Update v1 {"f:data":{"f:k9":{}}}
        m10 Update v1 {"f:data":{"f:k10":{}}}
        m11 Update v1 {"f:data":{"f:k11":{}}}
    "#]]
    .assert_eq(&owners(&many));
    let reset = json!({ "metadata": { "managedFields": [{}] } });
    let (_, none) = kit.ask(&format!("PATCH {path}")).content_type(MERGE).body(reset).send().await;
    assert_eq!(owners(&none), "");
}
