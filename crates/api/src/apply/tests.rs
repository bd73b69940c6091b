//! Tests of server-side apply and of field tracking.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn schema(kind: &str) -> Schema<'static> {
    let name =
        if kind == "Deployment" { "io.k8s.api.apps.v1.Deployment" } else { &format!("io.k8s.api.core.v1.{kind}") };
    schema::builtin().lookup(name).unwrap()
}

fn writer(manager: &'static str) -> Writer<'static> {
    Writer { manager, api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH, reset: &["status"], also: &[] }
}

/// The managers of an object, one a line.
fn managers(object: &Value) -> String {
    let line = |e: &Entry| format!("{} {:?}: {}\n", e.manager, e.operation, e.set.to_json());
    managed::read(object).iter().map(line).collect()
}

fn check(result: Result<&Value, &Status>, wanted: Expect) {
    let text = match result {
        Ok(value) => {
            let mut bare = value.clone();
            strip(&mut bare);
            format!("{bare}\n{}", managers(value))
        }
        Err(status) => format!("{} {status}\n", status.code),
    };
    wanted.assert_eq(&text);
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":data})
}

#[test]
fn what_an_applier_leaves_out_goes_and_what_another_owns_stays() {
    let kind = schema("ConfigMap");
    let one = apply(None, &config_map(json!({"a":"1","b":"1"})), false, kind, writer("m1")).unwrap();
    check(
        Ok(&one),
        expect![[r#"
        {"apiVersion":"v1","data":{"a":"1","b":"1"},"kind":"ConfigMap","metadata":{"name":"x"}}
        m1 Apply: {"f:data":{"f:a":{},"f:b":{}}}
    "#]],
    );
    let two = apply(Some(&one), &config_map(json!({"b":"1","c":"2"})), false, kind, writer("m2")).unwrap();
    let three = apply(Some(&two), &config_map(json!({})), false, kind, writer("m1")).unwrap();
    check(
        Ok(&three),
        expect![[r#"
        {"apiVersion":"v1","data":{"b":"1","c":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}
        m1 Apply: {"f:data":{}}
        m2 Apply: {"f:data":{"f:b":{},"f:c":{}}}
    "#]],
    );
}

#[test]
fn a_conflict_names_manager_and_field_and_force_takes_the_field_over() {
    let kind = schema("ConfigMap");
    let one = apply(None, &config_map(json!({"a":"1","b":"1"})), false, kind, writer("m1")).unwrap();
    let other = config_map(json!({"a":"2"}));
    check(
        apply(Some(&one), &other, false, kind, writer("m2")).as_ref(),
        expect![[r#"
        409 Apply failed with 1 conflict: conflict with "m1": .data.a
    "#]],
    );
    let both = config_map(json!({"a":"2","b":"2"}));
    check(
        apply(Some(&one), &both, false, kind, writer("m2")).as_ref(),
        expect![[r#"
        409 Apply failed with 2 conflicts: conflicts with "m1":
        - .data.a
        - .data.b
    "#]],
    );
    check(
        apply(Some(&one), &other, true, kind, writer("m2")).as_ref(),
        expect![[r#"
        {"apiVersion":"v1","data":{"a":"2","b":"1"},"kind":"ConfigMap","metadata":{"name":"x"}}
        m1 Apply: {"f:data":{"f:b":{}}}
        m2 Apply: {"f:data":{"f:a":{}}}
    "#]],
    );
}

#[test]
fn an_update_owns_what_it_changed_and_no_more() {
    let kind = schema("ConfigMap");
    let mut one = config_map(json!({"a":"1"}));
    track_update(None, &mut one, kind, writer("curl"));
    let mut two = one.clone();
    two["data"] = json!({"a":"1","b":"2"});
    track_update(Some(&one), &mut two, kind, writer("edit"));
    check(
        Ok(&two),
        expect![[r#"
        {"apiVersion":"v1","data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}
        curl Update: {"f:data":{".":{},"f:a":{}}}
        edit Update: {"f:data":{"f:b":{}}}
    "#]],
    );
    let mut three = two.clone();
    three["data"] = json!({"a":"3"});
    track_update(Some(&two), &mut three, kind, writer("edit"));
    check(
        Ok(&three),
        expect![[r#"
        {"apiVersion":"v1","data":{"a":"3"},"kind":"ConfigMap","metadata":{"name":"x"}}
        curl Update: {"f:data":{}}
        edit Update: {"f:data":{"f:a":{}}}
    "#]],
    );
    let conflict = apply(Some(&three), &config_map(json!({"a":"4"})), false, kind, writer("m1"));
    check(
        conflict.as_ref(),
        expect![[r#"
        409 Apply failed with 1 conflict: conflict with "edit" using v1: .data.a
    "#]],
    );
}

#[test]
fn list_items_are_merged_by_key_also_when_a_key_is_defaulted() {
    let kind = schema("Service");
    let service =
        |ports: Value| json!({"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":ports}});
    let mut live =
        service(json!([{"port":80,"protocol":"TCP","targetPort":80},{"port":53,"protocol":"UDP","targetPort":53}]));
    track_update(None, &mut live, kind, writer("curl"));
    let applied = apply(Some(&live), &service(json!([{"port":80,"name":"web"}])), false, kind, writer("m1"));
    check(
        applied.as_ref(),
        expect![[r#"
        {"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":[{"name":"web","port":80,"protocol":"TCP","targetPort":80},{"port":53,"protocol":"UDP","targetPort":53}]}}
        m1 Apply: {"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}
        curl Update: {"f:spec":{"f:ports":{".":{},"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}}}}
    "#]],
    );
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    let kind = schema("ConfigMap");
    let mut config = config_map(json!({}));
    config["bogus"] = json!(1);
    check(
        apply(None, &config, false, kind, writer("m")).as_ref(),
        expect![[r#"
            500 failed to create typed patch object (/x; /v1, Kind=ConfigMap): .bogus: field not declared in schema
        "#]],
    );
    let config = json!({"apiVersion":"v1","kind":"ConfigMap","metadata":{"managedFields":[{}]}});
    check(
        apply(None, &config, false, kind, writer("m")).as_ref(),
        expect![[r#"
        400 metadata.managedFields must be nil
    "#]],
    );
}

#[test]
fn the_first_server_side_apply_after_client_side_apply_has_no_conflicts() {
    let kind = schema("ConfigMap");
    let mut live = config_map(json!({"a":"1","b":"1"}));
    live["metadata"]["annotations"] = json!({LAST_APPLIED: config_map(json!({"a":"1"})).to_string()});
    track_update(None, &mut live, kind, writer("kubectl-client-side-apply"));
    let taken = apply(Some(&live), &config_map(json!({"a":"2"})), false, kind, writer("kubectl")).unwrap();
    assert_eq!(taken["data"], json!({"a":"2","b":"1"}));
    let refused = apply(Some(&live), &config_map(json!({"b":"2"})), false, kind, writer("kubectl")).unwrap_err();
    assert_eq!(refused.code, 409);
}

#[test]
fn a_manager_is_named_by_parameter_or_user_agent() {
    assert_eq!(manager_name("", "kubectl/v1.36 (linux)"), "kubectl");
    assert_eq!(manager_name("me", "kubectl/v1.36"), "me");
}
