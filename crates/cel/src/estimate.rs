//! What an expression may cost at most, before it ever runs: by the sizes that schemas allow.
//!
//! The rules are upstream's, with their oddities: which definitions are accepted depends on them.

use std::collections::HashMap;

use crate::ast::{ACCU, Expr, Fold, Kind, Literal};
use crate::cost::{CHARACTER, LIST, MAP, PATTERN_CHARACTER, scaled};
use crate::env::Program;
use crate::library::Overload;
use crate::schema::Decl;
use crate::types::Type;

/// The longest expression of a named format.
const FORMAT_PATTERN: f64 = 128.0;

/// From least to most, of a size or of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    min: u64,
    max: u64,
}

const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
const ONE: Range = Range { min: 1, max: 1 };
const ZERO: Range = Range { min: 0, max: 0 };

impl Range {
    fn of(value: u64) -> Self {
        Self { min: value, max: value }
    }

    fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            min: scaled(self.min, factor),
            max: if self.max == u64::MAX { factored_max(factor) } else { scaled(self.max, factor) },
        }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

fn factored_max(factor: f64) -> u64 {
    if factor >= 1.0 { u64::MAX } else { scaled(u64::MAX, factor) }
}

/// Keys (or indexes) and values of what is iterated over.
#[derive(Clone, Copy)]
struct Entry {
    list: bool,
    key: Range,
    value: Range,
}

#[derive(Clone)]
struct Local {
    path: Vec<String>,
    size: Option<Range>,
    entry: Option<Entry>,
}

/// What a call costs with its arguments, and how large its result is.
struct Called {
    cost: Range,
    size: Option<Range>,
}

struct Estimator<'p> {
    program: &'p Program,
    decls: &'p [(&'p str, &'p Decl)],
    paths: HashMap<usize, Vec<String>>,
    locals: HashMap<&'p str, Vec<Local>>,
    sizes: HashMap<usize, Range>,
    entries: HashMap<usize, Entry>,
}

/// The most that an evaluation costs with variables of these declarations.
pub fn cost_max(program: &Program, decls: &[(&str, &Decl)]) -> u64 {
    let mut estimator = Estimator {
        program,
        decls,
        paths: HashMap::new(),
        locals: HashMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
    };
    estimator.cost(&program.ast.root).max
}

