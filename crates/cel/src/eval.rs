//! Evaluation: expressions to values, counting what it costs.
//!
//! `&&`, `||` and what is made of them absorb errors as CEL asks: `false && error` is false, whichever comes first. Only
//! the limit of cost ends everything.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::ast::{Expr, Fold, Kind, Literal};
use crate::cost;
use crate::env::Program;
use crate::library::{Fault, Outcome, Overload, no_overload};
use crate::types::Type;
use crate::value::{Key, Value};

/// A value or what went wrong, and what it cost.
#[derive(Debug)]
pub struct Evaluated<'a> {
    pub result: Outcome<'a>,
    pub cost: u64,
}

pub struct Evaluator<'a> {
    program: &'a Program,
    variables: Vec<(&'a str, Outcome<'a>)>,
    cost: u64,
    cost_max: u64,
}

impl<'a> Evaluator<'a> {
    pub fn new(program: &'a Program, variables: &[(&'a str, Value<'a>)], cost_max: u64) -> Self {
        let variables = variables.iter().map(|(name, value)| (*name, Ok(value.clone()))).collect();
        Self { program, variables, cost: 0, cost_max }
    }

    pub fn run(mut self) -> Evaluated<'a> {
        let result = self.expr(&self.program.ast.root);
        Evaluated { result, cost: self.cost }
    }

    fn charge(&mut self, cost: u64) -> Result<(), Fault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.cost_max { Err(Fault::CostExceeded) } else { Ok(()) }
    }

    fn expr(&mut self, expr: &'a Expr) -> Outcome<'a> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(Value::literal(literal)),
            Kind::Ident(name) => {
                self.charge(1)?;
                self.variable(name)
            }
            Kind::Select { operand, field, test } => {
                let operand = self.expr(operand)?;
                if *test {
                    return present(&operand, field);
                }
                self.charge(1)?;
                select(&operand, field)
            }
            Kind::Call { function, target, args } => self.call(expr.id, function, target.as_deref(), args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Message(_) => no_overload(),
        }
    }

    fn variable(&self, name: &'a str) -> Outcome<'a> {
        let found = self.variables.iter().rev().find(|(found, _)| *found == name);
        match found {
            Some((_, value)) => value.clone(),
            None => match Type::named(name) {
                Some(ty) => Ok(Value::Type(ty)),
                None => Err(Fault::Error(format!("no such attribute(s): {name}"))),
            },
        }
    }

    fn call(&mut self, id: usize, function: &'a str, target: Option<&'a Expr>, args: &'a [Expr]) -> Outcome<'a> {
        match (function, args) {
            ("_&&_", [a, b]) => self.logic(a, b, false),
            ("_||_", [a, b]) => self.logic(a, b, true),
            ("_?_:_", [condition, yes, no]) => match self.expr(condition)? {
                Value::Bool(true) => self.expr(yes),
                Value::Bool(false) => self.expr(no),
                _ => no_overload(),
            },
            ("@not_strictly_false", [of]) => {
                let value = match self.expr(of) {
                    Err(Fault::CostExceeded) => return Err(Fault::CostExceeded),
                    other => other,
                };
                self.charge(1)?;
                Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false)))))
            }
            ("_?._", [operand, field]) => {
                let operand = self.expr(operand)?;
                self.charge(1)?;
                let Some(Literal::Text(field)) = field.literal() else { return no_overload() };
                optional_select(&operand, field)
            }
            ("or" | "orValue", [other]) => self.alternative(function, target, other),
            ("_+_", [Expr { kind: Kind::Ident(name), .. }, Expr { kind: Kind::List(items), .. }])
                if name == crate::ast::ACCU =>
            {
                self.append(items)
            }
            _ => {
                let mut values = Vec::with_capacity(args.len() + 1);
                for arg in target.into_iter().chain(args) {
                    values.push(self.expr(arg)?);
                }
                self.dispatch(id, function, &values)
            }
        }
    }

    fn dispatch(&mut self, id: usize, function: &str, values: &[Value<'a>]) -> Outcome<'a> {
        let candidates: &[&Overload] = &self.program.checked.calls[id];
        let fitting = candidates.iter().find(|overload| overload.params.iter().zip(values).all(accepts));
        let result = match fitting {
            Some(overload) => (overload.run)(&self.program.regexes, values)?,
            None => return no_overload(),
        };
        self.charge(cost::call(function, values, &result))?;
        Ok(result)
    }

    /// `decisive` is the value of one side that decides.
    fn logic(&mut self, a: &'a Expr, b: &'a Expr, decisive: bool) -> Outcome<'a> {
        let left = self.expr(a);
        match left {
            Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
            Err(Fault::CostExceeded) => return left,
            _ => {}
        }
        let right = self.expr(b);
        match (left, right) {
            (_, Err(Fault::CostExceeded)) => Err(Fault::CostExceeded),
            (_, Ok(Value::Bool(value))) if value == decisive => Ok(Value::Bool(decisive)),
            (Err(fault), _) | (Ok(Value::Bool(_)), Err(fault)) => Err(fault),
            (Ok(Value::Bool(_)), Ok(Value::Bool(value))) => Ok(Value::Bool(value)),
            _ => no_overload(),
        }
    }

    fn alternative(&mut self, function: &str, target: Option<&'a Expr>, other: &'a Expr) -> Outcome<'a> {
        let Some(target) = target else { return no_overload() };
        let found = self.expr(target)?;
        self.charge(1)?;
        match (function, found) {
            ("or", found @ Value::Optional(Some(_))) => Ok(found),
            (_, Value::Optional(Some(value))) => Ok((*value).clone()),
            (_, Value::Optional(None)) => self.expr(other),
            _ => no_overload(),
        }
    }

    /// What `map` and its kind gather, added in place: nobody else has the list.
    fn append(&mut self, items: &'a [(Expr, bool)]) -> Outcome<'a> {
        self.charge(1)?;
        let at = self.variables.iter().rposition(|(name, _)| *name == crate::ast::ACCU);
        let Some(at) = at else { return no_overload() };
        let taken = std::mem::replace(&mut self.variables[at].1, Ok(Value::Null))?;
        let more = self.list(items)?;
        self.charge(1)?;
        match (taken, more) {
            (Value::List(mut list), Value::List(more)) => {
                Rc::make_mut(&mut list).extend(more.iter().cloned());
                Ok(Value::List(list))
            }
            _ => no_overload(),
        }
    }

    fn list(&mut self, items: &'a [(Expr, bool)]) -> Outcome<'a> {
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.expr(item)?, optional) {
                (value, false) => list.push(value),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => list.push((*value).clone()),
                _ => return no_overload(),
            }
        }
        self.charge(cost::LIST)?;
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &'a [(Expr, Expr, bool)]) -> Outcome<'a> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.expr(key)?;
            let value = match (self.expr(value)?, optional) {
                (value, false) => value,
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                _ => return no_overload(),
            };
            let Some(name) = Key::of(&key).filter(|_| !matches!(key, Value::Double(_))) else {
                return Err(Fault::Error(format!("unsupported key type: {}", key.ty().name())));
            };
            if map.insert(name, value).is_some() {
                return Err(Fault::Error(format!("Failed with repeated key: {}", crate::library::shown(&key))));
            }
        }
        self.charge(cost::MAP)?;
        Ok(Value::Map(Rc::new(map)))
    }

    fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.expr(&fold.range)?;
        let init = self.expr(&fold.init);
        let keys = if range.is_map() { Some(range.keys()) } else { None };
        let count = match &keys {
            Some(keys) => keys.len(),
            None if range.is_list() => range.size().unwrap_or_default(),
            None => return no_overload(),
        };
        let depth = self.variables.len();
        self.variables.push((&fold.accu, init));
        let result = self.turns(fold, &range, keys.as_deref(), count, depth);
        let result = result.and_then(|()| self.expr(&fold.result));
        self.variables.truncate(depth);
        result
    }

    fn turns(
        &mut self,
        fold: &'a Fold,
        range: &Value<'a>,
        keys: Option<&[Value<'a>]>,
        count: usize,
        depth: usize,
    ) -> Result<(), Fault> {
        // Where every turn is taken, an error is final.
        let endless = matches!(fold.condition.kind, Kind::Literal(Literal::Bool(true)));
        for index in 0..count {
            let item = || range.item(index).unwrap_or(Value::Null);
            let (first, second) = match (keys, &fold.second) {
                (Some(keys), Some(_)) => (keys[index].clone(), range.entry(&keys[index]).unwrap_or(Value::Null)),
                (Some(keys), None) => (keys[index].clone(), Value::Null),
                (None, Some(_)) => (Value::Int(i64::try_from(index).unwrap_or(i64::MAX)), item()),
                (None, None) => (item(), Value::Null),
            };
            self.variables.truncate(depth + 1);
            self.variables.push((&fold.var, Ok(first)));
            if let Some(name) = &fold.second {
                self.variables.push((name, Ok(second)));
            }
            if !matches!(self.expr(&fold.condition)?, Value::Bool(true)) {
                break;
            }
            let next = self.expr(&fold.step);
            if matches!(next, Err(Fault::CostExceeded)) || (endless && next.is_err()) {
                return next.map(drop);
            }
            self.variables[depth].1 = next;
        }
        self.variables.truncate(depth + 1);
        Ok(())
    }
}

