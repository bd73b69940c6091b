//! Functions of lists, and of lists as sets.

use std::cmp::Ordering;

use super::compare::TypedRow;
use super::{Library, Outcome, Row, Run, error, no_overload};
use crate::library::operators;
use crate::types::Type;
use crate::value::Value;

pub const TABLE: &[Row] = &[
    ("indexOf", "list(A).(A) int", |_, a| index_of(a, false)),
    ("lastIndexOf", "list(A).(A) int", |_, a| index_of(a, true)),
];

pub const SETS: &[Row] = &[
    ("sets.contains", "(list(A), list(A)) bool", |_, a| Ok(Value::Bool(contains(&a[0], &a[1])))),
    ("sets.equivalent", "(list(A), list(A)) bool", |_, a| {
        Ok(Value::Bool(contains(&a[0], &a[1]) && contains(&a[1], &a[0])))
    }),
    ("sets.intersects", "(list(A), list(A)) bool", |_, a| {
        Ok(Value::Bool(a[1].items().iter().any(|item| item.is_in(&a[0]))))
    }),
];

const SUMMED: [Type; 4] = [Type::Int, Type::Uint, Type::Double, Type::Duration];
const COMPARED: [Type; 8] =
    [Type::Int, Type::Uint, Type::Double, Type::Bool, Type::Duration, Type::Timestamp, Type::String, Type::Bytes];
const SUMS: [Run; 4] = [
    |_, a| sum(a, Value::Int(0)),
    |_, a| sum(a, Value::Uint(0)),
    |_, a| sum(a, Value::Double(0.0)),
    |_, a| sum(a, Value::Duration(0)),
];

/// The functions that have a form for each type of items.
pub fn rows() -> Vec<TypedRow> {
    let mut rows: Vec<TypedRow> = Vec::new();
    let mut row = |function, item: &Type, result: &Type, run| {
        rows.push((Library::Lists, function, vec![Type::list(item.clone())], result.clone(), run));
    };
    for (ty, run) in SUMMED.iter().zip(SUMS) {
        row("sum", ty, ty, run);
    }
    for ty in &COMPARED {
        row("isSorted", ty, &Type::Bool, |_, a| is_sorted(a));
        row("min", ty, ty, |_, a| extreme(a, "min", Ordering::Less));
        row("max", ty, ty, |_, a| extreme(a, "max", Ordering::Greater));
    }
    rows
}

fn index_of<'a>(args: &[Value<'a>], last: bool) -> Outcome<'a> {
    let items = args[0].items();
    let same = |item: &Value<'a>| item.equals(&args[1]);
    let at = if last { items.iter().rposition(same) } else { items.iter().position(same) };
    Ok(Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)))
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>) -> Outcome<'a> {
    args[0].items().into_iter().try_fold(zero, |sum, item| operators::add(&[sum, item]))
}

fn is_sorted<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let items = args[0].items();
    Ok(Value::Bool(items.windows(2).all(|pair| pair[0].compare(&pair[1]) != Some(Ordering::Greater))))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Outcome<'a> {
    let mut items = args[0].items().into_iter();
    let Some(first) = items.next() else { return error(format!("{name} called on empty list")) };
    items.try_fold(first, |best, item| match item.compare(&best) {
        Some(order) if order == wanted => Ok(item),
        Some(_) => Ok(best),
        None => no_overload(),
    })
}

fn contains(list: &Value<'_>, part: &Value<'_>) -> bool {
    part.items().iter().all(|item| item.is_in(list))
}
