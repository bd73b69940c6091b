//! What expressions cost, before and while they run.

use expect_test::expect;
use serde_json::json;

use super::answer;
use crate::{Decl, Env, Library};

/// The rules and figures of upstream's own test of its estimates.
#[test]
fn what_rules_may_cost_is_estimated_as_upstream_does() {
    let array = |of: &str, max: Option<i64>| json!({ "type": "array", "items": { "type": of }, "maxItems": max });
    let map = |of: &str, max: Option<i64>| json!({ "type": "object", "additionalProperties": { "type": of }, "maxProperties": max });
    let text = |max: Option<i64>| json!({ "type": "string", "maxLength": max });
    let arrays = json!({ "type": "array", "items": { "type": "array", "items": { "type": "number" } } });
    let nested = json!({ "type": "object", "maxProperties": 10, "additionalProperties": text(Some(10)) });
    let cases = [
        (array("number", None), "self.all(x, true)", 4_718_591),
        (array("number", Some(10)), "self.all(x, true)", 32),
        (array("string", None), "self.all(x, true)", 3_145_727),
        (array("boolean", None), "self.all(x, true)", 1_887_437),
        (arrays, "self.all(x, true)", 3_145_727),
        (map("number", None), "self.all(x, true)", 1_348_169),
        (map("string", None), "self.all(x, true)", 1_179_647),
        (map("boolean", Some(100)), "self.all(x, true)", 302),
        (text(None), "self.contains('test')", 314_574),
        (text(Some(10)), "self.contains('test')", 5),
        (text(None), "self.startsWith('test')", 2),
        (text(None), "size(self + \"hello\") > size(\"hello\")", 314_578),
        (text(Some(4)), "size(self + \"hello\") > size(\"hello\")", 7),
        (array("number", None), "self[1] == 0.0", 2),
        (array("string", None), "self[1] == self[1]", 314_577),
        (array("number", Some(10)), "self.all(x, self.all(y, true))", 352),
        (array("number", Some(10)), "self.all(x, self.all(y, self.all(z, true)))", 3552),
        (text(None), "self.matches(\"x\")", 314_574),
        (text(Some(50)), "self.matches(\"x\")", 22),
        (text(None), "\"\".matches(\"(((((((((())))))))))[0-9]\")", 7),
        (text(None), "self.matches(\"\")", 1),
        (nested, "self.all(x, x.contains(self[x]))", 72),
        (text(None), "self == \"x\"", 2),
        (text(Some(0)), "self == \"x\"", 1),
        (array("number", None), "self.all(x, x == 0.0)", 6_291_454),
        (array("number", Some(3 * 1024 * 2048)), "self.all(x, x == 0.0)", 25_165_826),
    ];
    for (schema, rule, wanted) in cases {
        let decl = Decl::of_schema(&schema, false, "selfType").expect("invariant: it has a type");
        let program = Env::kubernetes().with("self", decl.ty.clone()).compile(rule);
        let program = program.unwrap_or_else(|issues| panic!("{rule}: {issues}"));
        assert_eq!(program.cost_max(&[("self", &decl)]), wanted, "{rule} of {schema}");
    }
}

#[test]
fn evaluations_are_charged_and_end_when_they_are_too_expensive() {
    answer(
        Library::KUBERNETES,
        "
        self.n == 3
        self.words.all(w, w != 'z')
        self.words.map(w, w + 'x').size() == 3
        self.inner.x > 0 && self.n > 0
        has(self.s) && self.s.contains('llo')
        self.s.matches('^h.*o$')
        [1, 2, 3].all(a, [1, 2, 3].all(b, [1, 2, 3].all(c, a + b + c > 0)))
        'a,b'.split(',').join('-') == 'a-b'
        self.labels.transformMap(k, v, v).size()
        ",
        true,
        expect![[r#"
            self.n == 3
              true (3 of 2)
            self.words.all(w, w != 'z')
              true (18 of 28)
            self.words.map(w, w + 'x').size() == 3
              true (57 of 95)
            self.inner.x > 0 && self.n > 0
              true (7 of 7)
            has(self.s) && self.s.contains('llo')
              true (4 of 7)
            self.s.matches('^h.*o$')
              true (4 of 12)
            [1, 2, 3].all(a, [1, 2, 3].all(b, [1, 2, 3].all(c, a + b + c > 0)))
              true (422 of 422)
            'a,b'.split(',').join('-') == 'a-b'
              true (3 of 1844674407370955266)
            self.labels.transformMap(k, v, v).size()
              2 (42 of 1572894)
        "#]],
    );
}
