//! Selectors: which objects a request, a service or a controller means.

mod field;
mod label;
mod node;
#[cfg(test)]
mod tests;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};
pub use node::node_requirement_holds;
