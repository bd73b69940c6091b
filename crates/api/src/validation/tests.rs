//! Tests of the vocabulary of validation.

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::status::{Cause, Status};

fn texts(causes: &[Cause]) -> String {
    causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

#[test]
fn metadata_is_refused_in_upstreams_words() {
    let object = json!({"metadata":{"name":"o","namespace":"n","ownerReferences":[{"kind":"Pod"}],"finalizers":["bad"],
        "annotations":{"x y":"z"},"labels":{"a/b/c":"d","ok":"no!"}}});
    let mut causes = meta::object_meta(&object, true, name::dns1123_subdomain);
    causes.extend(meta::own_finalizers(&object));
    expect![[r#"
        metadata.labels: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
        metadata.labels: Invalid value: "no!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
        metadata.annotations: Invalid value: "x y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty
        metadata.ownerReferences.name: Invalid value: "": must not be empty
        metadata.ownerReferences.uid: Invalid value: "": must not be empty
        metadata.finalizers[0]: Invalid value: "bad": name is neither a standard finalizer name nor is it fully qualified
    "#]]
    .assert_eq(&texts(&causes));
}

#[test]
fn an_object_without_a_name_is_told_so() {
    let causes = meta::object_meta(&json!({}), false, name::dns1123_subdomain);
    let status = Status::invalid("", "ConfigMap", "", causes);
    assert_eq!(
        status.message,
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
    assert!(
        meta::object_meta(&json!({"metadata":{"name":"a","generateName":"a-"}}), false, name::dns1123_label).is_empty()
    );
    assert_eq!(meta::name_stem(&"x".repeat(80)).len(), 58);
}

#[test]
fn identity_cannot_change_and_deletion_takes_no_new_finalizers() {
    let old = json!({"metadata":{"name":"a","uid":"1","deletionTimestamp":"t","finalizers":["a.b/c"]}});
    let new = json!({"metadata":{"name":"a","uid":"2","finalizers":["a.b/c","d.e/f"]}});
    expect![[r#"
        metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"d.e/f"}
        metadata.uid: Invalid value: "2": field is immutable
        metadata.deletionTimestamp: Invalid value: null: field is immutable
    "#]]
    .assert_eq(&texts(&meta::object_meta_update(&new, &old)));
}

#[test]
fn causes_say_where_and_why() {
    let path = Path::new("spec").child("containers").index(0);
    let causes = [
        path.child("name").required(""),
        path.child("port").invalid(70000, "must be between 1 and 65535, inclusive"),
        path.child("policy").not_supported("Sometimes", &["Always", "Never"]),
        path.duplicate(json!({"k":"a"})),
        path.key("cpu").forbidden("no"),
        path.too_long(5),
        path.too_many(3, 2),
        path.not_found("v"),
    ];
    expect![[r#"
        spec.containers[0].name: Required value
        spec.containers[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive
        spec.containers[0].policy: Unsupported value: "Sometimes": supported values: "Always", "Never"
        spec.containers[0]: Duplicate value: {"k":"a"}
        spec.containers[0][cpu]: Forbidden: no
        spec.containers[0]: Too long: may not be more than 5 bytes
        spec.containers[0]: Too many: 3: must have at most 2 items
        spec.containers[0]: Not found: "v"
    "#]]
    .assert_eq(&texts(&causes));
}

#[test]
fn names_addresses_and_ports_have_forms() {
    let good = |whys: Vec<String>| whys.is_empty();
    assert!(good(name::dns1123_label("a-1")) && !good(name::dns1123_label("A")) && !good(name::dns1123_label("")));
    assert_eq!(name::dns1123_label("a.b"), ["must not contain dots"]);
    assert!(good(name::dns1123_subdomain("a.b-c")) && !good(name::dns1123_subdomain("a..b")));
    assert!(good(name::dns1035_label("a1")) && !good(name::dns1035_label("1a")));
    assert!(good(name::port_name("http-2")) && !good(name::port_name("http--2")) && !good(name::port_name("22")));
    assert!(
        good(name::ip("::1"))
            && !good(name::ip("1.2.3.04"))
            && good(name::cidr("10.0.0.0/8"))
            && !good(name::cidr("10.0.0.0/33"))
    );
    assert!(good(name::config_key("a.b_c-D")) && !good(name::config_key("..")) && !good(name::config_key("a/b")));
    assert!(!good(name::non_special_ip("127.0.0.1")) && good(name::non_special_ip("10.1.1.1")));
}
