//! The vocabulary of the cluster: objects, names, revisions, Status, schema tables, selectors, patches and codecs.
//!
//! Everything here is a pure function over values. There is no I/O, no clock, no randomness and no tokio in this crate,
//! and it knows no resource by name except in [`typed`] and in the generated tables.

pub mod apply;
pub mod cron;
pub mod custom;
pub mod field;
pub mod go;
#[cfg(test)]
mod laws;
pub mod name;
pub mod object;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod revision;
pub mod schema;
pub mod selector;
pub mod status;
pub mod taint;
pub mod typed;
pub mod usage;
pub mod validation;
pub mod yaml;

pub use name::{Gvk, Gvr, Key};
pub use object::{Meta, Object, OwnerReference};
pub use revision::Revision;
pub use status::Status;
