//! `<`, `<=`, `>`, `>=`: of like with like, and of numbers with numbers.

use std::cmp::Ordering;

use super::{Library, Outcome, Run, no_overload};
use crate::types::Type;
use crate::value::Value;

pub type TypedRow = (Library, &'static str, Vec<Type>, Type, Run);

const OPERATORS: [(&str, Run); 4] = [
    ("_<_", |_, args| compared(args, Ordering::is_lt)),
    ("_<=_", |_, args| compared(args, Ordering::is_le)),
    ("_>_", |_, args| compared(args, Ordering::is_gt)),
    ("_>=_", |_, args| compared(args, Ordering::is_ge)),
];
const ORDERED: [Type; 8] =
    [Type::Bool, Type::Int, Type::Uint, Type::Double, Type::String, Type::Bytes, Type::Timestamp, Type::Duration];
const NUMBERS: [Type; 3] = [Type::Int, Type::Uint, Type::Double];

pub fn rows() -> Vec<TypedRow> {
    let mut rows = Vec::new();
    for (function, run) in OPERATORS {
        let mut row = |a: &Type, b: &Type| {
            rows.push((Library::Standard, function, vec![a.clone(), b.clone()], Type::Bool, run));
        };
        ORDERED.iter().for_each(|ty| row(ty, ty));
        for a in &NUMBERS {
            NUMBERS.iter().filter(|b| *b != a).for_each(|b| row(a, b));
        }
    }
    rows
}

fn compared<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Outcome<'a> {
    match args {
        [Value::Double(a), Value::Double(b)] if a.is_nan() || b.is_nan() => Ok(Value::Bool(false)),
        [a, b] => a.compare(b).map_or_else(no_overload, |order| Ok(Value::Bool(holds(order)))),
        _ => no_overload(),
    }
}
