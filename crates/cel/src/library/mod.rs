//! The functions that expressions may call: a table of signature and code for each library.
//!
//! A signature is written as upstream's messages write it: `string.(string) bool` is called on a string, `(string) bool`
//! is not. Capital letters are type parameters.

mod compare;
mod convert;
mod format;
mod lists;
mod named;
mod net;
pub mod opaque;
mod operators;
mod optional;
mod quantity;
mod regexes;
mod semver;
mod strings;
pub mod time;
mod url;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::types::Type;
use crate::value::Value;

#[cfg(test)]
pub use format::text as format_text;
pub use operators::shown;
pub use regexes::Regexes;

/// Why an evaluation ended without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Error(String),
    /// It became too expensive: nothing absorbs this.
    CostExceeded,
}

pub type Outcome<'a> = Result<Value<'a>, Fault>;
pub type Run = for<'a> fn(&Regexes, &[Value<'a>]) -> Outcome<'a>;
/// Function, signature, code.
type Row = (&'static str, &'static str, Run);

/// A set of functions that an environment may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    Standard,
    Optionals,
    Strings,
    Lists,
    Sets,
    Regex,
    Url,
    Quantity,
    Net,
    Format,
    Semver,
    /// `all(k, v, ...)` and its kind.
    Comprehensions,
    /// `cel.bind`, which the Kubernetes API leaves out.
    Bindings,
}

impl Library {
    /// What the API server of v1.36 gives to every expression.
    pub const KUBERNETES: &'static [Self] = &[
        Self::Standard,
        Self::Optionals,
        Self::Strings,
        Self::Lists,
        Self::Sets,
        Self::Regex,
        Self::Url,
        Self::Quantity,
        Self::Net,
        Self::Format,
        Self::Semver,
        Self::Comprehensions,
    ];
}

/// One form of a function.
pub struct Overload {
    pub library: Library,
    pub member: bool,
    pub params: Vec<Type>,
    pub result: Type,
    pub run: Run,
}

const TABLES: &[(Library, &[Row])] = &[
    (Library::Standard, operators::TABLE),
    (Library::Standard, convert::TABLE),
    (Library::Standard, strings::STANDARD),
    (Library::Standard, time::TABLE),
    (Library::Comprehensions, operators::INSERT),
    (Library::Optionals, optional::TABLE),
    (Library::Strings, strings::TABLE),
    (Library::Strings, format::TABLE),
    (Library::Lists, lists::TABLE),
    (Library::Sets, lists::SETS),
    (Library::Regex, regexes::TABLE),
    (Library::Url, url::TABLE),
    (Library::Quantity, quantity::TABLE),
    (Library::Net, net::TABLE),
    (Library::Format, named::TABLE),
    (Library::Semver, semver::TABLE),
];

static OVERLOADS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut all: BTreeMap<&'static str, Vec<Overload>> = BTreeMap::new();
    for (library, table) in TABLES {
        for (function, signature, run) in *table {
            let (member, params, result) = self::signature(signature);
            let overload = Overload { library: *library, member, params, result, run: *run };
            all.entry(function).or_default().push(overload);
        }
    }
    for (library, function, params, result, run) in compare::rows().into_iter().chain(lists::rows()) {
        let member = library == Library::Lists;
        all.entry(function).or_default().push(Overload { library, member, params, result, run });
    }
    all
});

/// All forms of a function, whichever library they are of.
pub fn overloads(function: &str) -> &'static [Overload] {
    OVERLOADS.get(function).map(Vec::as_slice).unwrap_or_default()
}

pub fn error<'a>(message: impl Into<String>) -> Outcome<'a> {
    Err(Fault::Error(message.into()))
}

pub fn no_overload<'a>() -> Outcome<'a> {
    error("no such overload")
}

/// A list of texts.
pub fn texts<'a>(items: impl Iterator<Item = String>) -> Value<'a> {
    Value::list(items.map(Value::text).collect())
}

fn signature(text: &str) -> (bool, Vec<Type>, Type) {
    let mut reader = Reader { rest: text };
    let mut params = Vec::new();
    let member = !text.starts_with('(');
    if member {
        params.push(reader.ty());
        reader.skip(".");
    }
    params.extend(reader.list());
    (member, params, reader.ty())
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.strip_prefix(text);
        self.rest = found.unwrap_or(rest);
        found.is_some()
    }

    fn list(&mut self) -> Vec<Type> {
        let mut all = Vec::new();
        if !self.skip("(") || self.skip(")") {
            return all;
        }
        loop {
            all.push(self.ty());
            if !self.skip(",") {
                self.skip(")");
                return all;
            }
        }
    }

    fn ty(&mut self) -> Type {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        self.rest = rest;
        let mut of = if matches!(name, "list" | "map" | "optional" | "type") { self.list() } else { Vec::new() };
        let mut next = || if of.is_empty() { Type::Dyn } else { of.remove(0) };
        match name {
            "list" => Type::list(next()),
            "map" => Type::map(next(), next()),
            "optional" => Type::optional(next()),
            "type" => Type::of_type(next()),
            "timestamp" => Type::Timestamp,
            "duration" => Type::Duration,
            "ip" => Type::Opaque("net.IP"),
            "cidr" => Type::Opaque("net.CIDR"),
            "url" => Type::Opaque("kubernetes.URL"),
            "quantity" => Type::Opaque("kubernetes.Quantity"),
            "semver" => Type::Opaque("kubernetes.Semver"),
            "format" => Type::Opaque("kubernetes.NamedFormat"),
            _ if name.len() == 1 => Type::param(name),
            _ => Type::named(name).unwrap_or(Type::Dyn),
        }
    }
}
