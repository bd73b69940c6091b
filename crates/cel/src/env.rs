//! What an expression may refer to, and compiling it against that.

use std::collections::BTreeSet;

use crate::ast::{Ast, Expr, Kind};
use crate::check::{Checked, check};
use crate::estimate::cost_max;
use crate::eval::{Evaluated, Evaluator};
use crate::library::{Library, Overload, Regexes, overloads};
use crate::parser::parse;
use crate::schema::Decl;
use crate::source::Issues;
use crate::types::Type;
use crate::value::Value;

/// Declared variables and libraries. Make one for each place in which expressions stand.
#[derive(Clone, Debug)]
pub struct Env {
    libraries: &'static [Library],
    variables: Vec<(String, Type)>,
}

/// A compiled expression: compile once, evaluate often, from any thread.
pub struct Program {
    pub(crate) ast: Ast,
    pub(crate) checked: Checked,
    pub(crate) regexes: Regexes,
}

impl Env {
    pub fn new(libraries: &'static [Library]) -> Self {
        Self { libraries, variables: Vec::new() }
    }

    /// What the API server gives to every expression.
    pub fn kubernetes() -> Self {
        Self::new(Library::KUBERNETES)
    }

    #[must_use]
    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.variables.push((name.to_owned(), ty));
        self
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.iter().rev().find(|(found, _)| found == name).map(|(_, ty)| ty)
    }

    pub(crate) fn functions(&self, name: &str) -> impl Iterator<Item = &'static Overload> + use<> {
        let libraries = self.libraries;
        overloads(name).iter().filter(move |overload| libraries.contains(&overload.library))
    }

    pub fn compile(&self, text: &str) -> Result<Program, Issues> {
        let mut ast = parse(text, self.libraries.contains(&Library::Bindings))?;
        match check(self, &mut ast) {
            Ok(checked) => {
                let regexes = Regexes::of(&ast);
                Ok(Program { ast, checked, regexes })
            }
            Err(issues) => Err(Issues::new(ast.source, issues)),
        }
    }
}

impl Program {
    pub fn result_type(&self) -> &Type {
        &self.checked.types[self.ast.root.id]
    }

    /// Whether a declared variable is used.
    pub fn refers_to(&self, name: &str) -> bool {
        refers_to(&self.ast.root, name, &BTreeSet::new())
    }

    /// The most that an evaluation can cost, with variables of these declarations.
    pub fn cost_max(&self, declarations: &[(&str, &Decl)]) -> u64 {
        cost_max(self, declarations)
    }

    /// Evaluates with these variables, unless it costs more than `cost_max`.
    pub fn evaluate<'a>(&'a self, variables: &[(&'a str, Value<'a>)], cost_max: u64) -> Evaluated<'a> {
        Evaluator::new(self, variables, cost_max).run()
    }
}

/// A name that a comprehension gives is not the variable.
fn refers_to(expr: &Expr, name: &str, hidden: &BTreeSet<&str>) -> bool {
    match &expr.kind {
        Kind::Ident(found) => found == name && !hidden.contains(name),
        Kind::Fold(fold) => {
            let mut inner = hidden.clone();
            let names = [Some(&fold.var), Some(&fold.accu), fold.second.as_ref()];
            inner.extend(names.into_iter().flatten().map(String::as_str));
            let outside = [&fold.range, &fold.init].into_iter().any(|part| refers_to(part, name, hidden));
            let inside = [&fold.condition, &fold.step, &fold.result];
            outside || inside.into_iter().any(|part| refers_to(part, name, &inner))
        }
        _ => expr.children().into_iter().any(|child| refers_to(child, name, hidden)),
    }
}
