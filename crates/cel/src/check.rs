//! The type checker: every expression gets a type, every call the forms of its function that may be meant.
//!
//! Types are inferred as upstream's checker does it: parameters of functions are bound as arguments are seen, and what
//! stays open or is dynamic fits everything.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Ast, Expr, Fold, Kind, Literal};
use crate::env::Env;
use crate::library::{Overload, time};
use crate::source::Issue;
use crate::types::Type;

/// What is known of an expression that is well typed, by the ids of its parts.
#[derive(Default)]
pub struct Checked {
    pub types: Vec<Type>,
    pub calls: Vec<Vec<&'static Overload>>,
}

struct Checker<'e> {
    env: &'e Env,
    offsets: &'e [usize],
    scopes: Vec<(String, Type)>,
    bound: HashMap<Arc<str>, Type>,
    fresh: usize,
    /// Inside the arguments of `format`, whose lists may be of anything.
    formatting: bool,
    checked: Checked,
    issues: Vec<Issue>,
}

/// Types and forms, or everything that is wrong. Calls of functions with dotted names are rewritten to be global.
pub fn check(env: &Env, ast: &mut Ast) -> Result<Checked, Vec<Issue>> {
    let count = ast.offsets.len();
    let checked = Checked { types: vec![Type::Dyn; count], calls: (0..count).map(|_| Vec::new()).collect() };
    let mut checker = Checker {
        env,
        offsets: &ast.offsets,
        scopes: Vec::new(),
        bound: HashMap::new(),
        fresh: 0,
        formatting: false,
        checked,
        issues: Vec::new(),
    };
    checker.expr(&mut ast.root);
    if checker.issues.is_empty() {
        literals(&ast.root, &ast.offsets, &mut checker.issues);
    }
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    let types = std::mem::take(&mut checker.checked.types);
    checker.checked.types = types.iter().map(|ty| checker.resolved(ty, true)).collect();
    Ok(checker.checked)
}

/// Literals that a function would refuse whenever it is called.
fn literals(root: &Expr, offsets: &[usize], issues: &mut Vec<Issue>) {
    root.walk(&mut |expr| {
        let Kind::Call { function, target, args } = &expr.kind else { return };
        let at = usize::from(function == "matches" && target.is_none());
        let Some(arg) = args.get(at) else { return };
        let Some(Literal::Text(text)) = arg.literal() else { return };
        let valid = match function.as_str() {
            "duration" => time::parse_duration(text).is_some(),
            "timestamp" => time::parse_timestamp(text).is_some(),
            "matches" => api::custom::keywords::compile_pattern(text).is_ok(),
            _ => true,
        };
        if !valid {
            issues.push(Issue { offset: offsets[arg.id], message: format!("invalid {function} argument") });
        }
    });
}

