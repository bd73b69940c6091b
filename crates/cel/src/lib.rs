//! Common Expression Language as Kubernetes v1.36 uses it: rules of custom resources, and what else is configured by
//! expressions.
//!
//! ```text
//! text --parse--> Ast (macros unfolded) --check against Env--> Program --evaluate with variables--> value | error, cost
//! schema --> Decl (types, sizes) --> Env                       \--estimate--> what it may cost at most
//! ```
//! Upstream's answers, messages and costs are right. Pure: no clock, no I/O. Everything is bounded: the text, its depth
//! and, by the limit of cost, the time that an evaluation takes.

mod ast;
mod check;
mod cost;
mod env;
mod estimate;
mod eval;
mod lexer;
mod library;
mod macros;
mod parser;
pub mod schema;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod view;

pub use env::{Env, Program};
pub use eval::Evaluated;
pub use library::{Fault, Library};
pub use parser::is_word;
pub use schema::Decl;
pub use source::{Issue, Issues};
pub use types::{ObjectType, Type};
pub use value::{Text, Value};
pub use view::value as view;
