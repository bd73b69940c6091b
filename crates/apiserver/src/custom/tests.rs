//! Objects against rules: what is refused, what only warns, and where the causes point.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::rule_check;
use super::rules::Node;

/// Each step is an object and what it was; the causes and warnings that it has.
fn check(schema: Value, steps: &[(Option<Value>, Value)], expected: Expect) {
    let node = Node::compile(&schema, true).expect("invariant: it has rules");
    let mut text = String::new();
    for (old, new) in steps {
        let verdict = rule_check::check(&node, new, old.as_ref());
        text += &format!("{}\n", new["spec"]);
        verdict
            .causes
            .iter()
            .for_each(|cause| text += &format!("  {} {}: {}\n", cause.reason, cause.field, cause.message));
        verdict.warnings.iter().for_each(|warning| text += &format!("  warning: {warning}\n"));
    }
    expected.assert_eq(&text);
}

fn spec(spec: Value) -> Value {
    json!({ "apiVersion": "g/v1", "kind": "W", "metadata": { "name": "w" }, "spec": spec })
}

fn of_spec(rules: Value, properties: Value) -> Value {
    json!({ "type": "object", "properties": { "spec":
        { "type": "object", "x-kubernetes-validations": rules, "properties": properties } } })
}

#[test]
fn a_broken_rule_is_told_with_its_message_reason_and_field() {
    let rules = json!([
        { "rule": "self.n <= 10" },
        { "rule": "self.n <= 10", "message": " too big " },
        { "rule": "self.n <= 10", "messageExpression": "'n is ' + string(self.n)", "reason": "FieldValueForbidden" },
        { "rule": "self.n <= 10", "message": "m", "reason": "FieldValueRequired", "fieldPath": ".m['a.b']" },
        { "rule": "self.n <= 10", "message": "m", "reason": "FieldValueDuplicate", "fieldPath": ".n" },
        { "rule": "self.n <= 10", "message": "instead", "messageExpression": "self.absent" },
        { "rule": "self.n <= 10", "message": "instead", "messageExpression": "' '" },
        { "rule": "self.absent == 'x'" },
        { "rule": "self.n / 0 == 1", "message": "divided" },
        { "rule": "self.port > 5" },
    ]);
    let properties = json!({
        "n": { "type": "integer" }, "absent": { "type": "string" }, "port": { "x-kubernetes-int-or-string": true },
        "m": { "type": "object", "additionalProperties": { "type": "string" } },
    });
    check(
        of_spec(rules, properties),
        &[(None, spec(json!({ "n": 11, "port": "x" })))],
        expect![[r#"
        {"n":11,"port":"x"}
          FieldValueInvalid spec: Invalid value: failed rule: self.n <= 10
          FieldValueInvalid spec: Invalid value: too big
          FieldValueForbidden spec: Forbidden: n is 11
          FieldValueRequired spec.m[a.b]: Required value: m
          FieldValueDuplicate spec.n: Duplicate value
          FieldValueInvalid spec: Invalid value: instead
          FieldValueInvalid spec: Invalid value: instead
          FieldValueInvalid spec: Invalid value: no such key: absent evaluating rule: self.absent == 'x'
          FieldValueInvalid spec: Invalid value: division by zero evaluating rule: divided
          FieldValueInvalid spec: Invalid value: 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.port > 5
    "#]],
    );
}

#[test]
fn transition_rules_are_asked_where_there_is_a_former_self() {
    let schema = of_spec(
        json!([{ "rule": "self.n >= oldSelf.n", "message": "n may only grow" }]),
        json!({
            "n": { "type": "integer" },
            "new": { "type": "string", "x-kubernetes-validations": [
                { "rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": true } ] },
            "fixed": { "type": "string", "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": "fixed" }] },
            "l": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
                "type": "object", "x-kubernetes-validations": [{ "rule": "self.v == oldSelf.v", "message": "v stays" }],
                "properties": { "k": { "type": "string" }, "v": { "type": "integer" } } } },
            "m": { "type": "object", "additionalProperties": {
                "type": "integer", "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": "entries stay" }] } },
        }),
    );
    let old = spec(json!({ "n": 2, "fixed": "a", "l": [{ "k": "x", "v": 1 }, { "k": "y", "v": 2 }], "m": { "a": 1 } }));
    check(
        schema,
        &[
            (None, old.clone()),
            (None, spec(json!({ "n": 1, "new": "second" }))),
            (Some(old.clone()), spec(json!({ "n": 3, "fixed": "a", "new": "first" }))),
            (Some(old.clone()), spec(json!({ "n": 1, "fixed": "b" }))),
            (
                Some(old),
                spec(json!({ "n": 2, "l": [{ "k": "y", "v": 2 }, { "k": "x", "v": 9 }, { "k": "z", "v": 5 }],
                "m": { "a": 2, "b": 3 } })),
            ),
        ],
        expect![[r#"
            {"fixed":"a","l":[{"k":"x","v":1},{"k":"y","v":2}],"m":{"a":1},"n":2}
            {"n":1,"new":"second"}
              FieldValueInvalid spec.new: Invalid value: failed rule: oldSelf.hasValue() || self == 'first'
            {"fixed":"a","n":3,"new":"first"}
            {"fixed":"b","n":1}
              FieldValueInvalid spec: Invalid value: n may only grow
              FieldValueInvalid spec.fixed: Invalid value: fixed
            {"l":[{"k":"y","v":2},{"k":"x","v":9},{"k":"z","v":5}],"m":{"a":2,"b":3},"n":2}
              FieldValueInvalid spec.l[1]: Invalid value: v stays
              FieldValueInvalid spec.m[a]: Invalid value: entries stay
        "#]],
    );
}

#[test]
fn what_was_broken_before_and_is_unchanged_only_warns() {
    let schema = of_spec(
        json!([{ "rule": "self.a + self.b < 10", "message": "sum" }]),
        json!({
            "a": { "type": "integer", "x-kubernetes-validations": [{ "rule": "self < 5", "message": "a" }] },
            "b": { "type": "integer" },
            "l": { "type": "array", "items": {
                "type": "string", "x-kubernetes-validations": [{ "rule": "self != 'bad'", "message": "item" }] } },
        }),
    );
    let old = spec(json!({ "a": 9, "b": 9, "l": ["bad", "good"] }));
    check(
        schema,
        &[
            (Some(old.clone()), old.clone()),
            (Some(old.clone()), spec(json!({ "a": 9, "b": 8, "l": ["bad", "bad"] }))),
            (Some(old), spec(json!({ "a": 8, "b": 1, "l": ["good"] }))),
        ],
        expect![[r#"
            {"a":9,"b":9,"l":["bad","good"]}
              warning: spec: Invalid value: sum
              warning: spec.a: Invalid value: a
              warning: spec.l[0]: Invalid value: item
            {"a":9,"b":8,"l":["bad","bad"]}
              FieldValueInvalid spec: Invalid value: sum
              FieldValueInvalid spec.l[1]: Invalid value: item
              warning: spec.a: Invalid value: a
              warning: spec.l[0]: Invalid value: item
            {"a":8,"b":1,"l":["good"]}
              FieldValueInvalid spec.a: Invalid value: a
        "#]],
    );
}

#[test]
fn the_names_of_an_object_are_seen_at_its_root_and_cost_is_bounded() {
    let schema = json!({ "type": "object",
        "x-kubernetes-validations": [
            { "rule": "self.metadata.name.startsWith('w') && self.kind == 'W'" }, { "rule": "self.metadata.name == 'v'" },
            { "rule": "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c > 0)))", "message": "sums" },
            { "rule": "false" },
        ],
        "properties": { "l": { "type": "array", "items": { "type": "integer" } } } });
    let mut object = spec(json!({}));
    object["l"] = (1..200).collect::<Vec<i64>>().into();
    check(
        schema,
        &[(None, object)],
        expect![[r#"
        {}
          FieldValueInvalid <nil>: Invalid value: failed rule: self.metadata.name == 'v'
          FieldValueInvalid <nil>: Invalid value: 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: sums
    "#]],
    );
}
