//! The schemas of custom resources: compiled from a CustomResourceDefinition into what the engine works by.
//!
//! ```text
//! openAPIV3Schema --compile--> schema tree (the one of built-ins: pruning, defaults, apply, patches)
//!                         \--> keywords   (maximum, pattern, anyOf, ...: validation only)
//! body --decode--> tree --metadata, prune--> --nulls, defaults--> object --keywords, lists, embedded--> causes
//! ```
//! A schema that upstream would refuse never comes here; what is unknown in one is passed over.

mod compile;
pub mod decode;
pub mod formats;
mod jsonpath;
pub mod keywords;
mod lists;
mod shape;
#[cfg(test)]
mod tests;
mod validate;

use serde_json::Value;

pub use jsonpath::JsonPath;
pub use keywords::{Keywords, go_float};

use crate::schema::{Schema, Type, Types};
use crate::status::Cause;
use crate::validation::Path;

/// One version of a custom resource.
#[derive(Debug)]
pub struct CustomSchema {
    types: Types,
    root: Type,
    keywords: Keywords,
}

impl CustomSchema {
    /// Compiles `openAPIV3Schema`. `preserve` keeps unknown fields everywhere (`spec.preserveUnknownFields`).
    pub fn compile(schema: Option<&Value>, preserve: bool) -> Self {
        let keywords = schema.map(Keywords::compile).unwrap_or_default();
        Self { types: Types::default(), root: compile::root(schema, preserve), keywords }
    }

    /// Its structure, in the form that the engine knows from built-in kinds.
    pub fn schema(&self) -> Schema<'_> {
        self.types.schema(&self.root)
    }

    /// Nulls that may not be, and defaults.
    pub fn apply_defaults(&self, object: &mut Value) {
        shape::prune_nulls(object, self.schema());
        shape::apply_defaults(object, self.schema());
    }

    /// Removes fields that the schema does not know; gives their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        shape::prune(object, Some(self.schema()), "", &mut unknown);
        unknown.sort();
        unknown
    }

    /// All reasons why the object does not fit. What is as it was in `old` is not looked at again.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        validate::validate(&self.keywords, object, old)
    }

    /// What lists by key and sets, and embedded objects, ask for.
    pub fn validate_shape(&self, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let schema = self.schema();
        let mut causes = lists::embedded(object, schema, &Path::default(), true);
        if old.is_none_or(|old| lists::duplicates(old, schema, &Path::default()).is_empty()) {
            causes.extend(lists::duplicates(object, schema, &Path::default()));
        }
        causes
    }

    /// The fields with lists that are merged, for the bare schema of a field (defaults are checked one by one).
    pub fn of_field(schema: &Value) -> Self {
        Self { types: Types::default(), root: compile::part(schema), keywords: Keywords::compile(schema) }
    }
}