/// Whether an argument may be what a form asks for.
fn accepts((param, value): (&Type, &Value<'_>)) -> bool {
    match (param, value) {
        (Type::Dyn | Type::Param(_), _) => true,
        (Type::List(_), value) => value.is_list(),
        (Type::Map(_), value) => value.is_map(),
        (Type::Optional(of), Value::Optional(Some(value))) => accepts((of, value)),
        (Type::Optional(_), Value::Optional(None)) | (Type::Type(_), Value::Type(_)) => true,
        (param, value) => *param == value.ty(),
    }
}

fn missing<'a>(field: &str) -> Outcome<'a> {
    Err(Fault::Error(format!("no such key: {field}")))
}

fn select<'a>(operand: &Value<'a>, field: &'a str) -> Outcome<'a> {
    match operand {
        Value::Optional(_) => optional_select(operand, field),
        map if map.is_map() => map.entry(&key(field)).map_or_else(|| missing(field), Ok),
        _ => no_overload(),
    }
}

fn key(field: &str) -> Value<'_> {
    Value::Text(crate::value::Text::Borrowed(field))
}

fn optional_select<'a>(operand: &Value<'a>, field: &'a str) -> Outcome<'a> {
    let inner = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => (**inner).clone(),
        other => other.clone(),
    };
    if !inner.is_map() {
        return no_overload();
    }
    Ok(Value::Optional(inner.entry(&key(field)).map(Rc::new)))
}

fn present<'a>(operand: &Value<'a>, field: &str) -> Outcome<'a> {
    match operand {
        Value::Optional(None) => Ok(Value::Bool(false)),
        Value::Optional(Some(inner)) => present(inner, field),
        map if map.is_map() => Ok(Value::Bool(map.entry(&key_of(field)).is_some())),
        _ => no_overload(),
    }
}

fn key_of<'a>(field: &str) -> Value<'a> {
    Value::text(field)
}
