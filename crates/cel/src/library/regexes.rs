//! Regular expressions: those that are written in an expression are compiled with it.

use std::collections::HashMap;

use api::custom::keywords::compile_pattern;
use regex::Regex;

use super::{Fault, Outcome, Row, no_overload, texts};
use crate::ast::{Ast, Kind, Literal};
use crate::value::Value;

/// The constant patterns of a program.
#[derive(Debug, Default)]
pub struct Regexes {
    compiled: HashMap<String, Regex>,
}

pub const TABLE: &[Row] = &[
    ("find", "string.(string) string", |regexes, args| match args {
        [Value::Text(text), Value::Text(pattern)] => {
            let found = regexes.with(pattern, |regex| regex.find(text).map(|found| found.as_str().to_owned()))?;
            Ok(Value::text(found.unwrap_or_default()))
        }
        _ => no_overload(),
    }),
    ("findAll", "string.(string) list(string)", |regexes, args| find_all(regexes, args)),
    ("findAll", "string.(string, int) list(string)", |regexes, args| find_all(regexes, args)),
];

impl Regexes {
    pub fn of(ast: &Ast) -> Self {
        let mut compiled = HashMap::new();
        ast.root.walk(&mut |expr| {
            let Kind::Call { function, target, args } = &expr.kind else { return };
            let pattern = args.get(usize::from(target.is_none())).and_then(|arg| arg.literal());
            if let ("matches" | "find" | "findAll", Some(Literal::Text(text))) = (function.as_str(), pattern)
                && let Ok(regex) = compile_pattern(text)
            {
                compiled.insert(text.to_string(), regex);
            }
        });
        Self { compiled }
    }

    pub fn with<T>(&self, pattern: &str, then: impl FnOnce(&Regex) -> T) -> Result<T, Fault> {
        if let Some(regex) = self.compiled.get(pattern) {
            return Ok(then(regex));
        }
        let regex = compile_pattern(pattern).map_err(|why| Fault::Error(invalid(&why)))?;
        Ok(then(&regex))
    }
}

/// What is wrong with a pattern, about as Go says it.
pub fn invalid(why: &regex::Error) -> String {
    let why = why.to_string();
    let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("error parsing regexp: {last}")
}

fn find_all<'a>(regexes: &Regexes, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, most) = match args {
        [Value::Text(text), Value::Text(pattern)] => (text, pattern, usize::MAX),
        [Value::Text(text), Value::Text(pattern), Value::Int(most)] => {
            (text, pattern, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return no_overload(),
    };
    regexes.with(pattern, |regex| texts(regex.find_iter(text).take(most).map(|found| found.as_str().to_owned())))
}
