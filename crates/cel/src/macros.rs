//! Macros: calls that become other expressions while they are parsed.

use crate::ast::{ACCU, Expr, Fold, Kind, Literal};
use crate::parser::{Parsed, Parser};
use crate::source::Issue;

const NAME: &str = "argument must be a simple name";

/// `name(args)`.
pub fn global(parser: &mut Parser<'_>, at: usize, name: &str, mut args: Vec<Expr>) -> Parsed<Expr> {
    if name != "has" || args.len() != 1 {
        return parser.call(at, name, args);
    }
    let arg = args.remove(0);
    match arg.kind {
        Kind::Select { operand, field, test: false } => parser.node(at, Kind::Select { operand, field, test: true }),
        _ => Err(Issue { offset: parser.offset(&arg), message: "invalid argument to has() macro".to_owned() }),
    }
}

/// `target.name(args)`.
pub fn receiver(parser: &mut Parser<'_>, at: usize, target: Expr, name: &str, args: Vec<Expr>) -> Parsed<Expr> {
    let is_bind = parser.bindings && name == "bind" && matches!(&target.kind, Kind::Ident(name) if name == "cel");
    match (name, args.len()) {
        ("bind", 3) if is_bind => bind(parser, at, args),
        ("optMap" | "optFlatMap", 2) => optional(parser, at, target, name == "optMap", args),
        ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2) | ("map", 2 | 3) => {
            Macro::new(parser, at, target, args, 1)?.expand(name)
        }
        ("all" | "exists" | "exists_one" | "existsOne", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
            Macro::new(parser, at, target, args, 2)?.expand(name)
        }
        _ => parser.member(at, target, name, args),
    }
}

fn simple_name(parser: &Parser<'_>, arg: &Expr) -> Parsed<String> {
    match &arg.kind {
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err(Issue { offset: parser.offset(arg), message: NAME.to_owned() }),
    }
}

/// A comprehension that is being unfolded: `target.name(vars..., args...)`.
struct Macro<'p, 'l> {
    parser: &'p mut Parser<'l>,
    at: usize,
    range: Expr,
    var: String,
    second: Option<String>,
    args: Vec<Expr>,
}

impl<'p, 'l> Macro<'p, 'l> {
    fn new(parser: &'p mut Parser<'l>, at: usize, range: Expr, mut args: Vec<Expr>, vars: usize) -> Parsed<Self> {
        let var = simple_name(parser, &args[0])?;
        let second = if vars == 2 { Some(simple_name(parser, &args[1])?) } else { None };
        args.drain(..vars);
        Ok(Self { parser, at, range, var, second, args })
    }

    fn accu(&mut self) -> Parsed<Expr> {
        self.parser.ident(self.at, ACCU)
    }

