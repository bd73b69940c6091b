//! Objects against schemas: what is pruned, defaulted and refused, and what columns find.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{CustomSchema, JsonPath, decode, formats};
use crate::schema::Validation;

fn schema() -> CustomSchema {
    CustomSchema::compile(
        Some(&json!({
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object", "required": ["n"],
                    "properties": {
                        "n": { "type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2 },
                        "s": { "type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "minLength": 2 },
                        "d": { "type": "string", "default": "dd" },
                        "e": { "type": "string", "enum": ["x", "y"] },
                        "nullable": { "type": "string", "nullable": true, "default": "n" },
                        "l": {
                            "type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                            "items": { "type": "object", "required": ["k"],
                                "properties": { "k": { "type": "string" }, "v": { "type": "integer", "default": 7 } } },
                        },
                        "set": { "type": "array", "minItems": 1, "x-kubernetes-list-type": "set", "items": { "type": "string" } },
                        "m": { "type": "object", "maxProperties": 2, "additionalProperties": { "type": "integer" } },
                        "ip": { "x-kubernetes-int-or-string": true },
                        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                        "any": { "x-kubernetes-preserve-unknown-fields": true },
                        "when": { "type": "string", "format": "date-time" },
                        "object": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
                        "one": { "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
                            "oneOf": [{ "required": ["a"] }, { "required": ["b"] }], "not": { "required": ["c"] } },
                    },
                },
                "status": { "type": "object", "properties": { "r": { "type": "integer" } } },
            },
        })),
        false,
    )
}

