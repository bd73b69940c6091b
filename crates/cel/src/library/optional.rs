//! Values that may be missing.

use std::rc::Rc;

use super::{Row, error, no_overload};
use crate::value::Value;

pub const TABLE: &[Row] = &[
    ("optional.of", "(A) optional(A)", |_, a| Ok(Value::some(a[0].clone()))),
    ("optional.ofNonZeroValue", "(A) optional(A)", |_, a| {
        Ok(Value::Optional((!a[0].is_zero()).then(|| Rc::new(a[0].clone()))))
    }),
    ("optional.none", "() optional(A)", |_, _| Ok(Value::Optional(None))),
    ("hasValue", "optional(A).() bool", |_, a| match a {
        [Value::Optional(of)] => Ok(Value::Bool(of.is_some())),
        _ => no_overload(),
    }),
    ("value", "optional(A).() A", |_, a| match a {
        [Value::Optional(Some(of))] => Ok((**of).clone()),
        [Value::Optional(None)] => error("optional.none() dereference"),
        _ => no_overload(),
    }),
    // Those two are evaluated only as far as needed, which the evaluator sees to.
    ("or", "optional(A).(optional(A)) optional(A)", |_, a| match a {
        [Value::Optional(None), other] => Ok(other.clone()),
        [found, _] => Ok(found.clone()),
        _ => no_overload(),
    }),
    ("orValue", "optional(A).(A) A", |_, a| match a {
        [Value::Optional(Some(of)), _] => Ok((**of).clone()),
        [_, other] => Ok(other.clone()),
        _ => no_overload(),
    }),
];