    fn literal(&mut self, literal: Literal) -> Parsed<Expr> {
        self.parser.literal(self.at, literal)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Parsed<Expr> {
        self.parser.call(self.at, function, args)
    }

    fn expand(mut self, name: &str) -> Parsed<Expr> {
        match name {
            "all" | "exists" => self.quantifier(name == "all"),
            "exists_one" | "existsOne" => self.exists_one(),
            "filter" => {
                let item = self.parser.ident(self.at, &self.var.clone())?;
                self.args.push(item);
                self.list()
            }
            "map" | "transformList" => self.list(),
            _ => self.map(name == "transformMapEntry"),
        }
    }

    fn quantifier(mut self, all: bool) -> Parsed<Expr> {
        let init = self.literal(Literal::Bool(all))?;
        let mut going = self.accu()?;
        if !all {
            going = self.call("!_", vec![going])?;
        }
        let condition = self.call("@not_strictly_false", vec![going])?;
        let (accu, predicate) = (self.accu()?, self.args.remove(0));
        let step = self.call(if all { "_&&_" } else { "_||_" }, vec![accu, predicate])?;
        let result = self.accu()?;
        self.finish(init, condition, step, result)
    }

    fn exists_one(mut self) -> Parsed<Expr> {
        let init = self.literal(Literal::Int(0))?;
        let condition = self.literal(Literal::Bool(true))?;
        let (accu, one) = (self.accu()?, self.literal(Literal::Int(1))?);
        let more = self.call("_+_", vec![accu, one])?;
        let (predicate, same) = (self.args.remove(0), self.accu()?);
        let step = self.call("_?_:_", vec![predicate, more, same])?;
        let (accu, one) = (self.accu()?, self.literal(Literal::Int(1))?);
        let result = self.call("_==_", vec![accu, one])?;
        self.finish(init, condition, step, result)
    }

    /// The last argument is what is gathered, one before it says of which.
    fn list(mut self) -> Parsed<Expr> {
        let init = self.parser.node(self.at, Kind::List(Vec::new()))?;
        let accu = self.accu()?;
        let item = self.args.pop().expect("invariant: the arity was matched");
        let item = self.parser.node(self.at, Kind::List(vec![(item, false)]))?;
        let more = self.call("_+_", vec![accu, item])?;
        self.gather(init, more)
    }

    fn map(mut self, entries: bool) -> Parsed<Expr> {
        let init = self.parser.node(self.at, Kind::Map(Vec::new()))?;
        let accu = self.accu()?;
        let transform = self.args.pop().expect("invariant: the arity was matched");
        let args = if entries {
            vec![accu, transform]
        } else {
            let key = self.parser.ident(self.at, &self.var.clone())?;
            vec![accu, key, transform]
        };
        let more = self.call("cel.@mapInsert", args)?;
        self.gather(init, more)
    }

    fn gather(mut self, init: Expr, more: Expr) -> Parsed<Expr> {
        let condition = self.literal(Literal::Bool(true))?;
        let step = match self.args.pop() {
            None => more,
            Some(filter) => {
                let same = self.accu()?;
                self.call("_?_:_", vec![filter, more, same])?
            }
        };
        let result = self.accu()?;
        self.finish(init, condition, step, result)
    }

    fn finish(self, init: Expr, condition: Expr, step: Expr, result: Expr) -> Parsed<Expr> {
        let Self { parser, at, range, var, second, .. } = self;
        parser.fold(at, Fold { range, var, second, accu: ACCU.to_owned(), init, condition, step, result })
    }
}

/// A loop that never turns: its accumulator is the name that is bound.
fn bind(parser: &mut Parser<'_>, at: usize, mut args: Vec<Expr>) -> Parsed<Expr> {
    let name = simple_name(parser, &args[0])?;
    let (result, init) = (args.remove(2), args.remove(1));
    bound(parser, at, name, init, result)
}

fn bound(parser: &mut Parser<'_>, at: usize, accu: String, init: Expr, result: Expr) -> Parsed<Expr> {
    let range = parser.node(at, Kind::List(Vec::new()))?;
    let condition = parser.literal(at, Literal::Bool(false))?;
    let step = parser.ident(at, &accu)?;
    parser.fold(at, Fold { range, var: "#unused".to_owned(), second: None, accu, init, condition, step, result })
}

/// `o.optMap(x, f)` is `o.hasValue() ? optional.of(f(o.value())) : optional.none()`.
fn optional(parser: &mut Parser<'_>, at: usize, target: Expr, wrap: bool, mut args: Vec<Expr>) -> Parsed<Expr> {
    let name = simple_name(parser, &args[0])?;
    let transform = args.remove(1);
    let has = parser.member(at, target.clone(), "hasValue", Vec::new())?;
    let value = parser.member(at, target, "value", Vec::new())?;
    let mut some = bound(parser, at, name, value, transform)?;
    if wrap {
        some = parser.call(at, "optional.of", vec![some])?;
    }
    let none = parser.call(at, "optional.none", Vec::new())?;
    parser.call(at, "_?_:_", vec![has, some, none])
}