/// The object with defaults, the warnings, then the causes.
fn check(spec: Value, expected: Expect) {
    let custom = schema();
    let body = json!({ "apiVersion": "g/v1", "kind": "W", "metadata": { "name": "a" }, "spec": spec });
    let mut text = String::new();
    match decode::decode(body.to_string().as_bytes(), &custom, Validation::Warn) {
        Err(why) => text = why,
        Ok(mut decoded) => {
            custom.apply_defaults(&mut decoded.value);
            text += &format!("{}\n", decoded.value["spec"]);
            decoded.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
            let mut causes = custom.validate(&decoded.value, None);
            causes.extend(custom.validate_shape(&decoded.value, None));
            causes.iter().for_each(|cause| text += &format!("{}: {}\n", cause.field, cause.message));
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn a_good_object_gets_its_defaults_and_keeps_what_the_schema_allows() {
    check(
        json!({ "n": 2, "free": { "z": { "deep": 1 } }, "any": [1, { "x": 2 }], "ip": "50%", "l": [{ "k": "a" }], "nullable": null }),
        expect![[r#"
            {"any":[1,{"x":2}],"d":"dd","free":{"z":{"deep":1}},"ip":"50%","l":[{"k":"a","v":7}],"n":2,"nullable":null}
        "#]],
    );
}

#[test]
fn unknown_fields_are_pruned_wherever_they_are() {
    check(
        json!({ "n": 2, "junk": 1, "l": [{ "k": "a", "junk": 1 }], "m": { "a": 1 }, "d": null, "s": null,
            "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "junk": 1 }, "spec": {} } }),
        expect![[r#"
            {"d":"dd","l":[{"k":"a","v":7}],"m":{"a":1},"n":2,"nullable":"n","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}}}
            warning: unknown field "spec.object.metadata.junk"
            warning: unknown field "spec.junk"
            warning: unknown field "spec.l[0].junk"
        "#]],
    );
}

#[test]
fn every_keyword_refuses_with_upstreams_words() {
    check(
        json!({ "n": 11, "s": "ABCDEF", "e": "z", "ip": true, "m": { "a": "x" }, "when": "today", "set": [], "l": [1],
            "one": { "a": "", "b": "" } }),
        expect![[r#"
            {"d":"dd","e":"z","ip":true,"l":[1],"m":{"a":"x"},"n":11,"nullable":"n","one":{"a":"","b":""},"s":"ABCDEF","set":[],"when":"today"}
            spec.e: Unsupported value: "z": supported values: "x", "y"
            spec.ip: Invalid value: "boolean": spec.ip in body must be of type integer,string: "boolean"
            spec.l[0]: Invalid value: "integer": spec.l[0] in body must be of type object: "integer"
            spec.m.a: Invalid value: "string": spec.m.a in body must be of type integer: "string"
            spec.n: Invalid value: 11: spec.n in body should be a multiple of 2
            spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10
            <nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives
            spec.s: Too long: may not be more than 5 bytes
            spec.set: Invalid value: 0: spec.set in body should have at least 1 items
            spec.when: Invalid value: "today": spec.when in body must be of type date-time: "today"
            spec.l[0]: Invalid value: 1: must be an object for an array of list-type map
        "#]],
    );
    check(
        json!({ "n": 0, "s": "A", "e": 1, "m": { "a": 1, "b": 2, "c": 3 }, "set": ["a", "a"], "d": 1,
            "l": [{ "k": "a" }, { "k": "a" }, {}], "one": {}, "object": { "kind": "x_y" } }),
        expect![[r#"
            {"d":1,"e":1,"l":[{"k":"a","v":7},{"k":"a","v":7},{"v":7}],"m":{"a":1,"b":2,"c":3},"n":0,"nullable":"n","object":{"kind":"x_y"},"one":{},"s":"A","set":["a","a"]}
            spec.d: Invalid value: "integer": spec.d in body must be of type string: "integer"
            spec.e: Invalid value: "integer": spec.e in body must be of type string: "integer"
            spec.e: Unsupported value: 1: supported values: "x", "y"
            spec.l[2].k: Required value
            spec.l: Too many: 3: must have at most 2 items
            spec.m: Too many: 3: must have at most 2 items
            spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1
            <nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid
            spec.one.a: Required value
            spec.s: Invalid value: "A": spec.s in body should be at least 2 chars long
            spec.object.apiVersion: Required value
            spec.object.kind: Invalid value: "x_y": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
            spec.l[1]: Duplicate value: {"k":"a"}
            spec.set[1]: Duplicate value: "a"
        "#]],
    );
    check(
        json!({ "s": "AB", "n": 1.5 }),
        expect![[r#"
        {"d":"dd","n":1.5,"nullable":"n","s":"AB"}
        spec.n: Invalid value: "number": spec.n in body must be of type integer: "number"
        spec.n: Invalid value: 1.5: spec.n in body should be a multiple of 2
        spec.s: Invalid value: "AB": spec.s in body should match '^[a-z]+$'
    "#]],
    );
}

#[test]
fn what_an_update_leaves_alone_is_not_refused_again() {
    let custom = schema();
    let old = json!({ "spec": { "n": 11, "s": "TOOLONG", "l": [{ "k": "a", "v": "x" }] } });
    let mut new = old.clone();
    assert_eq!(custom.validate(&new, Some(&old)), []);
    new["spec"]["d"] = "changed".into();
    assert_eq!(custom.validate(&new, Some(&old)), []);
    new["spec"]["n"] = 12.into();
    let causes: Vec<String> = custom.validate(&new, Some(&old)).into_iter().map(|cause| cause.field).collect();
    assert_eq!(causes, ["spec.n"]);
}

#[test]
fn columns_find_their_values() {
    let object = json!({
        "spec": { "n": 3, "list": [{ "type": "A", "v": 1 }, { "type": "B", "v": 2 }] },
        "metadata": { "annotations": { "a.b/c": "x" } },
    });
    let mut text = String::new();
    for path in [
        ".spec.n",
        ".spec.list[0].v",
        ".spec.list[-1].v",
        ".spec.list[*].v",
        ".spec.list[?(@.type==\"B\")].v",
        ".spec.list[?(@.v<2)].type",
        ".metadata.annotations['a.b/c']",
        r".metadata.annotations.a\.b/c",
        "..type",
        ".spec.absent",
        ".",
        ".a..",
        ".a[",
    ] {
        let found = JsonPath::parse(path).map(|path| serde_json::to_string(&path.find(&object)).unwrap());
        text += &format!("{path} -> {}\n", found.unwrap_or_else(|| "no path".to_owned()));
    }
    expect![[r#"
        .spec.n -> [3]
        .spec.list[0].v -> [1]
        .spec.list[-1].v -> [2]
        .spec.list[*].v -> [1,2]
        .spec.list[?(@.type=="B")].v -> [2]
        .spec.list[?(@.v<2)].type -> ["A"]
        .metadata.annotations['a.b/c'] -> ["x"]
        .metadata.annotations.a\.b/c -> ["x"]
        ..type -> ["A","B"]
        .spec.absent -> []
        . -> [{"metadata":{"annotations":{"a.b/c":"x"}},"spec":{"list":[{"type":"A","v":1},{"type":"B","v":2}],"n":3}}]
        .a.. -> no path
        .a[ -> no path
    "#]]
    .assert_eq(&text);
}

#[test]
fn formats_take_what_they_are_for() {
    let cases = [
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "7f0b0d0e-0f7a-4d53-8f7e-0b1c2d3e4f50", "7f0b"),
        ("uuid4", "7f0b0d0e-0f7a-4d53-8f7e-0b1c2d3e4f50", "7f0b0d0e-0f7a-3d53-8f7e-0b1c2d3e4f50"),
        ("date", "2026-01-31", "2026-02-30"),
        ("date-time", "2026-01-31T00:00:00Z", "2026-01-31"),
        ("duration", "1h30m", "soon"),
        ("email", "a@b.c", "a"),
        ("hostname", "a.example.com", "-a.b"),
        ("uri", "https://a/b", "a b"),
        ("mac", "00:00:5e:00:53:01", "00:00"),
        ("byte", "YQ==", "a"),
        ("hexcolor", "#fff", "#ff"),
        ("rgbcolor", "rgb(1,2,3)", "rgb(1,2)"),
        ("isbn10", "0-306-40615-2", "0-306-40615-3"),
        ("isbn13", "978-0-306-40615-7", "978-0-306-40615-8"),
        ("creditcard", "4111 1111 1111 1111", "4111"),
        ("ssn", "111-22-3333", "111"),
        ("k8s-short-name", "a-b", "a.b"),
        ("k8s-long-name", "a.b", "A"),
    ];
    for (format, good, bad) in cases {
        assert_eq!(formats::check(format, good), Some(true), "{format} {good}");
        assert_eq!(formats::check(format, bad), Some(false), "{format} {bad}");
    }
    assert_eq!(formats::check("made-up", "x"), None);
}
