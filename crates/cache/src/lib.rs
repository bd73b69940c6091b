//! Objects in memory: revision-ordered, indexed, read through immutable snapshots; and the contract that controllers
//! plan by.
//!
//! A [`Table`] holds one resource. The API server's watch cache and every informer keep their objects in it. A
//! [`Snapshot`] is a set of tables at one moment: cloning one costs a pointer a table. There is no tokio here.

pub mod controller;
pub mod index;
pub mod snapshot;
pub mod table;

pub use controller::{Action, Controller, Discovery, Interest, Note, Plan, PlanError, Precondition, Step, Wake};
pub use index::Index;
pub use snapshot::Snapshot;
pub use table::{Change, Table};