impl Checker<'_> {
    fn issue(&mut self, id: usize, message: String) -> Type {
        self.issues.push(Issue { offset: self.offsets[id], message });
        Type::Dyn
    }

    fn undeclared(&mut self, id: usize, name: &str) -> Type {
        self.issue(id, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn mismatch(&mut self, id: usize, wanted: &Type, found: &Type) {
        let (wanted, found) = (self.resolved(wanted, false), self.resolved(found, false));
        self.issue(id, format!("expected type '{wanted}' but found '{found}'"));
    }

    fn open(&mut self) -> Type {
        self.fresh += 1;
        Type::param(&format!("_var{}", self.fresh - 1))
    }

    fn expr(&mut self, expr: &mut Expr) -> Type {
        let ty = self.ty(expr);
        self.checked.types[expr.id] = ty.clone();
        ty
    }

    fn ty(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        if let Some(name) = self.type_name(expr) {
            expr.kind = Kind::Ident(name);
        }
        self.qualify(expr);
        match &mut expr.kind {
            Kind::Literal(literal) => of_literal(literal),
            Kind::Ident(name) => match self.lookup(name) {
                Some(ty) => ty,
                None => {
                    let name = name.clone();
                    self.undeclared(id, &name)
                }
            },
            Kind::Select { operand, field, test } => {
                let operand = self.expr(operand);
                let ty = self.select(id, &operand, field, false);
                if *test { Type::Bool } else { ty }
            }
            Kind::Call { function, target, args } if function == "_?._" => {
                debug_assert!(target.is_none());
                let operand = self.expr(&mut args[0]);
                self.expr(&mut args[1]);
                match args[1].literal() {
                    Some(Literal::Text(field)) => self.select(id, &operand, field, true),
                    _ => Type::Dyn,
                }
            }
            Kind::Call { function, target, args } => {
                let outer = self.formatting;
                self.formatting |= function == "format";
                let mut types: Vec<Type> = args.iter_mut().map(|arg| self.expr(arg)).collect();
                self.formatting = outer;
                let member = target.is_some();
                if let Some(target) = target {
                    types.insert(0, self.expr(target));
                }
                self.call(id, function, member, &types)
            }
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Fold(fold) => self.fold(fold),
            Kind::Message(name) => {
                let name = name.clone();
                self.undeclared(id, &name)
            }
        }
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(found, _)| found == name).map(|(_, ty)| ty.clone());
        local.or_else(|| self.env.variable(name).cloned()).or_else(|| Type::named(name).map(Type::of_type))
    }

    fn is_variable(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Ident(name) => {
                self.scopes.iter().any(|(found, _)| found == name) || self.env.variable(name).is_some()
            }
            Kind::Select { operand, .. } => self.is_variable(operand),
            _ => false,
        }
    }

    /// `net.IP` is one name.
    fn type_name(&self, expr: &Expr) -> Option<String> {
        match expr.kind {
            Kind::Select { .. } => expr.dotted().filter(|name| Type::named(name).is_some() && !self.is_variable(expr)),
            _ => None,
        }
    }

    /// `optional.of(x)` is a call of a function with a dotted name.
    fn qualify(&self, expr: &mut Expr) {
        let Kind::Call { function, target, .. } = &mut expr.kind else { return };
        let prefix = target.as_ref().and_then(|target| target.dotted());
        let Some(name) = prefix.map(|prefix| format!("{prefix}.{function}")) else { return };
        if self.env.functions(&name).next().is_some() {
            *function = name;
            *target = None;
        }
    }

    fn select(&mut self, id: usize, operand: &Type, field: &str, optional: bool) -> Type {
        let operand = self.resolved(operand, false);
        let (target, wrapped) = match &operand {
            Type::Optional(of) => ((**of).clone(), true),
            other => (other.clone(), optional),
        };
        let ty = match &target {
            Type::Object(object) => match object.fields.get(field) {
                Some(ty) => ty.clone(),
                None => return self.issue(id, format!("undefined field '{field}'")),
            },
            Type::Map(of) => of.1.clone(),
            Type::Dyn | Type::Param(_) => Type::Dyn,
            _ => return self.issue(id, format!("type '{target}' does not support field selection")),
        };
        if wrapped { Type::optional(ty) } else { ty }
    }

    fn call(&mut self, id: usize, function: &str, member: bool, args: &[Type]) -> Type {
        let env = self.env;
        if env.functions(function).next().is_none() {
            return self.undeclared(id, function);
        }
        let args: Vec<Type> = args.iter().map(|arg| self.resolved(arg, false)).collect();
        let mut result: Option<Type> = None;
        for overload in env.functions(function).filter(|found| found.member == member) {
            if overload.params.len() != args.len() {
                continue;
            }
            let (params, ty) = self.instance(overload);
            let before = self.bound.clone();
            if !params.iter().zip(&args).all(|(param, arg)| self.fits(param, arg)) {
                self.bound = before;
                continue;
            }
            self.checked.calls[id].push(overload);
            let ty = self.resolved(&ty, false);
            result = Some(match result {
                None => ty,
                Some(former) if former.is_dyn() || former == ty => former,
                Some(_) => Type::Dyn,
            });
        }
        result.unwrap_or_else(|| {
            let shown: Vec<String> = args.iter().map(Type::to_string).collect();
            let applied = match shown.split_first() {
                Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.issue(id, format!("found no matching overload for '{function}' applied to '{applied}'"))
        })
    }

    /// A form with parameters of its own.
    fn instance(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let mut names: HashMap<Arc<str>, Type> = HashMap::new();
        let params = overload.params.iter().map(|param| self.renamed(param, &mut names)).collect();
        (params, self.renamed(&overload.result, &mut names))
    }

    fn renamed(&mut self, ty: &Type, names: &mut HashMap<Arc<str>, Type>) -> Type {
        match ty {
            Type::Param(name) => match names.get(name) {
                Some(ty) => ty.clone(),
                None => {
                    let ty = self.open();
                    names.insert(name.clone(), ty.clone());
                    ty
                }
            },
            Type::List(item) => Type::list(self.renamed(item, names)),
            Type::Map(of) => Type::map(self.renamed(&of.0, names), self.renamed(&of.1, names)),
            Type::Optional(of) => Type::optional(self.renamed(of, names)),
            Type::Type(of) => Type::of_type(self.renamed(of, names)),
            other => other.clone(),
        }
    }

    /// Whether a value of type `b` may stand where `a` is asked for; binds what is open.
    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        match (a, b) {
            (Type::Param(x), Type::Param(y)) if x == y => true,
            (Type::Param(name), other) => self.bind(name, other, true),
            (other, Type::Param(name)) => self.bind(name, other, false),
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null | Type::Object(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration | Type::Optional(_)
            ),
            (a, b) => a == b,
        }
    }

    fn bind(&mut self, name: &Arc<str>, other: &Type, first: bool) -> bool {
        if let Some(bound) = self.bound.get(name).cloned() {
            let fits = if first { self.fits(&bound, other) } else { self.fits(other, &bound) };
            if fits && (other.is_dyn() || bound == Type::Null) {
                self.bound.insert(name.clone(), other.clone());
            }
            return fits;
        }
        let other = self.resolved(other, false);
        if other == Type::Param(name.clone()) {
            return true;
        }
        if mentions(&other, name) {
            return false;
        }
        self.bound.insert(name.clone(), other);
        true
    }

    /// With everything put in that is known by now; `close` makes the rest dynamic.
    fn resolved(&self, ty: &Type, close: bool) -> Type {
        match ty {
            Type::Param(name) => match self.bound.get(name) {
                Some(bound) => self.resolved(bound, close),
                None if close => Type::Dyn,
                None => ty.clone(),
            },
            Type::List(item) => Type::list(self.resolved(item, close)),
            Type::Map(of) => Type::map(self.resolved(&of.0, close), self.resolved(&of.1, close)),
            Type::Optional(of) => Type::optional(self.resolved(of, close)),
            Type::Type(of) => Type::of_type(self.resolved(of, close)),
            other => other.clone(),
        }
    }

    /// The type of an item that follows others of a type.
    fn joined(&mut self, id: usize, former: Option<Type>, next: Type) -> Type {
        let Some(former) = former else { return next };
        let before = self.bound.clone();
        if self.fits(&former, &next) {
            return if next.is_dyn() { next } else { former };
        }
        self.bound = before;
        if !self.formatting {
            self.mismatch(id, &former, &next);
        }
        Type::Dyn
    }

    fn part(&mut self, expr: &mut Expr, optional: bool) -> Type {
        let ty = self.expr(expr);
        if !optional {
            return ty;
        }
        match self.resolved(&ty, false) {
            Type::Optional(of) => (*of).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                self.mismatch(expr.id, &Type::optional(other.clone()), &other);
                Type::Dyn
            }
        }
    }

    fn list(&mut self, items: &mut [(Expr, bool)]) -> Type {
        let mut item = None;
        for (expr, optional) in items {
            let next = self.part(expr, *optional);
            item = Some(self.joined(expr.id, item, next));
        }
        Type::list(item.unwrap_or_else(|| self.open()))
    }

    fn map(&mut self, entries: &mut [(Expr, Expr, bool)]) -> Type {
        let (mut keys, mut values) = (None, None);
        for (key, value, optional) in entries {
            let next = self.expr(key);
            keys = Some(self.joined(key.id, keys, next));
            let next = self.part(value, *optional);
            values = Some(self.joined(value.id, values, next));
        }
        let key = keys.unwrap_or_else(|| self.open());
        Type::map(key, values.unwrap_or_else(|| self.open()))
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        let range = self.expr(&mut fold.range);
        let accu = self.expr(&mut fold.init);
        let range = self.resolved(&range, false);
        let (var, second) = match &range {
            Type::List(item) if fold.second.is_some() => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(of) => (of.0.clone(), of.1.clone()),
            Type::Dyn | Type::Param(_) => (Type::Dyn, Type::Dyn),
            other => {
                let why = "cannot be range of a comprehension (must be list, map, or dynamic)";
                self.issue(fold.range.id, format!("expression of type '{other}' {why}"));
                (Type::Dyn, Type::Dyn)
            }
        };
        let depth = self.scopes.len();
        self.scopes.push((fold.accu.clone(), accu.clone()));
        self.scopes.push((fold.var.clone(), var));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        let condition = self.expr(&mut fold.condition);
        if !self.fits(&Type::Bool, &condition) {
            self.mismatch(fold.condition.id, &Type::Bool, &condition);
        }
        let step = self.expr(&mut fold.step);
        if !self.fits(&accu, &step) {
            self.mismatch(fold.step.id, &accu, &step);
        }
        self.scopes.truncate(depth + 1);
        let result = self.expr(&mut fold.result);
        self.scopes.truncate(depth);
        self.resolved(&result, false)
    }
}

fn of_literal(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::Text(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

fn mentions(ty: &Type, name: &Arc<str>) -> bool {
    match ty {
        Type::Param(found) => found == name,
        Type::List(of) | Type::Optional(of) | Type::Type(of) => mentions(of, name),
        Type::Map(of) => mentions(&of.0, name) || mentions(&of.1, name),
        _ => false,
    }
}
