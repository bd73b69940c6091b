//! Amounts of resources.

use std::cmp::Ordering;
use std::rc::Rc;

use api::quantity::{Format, Quantity};

use super::opaque::Opaque;
use super::{Fault, Row, error, no_overload};
use crate::value::Value;

pub const TABLE: &[Row] = &[
    ("quantity", "(string) quantity", |_, a| match &a[0] {
        Value::Text(text) => match Quantity::parse(text) {
            Ok(quantity) => Ok(value(quantity)),
            Err(why) => error(why.to_string()),
        },
        _ => no_overload(),
    }),
    ("isQuantity", "(string) bool", |_, a| {
        Ok(Value::Bool(a[0].as_text().is_some_and(|text| Quantity::parse(text).is_ok())))
    }),
    ("sign", "quantity.() int", |_, a| {
        Ok(Value::Int(match of(&a[0])?.cmp(&Quantity::ZERO) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }))
    }),
    ("isInteger", "quantity.() bool", |_, a| Ok(Value::Bool(whole(of(&a[0])?).is_some()))),
    ("asInteger", "quantity.() int", |_, a| {
        let whole = whole(of(&a[0])?);
        whole.map_or_else(|| error("cannot convert value to integer"), |value| Ok(Value::Int(value)))
    }),
    ("asApproximateFloat", "quantity.() double", |_, a| Ok(Value::Double(of(&a[0])?.as_f64()))),
    ("isGreaterThan", "quantity.(quantity) bool", |_, a| Ok(Value::Bool(of(&a[0])? > of(&a[1])?))),
    ("isLessThan", "quantity.(quantity) bool", |_, a| Ok(Value::Bool(of(&a[0])? < of(&a[1])?))),
    ("compareTo", "quantity.(quantity) int", |_, a| Ok(Value::Int(of(&a[0])?.cmp(&of(&a[1])?) as i64))),
    ("add", "quantity.(quantity) quantity", |_, a| Ok(value(of(&a[0])? + of(&a[1])?))),
    ("add", "quantity.(int) quantity", |_, a| Ok(value(of(&a[0])? + number(&a[1])?))),
    ("sub", "quantity.(quantity) quantity", |_, a| Ok(value(of(&a[0])? - of(&a[1])?))),
    ("sub", "quantity.(int) quantity", |_, a| Ok(value(of(&a[0])? - number(&a[1])?))),
];

fn value<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Rc::new(Opaque::Quantity(quantity)))
}

fn wrong() -> Fault {
    Fault::Error("no such overload".to_owned())
}

fn of(value: &Value<'_>) -> Result<Quantity, Fault> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Quantity(quantity) => Ok(*quantity),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn number(value: &Value<'_>) -> Result<Quantity, Fault> {
    match value {
        Value::Int(value) => Ok(Quantity::new(*value, Format::Exponent)),
        _ => Err(wrong()),
    }
}

fn whole(quantity: Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::new(value, Format::Decimal) == quantity).then_some(value)
}