impl<'p> Estimator<'p> {
    fn ty(&self, expr: &Expr) -> &'p Type {
        &self.program.checked.types[expr.id]
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|all| all.last())
    }

    fn push(&mut self, name: &'p str, local: Local) {
        self.locals.entry(name).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(all) = self.locals.get_mut(name) {
            all.pop();
        }
    }

    fn path(&self, expr: &Expr) -> Vec<String> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn step(&self, expr: &Expr, step: &str) -> Vec<String> {
        let mut path = self.path(expr);
        path.push(step.to_owned());
        path
    }

    fn cost(&mut self, expr: &'p Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) | Kind::Message(_) => ZERO,
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                ONE
            }
            Kind::Select { operand, test: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let cost = self.cost(operand);
                let path = self.step(operand, field);
                self.paths.insert(expr.id, path);
                match self.ty(operand) {
                    Type::Map(_) | Type::Object(_) => cost.plus(ONE),
                    _ => cost,
                }
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(items) => {
                let mut cost = Range::of(LIST);
                let items: Vec<&Expr> = items.iter().map(|(item, _)| item).collect();
                for item in &items {
                    cost = cost.plus(self.cost(item));
                }
                let value = self.widest(&items);
                self.entries.insert(expr.id, Entry { list: true, key: ONE, value });
                cost
            }
            Kind::Map(entries) => {
                let mut cost = Range::of(MAP);
                let keys: Vec<&Expr> = entries.iter().map(|(key, ..)| key).collect();
                let values: Vec<&Expr> = entries.iter().map(|(_, value, _)| value).collect();
                for part in keys.iter().chain(&values) {
                    cost = cost.plus(self.cost(part));
                }
                let (key, value) = (self.widest(&keys), self.widest(&values));
                self.entries.insert(expr.id, Entry { list: false, key, value });
                cost
            }
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn widest(&self, parts: &[&Expr]) -> Range {
        let sizes = parts.iter().map(|part| self.size_or_unknown(part));
        sizes.reduce(Range::union).unwrap_or(ZERO)
    }

    fn fold(&mut self, expr: &'p Expr, fold: &'p Fold) -> Range {
        let mut cost = self.cost(&fold.range).plus(self.cost(&fold.init));
        let init = Local { path: self.path(&fold.init), size: self.size(&fold.init), entry: self.entry(&fold.init) };
        self.push(&fold.accu, init);
        let is_bind = fold.accu != ACCU && fold.condition.literal() == Some(&Literal::Bool(false));
        if is_bind {
            cost = cost.plus(self.cost(&fold.result));
            self.pop(&fold.accu);
            if let Some(size) = self.size(&fold.result) {
                self.sizes.insert(expr.id, size);
            }
            if let Some(entry) = self.entry(&fold.result) {
                self.entries.insert(expr.id, entry);
            }
            return cost;
        }
        let entry = self.entry(&fold.range);
        let list = entry.map_or(matches!(self.ty(&fold.range), Type::List(_)), |entry| entry.list);
        let key = Local {
            path: self.step(&fold.range, if list { "@indices" } else { "@keys" }),
            size: entry.map(|entry| entry.key),
            entry: None,
        };
        let value = Local {
            path: self.step(&fold.range, if list { "@items" } else { "@values" }),
            size: entry.map(|entry| entry.value),
            entry: None,
        };
        let first = if fold.second.is_none() && list { value.clone() } else { key };
        self.push(&fold.var, first);
        if let Some(name) = &fold.second {
            self.push(name, value);
        }
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.pop(&fold.var);
        fold.second.iter().for_each(|name| self.pop(name));
        cost = cost.plus(self.cost(&fold.result));
        self.pop(&fold.accu);
        let count = self.size_or_unknown(&fold.range);
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        cost.plus(count.times(turn))
    }

    fn call(&mut self, expr: &'p Expr, function: &str, target: Option<&'p Expr>, args: &'p [Expr]) -> Range {
        let costs: Vec<Range> = args.iter().map(|arg| self.cost(arg)).collect();
        if function == "dyn" {
            if let Some(size) = self.size(&args[0]) {
                self.sizes.insert(expr.id, size);
            }
            return costs[0].plus(ONE);
        }
        if function == "_?._" {
            return costs[0].plus(ONE);
        }
        let own = target.map_or(ZERO, |target| self.cost(target));
        let mut most: Option<Range> = None;
        let mut size: Option<Range> = None;
        let overloads: &'p [&Overload] = &self.program.checked.calls[expr.id];
        for overload in overloads {
            let called = self.overload(expr, function, overload, target, args, &costs);
            most = Some(most.map_or(called.cost, |most| most.union(called.cost)));
            if let Some(more) = called.size {
                size = Some(size.map_or(more, |size| size.union(more)));
            }
            if function == "_[_]" {
                let step = match overload.params.first() {
                    Some(Type::List(_)) => Some("@items"),
                    Some(Type::Map(_)) => Some("@values"),
                    _ => None,
                };
                if let Some(step) = step {
                    size = self.entry(&args[0]).map(|entry| entry.value);
                    let path = self.step(&args[0], step);
                    self.paths.insert(expr.id, path);
                }
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        own.plus(most.unwrap_or(ZERO))
    }

    fn overload(
        &mut self,
        expr: &Expr,
        function: &str,
        overload: &Overload,
        target: Option<&Expr>,
        args: &[Expr],
        costs: &[Range],
    ) -> Called {
        let sum = costs.iter().fold(ZERO, |sum, cost| sum.plus(*cost));
        match (function, costs, args) {
            ("_&&_" | "_||_", [a, b], _) => {
                return Called { cost: Range { min: a.min, max: a.plus(*b).max }, size: None };
            }
            ("_?_:_", [condition, yes, no], [_, a, b]) => {
                let size = self.size_or_unknown(a).union(self.size_or_unknown(b));
                if let (Some(a), Some(b)) = (self.entry(a), self.entry(b)) {
                    self.entries.insert(expr.id, united(a, b));
                }
                return Called { cost: condition.plus(yes.union(*no)), size: Some(size) };
            }
            ("_+_", _, [a, b]) => {
                let size = self.size_or_unknown(a).plus(self.size_or_unknown(b));
                if let (Some(a), Some(b)) = (self.entry(a), self.entry(b)) {
                    self.entries.insert(expr.id, united(a, b));
                }
                match overload.params[0] {
                    Type::List(_) => return Called { cost: ONE.plus(sum), size: Some(size) },
                    Type::String | Type::Bytes => {
                        return Called { cost: size.scaled(CHARACTER).plus(sum), size: Some(size) };
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        let known = match target {
            Some(target) => self.of_member(function, overload, target, args),
            None => self.of_function(function, overload, args),
        };
        let called = known.unwrap_or(Called { cost: ONE, size: None });
        Called { cost: called.cost.plus(sum), size: called.size }
    }

    fn of_member(&self, function: &str, overload: &Overload, target: &Expr, args: &[Expr]) -> Option<Called> {
        let own = self.size_or_unknown(target);
        let arg = |at: usize| args.get(at).map_or(ZERO, |arg| self.size_or_unknown(arg));
        let sized = |cost, size| Some(Called { cost, size: Some(size) });
        let only = |cost| Some(Called { cost, size: None });
        match function {
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => only(match self.ty(target) {
                Type::List(item) => {
                    let text = matches!(**item, Type::String | Type::Bytes);
                    let size = self.by_path(&self.step(target, "@items")).unwrap_or(UNKNOWN);
                    own.times(if text { ONE.plus(size.scaled(CHARACTER)) } else { ONE })
                }
                _ => own.scaled(CHARACTER),
            }),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => sized(own.scaled(CHARACTER), own),
            "replace" if args.len() >= 2 => sized(own.scaled(2.0 * CHARACTER), replaced(own, arg(0), arg(1))),
            "split" => {
                let most = match args.get(1).and_then(Expr::literal) {
                    Some(Literal::Int(most)) => most.cast_unsigned(),
                    _ => own.max,
                };
                sized(own.scaled(2.0 * CHARACTER), Range { min: 0, max: most })
            }
            "join" => {
                let item = self.by_path(&self.step(target, "@items")).unwrap_or(UNKNOWN);
                let gaps = Range { min: own.min.saturating_sub(1), max: own.max.saturating_sub(1) };
                let separator = if args.is_empty() { ZERO } else { arg(0).times(gaps) };
                let size = own.times(item).plus(separator);
                sized(size.scaled(CHARACTER), size)
            }
            "find" | "findAll" => {
                let cost = own.plus(ONE).scaled(CHARACTER).times(arg(0).scaled(PATTERN_CHARACTER));
                sized(cost, Range { min: 0, max: own.max })
            }
            "matches" => only(own.plus(ONE).scaled(CHARACTER).times(arg(0).scaled(PATTERN_CHARACTER))),
            "contains" => only(own.scaled(CHARACTER).times(arg(0).scaled(CHARACTER))),
            "startsWith" | "endsWith" => only(arg(0).scaled(CHARACTER)),
            "containsIP" | "containsCIDR" => {
                let address = Range { min: 4, max: 16 };
                let mut cost = address.plus(address).scaled(CHARACTER);
                if function == "containsCIDR" {
                    cost = cost.plus(address.scaled(CHARACTER)).plus(ONE);
                }
                let parsed = overload.params.get(1) == Some(&Type::String);
                only(if parsed { cost.plus(arg(0).scaled(CHARACTER)) } else { cost })
            }
            "validate" => only(arg(0).scaled(CHARACTER).scaled(FORMAT_PATTERN * PATTERN_CHARACTER)),
            _ => None,
        }
    }

    fn of_function(&self, function: &str, overload: &Overload, args: &[Expr]) -> Option<Called> {
        let arg = |at: usize| args.get(at).map_or(ZERO, |arg| self.size_or_unknown(arg));
        let only = |cost| Some(Called { cost, size: None });
        let texts = |overload: &Overload| matches!(overload.params[0], Type::String | Type::Bytes);
        match function {
            "_==_" | "_!=_" if matches!(self.ty(&args[0]), Type::Opaque(_)) => only(ONE),
            "_==_" | "_!=_" => only(compared(arg(0), arg(1))),
            "_<_" | "_<=_" | "_>_" | "_>=_" if texts(overload) => only(compared(arg(0), arg(1))),
            "@in" if matches!(overload.params[1], Type::List(_)) => only(arg(1)),
            "url" => Some(Called { cost: arg(0).scaled(CHARACTER), size: Some(arg(0)) }),
            "bytes" if overload.params[0] == Type::String => {
                let size = Range { min: arg(0).min, max: arg(0).max.saturating_mul(4) };
                Some(Called { cost: arg(0).scaled(CHARACTER), size: Some(size) })
            }
            "string" if overload.params[0] == Type::Bytes => {
                let size = Range { min: arg(0).min / 4, max: arg(0).max };
                Some(Called { cost: arg(0).scaled(CHARACTER), size: Some(size) })
            }
            "sets.contains" | "sets.intersects" => only(arg(0).times(arg(1)).plus(ONE)),
            "sets.equivalent" => only(arg(0).times(arg(1)).scaled(2.0).plus(ONE)),
            _ => None,
        }
    }

    fn entry(&self, expr: &Expr) -> Option<Entry> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.entry,
            _ => None,
        }
    }

    fn size_or_unknown(&self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(UNKNOWN)
    }

    fn size(&self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        match &expr.kind {
            Kind::Literal(Literal::Text(text)) => return Some(Range::of(text.chars().count() as u64)),
            Kind::Literal(Literal::Bytes(bytes)) => return Some(Range::of(bytes.len() as u64)),
            Kind::Literal(_) => return Some(ONE),
            Kind::List(items) => return Some(Range::of(items.len() as u64)),
            Kind::Map(entries) => return Some(Range::of(entries.len() as u64)),
            _ => {}
        }
        if let Some(size) = self.by_path(&self.path(expr)) {
            return Some(size);
        }
        if is_scalar(self.ty(expr)) {
            return Some(ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    /// What a declaration says of the place that a path leads to.
    fn by_path(&self, path: &[String]) -> Option<Range> {
        let (first, steps) = path.split_first()?;
        let (_, root) = self.decls.iter().find(|(name, _)| name == first)?;
        let decl = steps.iter().try_fold(*root, |decl, step| decl.step(step))?;
        Some(Range { min: 0, max: u64::try_from(decl.elements_max).unwrap_or_default() })
    }
}

fn united(a: Entry, b: Entry) -> Entry {
    Entry { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) }
}

fn is_scalar(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::Duration
            | Type::Timestamp
            | Type::Type(_)
            | Type::Null
    )
}

fn compared(a: Range, b: Range) -> Range {
    let max = a.max.min(b.max);
    Range { min: max.min(1), max }.scaled(CHARACTER)
}

/// The size of a text after all of `old` became `new`.
fn replaced(own: Range, old: Range, new: Range) -> Range {
    let side = |own: u64, old: u64, longer: bool| {
        if old == 0 {
            (own.saturating_add(1), own)
        } else if longer {
            (own.div_ceil(old), 0)
        } else {
            (0, own)
        }
    };
    let (most, kept) = side(own.max, old.min, new.max > old.min);
    let (least, kept_least) = side(own.min, old.max, old.max > new.min);
    Range {
        min: least.saturating_mul(new.min).saturating_add(kept_least),
        max: most.saturating_mul(new.max).saturating_add(kept),
    }
}
