//! Expressions with upstream's answers and errors. An answer stands under its expression; `!` marks an error of the
//! evaluation, `ERROR` one of compiling.

mod costs;
mod errors;
mod kubernetes;
mod language;
mod lists;
mod texts;

use expect_test::Expect;
use serde_json::{Value as Json, json};

use crate::library::format_text;
use crate::{Decl, Env, Fault, Library, view};

const COST_MAX: u64 = 1_000_000;

fn schema() -> Json {
    json!({
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": { "type": "integer" },
            "d": { "type": "number" },
            "s": { "type": "string", "maxLength": 10 },
            "absent": { "type": "string" },
            "b": { "type": "boolean" },
            "bytes": { "type": "string", "format": "byte" },
            "when": { "type": "string", "format": "date-time" },
            "day": { "type": "string", "format": "date" },
            "span": { "type": "string", "format": "duration" },
            "port": { "x-kubernetes-int-or-string": true },
            "words": { "type": "array", "maxItems": 5, "items": { "type": "string", "maxLength": 5 } },
            "numbers": { "type": "array", "items": { "type": "integer" } },
            "set": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
            "byKey": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": { "type": "object", "properties": { "k": { "type": "string" }, "v": { "type": "integer" } } },
            },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "inner": { "type": "object", "properties": { "x": { "type": "integer" }, "y": { "type": "string" } } },
            "a.b": { "type": "integer" },
            "a-b/c": { "type": "integer" },
            "namespace": { "type": "string" },
            "under__score": { "type": "integer" },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        },
    })
}

fn object() -> Json {
    json!({
        "apiVersion": "g/v1", "kind": "W", "metadata": { "name": "w", "labels": { "l": "m" } },
        "n": 3, "d": 2, "s": "héllo", "b": true, "bytes": "aGk=", "when": "2024-03-01T10:20:30.5Z", "day": "2024-02-29",
        "span": "90m", "port": "50%", "words": ["b", "a", "c"], "numbers": [1, 2, 3, 2], "set": ["x", "y"],
        "byKey": [{ "k": "a", "v": 1 }, { "k": "b", "v": 2 }], "labels": { "app": "web", "tier": "db" },
        "inner": { "x": 1 }, "a.b": 5, "a-b/c": 6, "namespace": "ns", "under__score": 7, "free": { "z": 1 },
    })
}

/// The answer to each line of `expressions`, without its cost.
fn check(expressions: &str, expected: Expect) {
    answer(Library::KUBERNETES, expressions, false, expected);
}

fn answer(libraries: &'static [Library], expressions: &str, with_cost: bool, expected: Expect) {
    let decl = Decl::of_schema(&schema(), true, "selfType").expect("invariant: it is an object");
    let env = Env::new(libraries).with("self", decl.ty.clone());
    let object = object();
    let mut out = String::new();
    for line in expressions.lines().map(str::trim).filter(|line| !line.is_empty()) {
        out += &format!("{line}\n");
        let program = match env.compile(line) {
            Ok(program) => program,
            Err(issues) => {
                out += &issues.to_string().lines().map(|line| format!("  {line}\n")).collect::<String>();
                continue;
            }
        };
        let evaluated = program.evaluate(&[("self", view(&object, &decl))], COST_MAX);
        let cost = if with_cost {
            format!(" ({} of {})", evaluated.cost, program.cost_max(&[("self", &decl)]))
        } else {
            String::new()
        };
        out += &match evaluated.result {
            Ok(value) => format!("  {}{cost}\n", format_text(&value, true)),
            Err(Fault::Error(why)) => format!("  ! {why}{cost}\n"),
            Err(Fault::CostExceeded) => format!("  ! too expensive{cost}\n"),
        };
    }
    expected.assert_eq(&out);
}
