//! apiextensions.k8s.io: definitions of custom resources. What they make is served by [`crate::custom`].

mod conversion_rules;
pub mod customresourcedefinition;
mod default_rules;
mod definition_rules;
mod expression_rules;
mod layout;
pub mod schema_rules;
mod structural_rules;
#[cfg(test)]
mod tests;
