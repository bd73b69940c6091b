//! The vocabulary of validation: where in an object a value is wrong and why, in upstream's words.
//!
//! Checks return causes; the verb that asked makes one Status of them ([`crate::Status::invalid`]).

pub mod cause;
pub mod meta;
pub mod name;
pub mod number;
pub mod selector;
#[cfg(test)]
mod tests;

pub use cause::Path;
