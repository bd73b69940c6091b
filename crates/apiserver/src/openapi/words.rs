//! Descriptions of types and fields, for `kubectl explain`.
//!
//! They are taken at run time from the JSON schemas that k8s-openapi's structs give (its feature `schemars`, which is
//! used nowhere else), so the tree carries no copy of upstream's texts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::resource::Column;
use api::typed::k8s_openapi::api::{authentication, autoscaling, policy};
use api::typed::k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::generate::SchemaGenerator;
use serde_json::{Map, Value};

/// All descriptions that are known.
pub struct Words(Map<String, Value>);

impl Words {
    /// Collects them; takes a few milliseconds.
    pub fn new() -> Self {
        let mut generator = SchemaGenerator::default();
        for describe in crate::resources::all().iter().filter_map(|resource| resource.words) {
            describe(&mut generator);
        }
        // What is no resource of its own.
        macro_rules! describe {
            ($($kind:ty),* $(,)?) => {$( generator.subschema_for::<$kind>(); )*};
        }
        describe!(
            authentication::v1::TokenRequest,
            autoscaling::v1::Scale,
            meta::v1::APIGroup,
            meta::v1::APIGroupList,
            meta::v1::APIResourceList,
            meta::v1::APIVersions,
            meta::v1::DeleteOptions,
            meta::v1::Status,
            policy::v1::Eviction,
        );
        Self(generator.take_definitions(false))
    }

    pub fn of_type(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    pub fn of_field(&self, owner: &str, field: &str) -> Option<&str> {
        self.0.get(owner)?.get("properties")?.get(field)?.get("description")?.as_str()
    }
}

/// A column's description: its own text, or that of the field which it names by type and field.
pub fn of_column(description: &str) -> &str {
    static FIELDS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(fields_of_columns);
    FIELDS.get(description).map_or(description, String::as_str)
}

/// The texts of all fields that columns of built-in kinds show. The rest of the words is not kept.
fn fields_of_columns() -> BTreeMap<&'static str, String> {
    let words = Words::new();
    let resources = crate::resources::all();
    let columns = resources.iter().flat_map(|resource| resource.columns).map(|column| column.description);
    let named = columns.chain([crate::output::table::NAME_DESCRIPTION, Column::CREATED]);
    let text = |name: &str| {
        let (owner, field) = name.rsplit_once('.')?;
        Some(words.of_field(owner, field)?.to_owned())
    };
    named.filter_map(|name| Some((name, text(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_a_column_names_is_documented() {
        let resources = crate::resources::all();
        let columns = resources.iter().flat_map(|resource| resource.columns).map(|column| column.description);
        let unknown: Vec<&str> =
            columns.filter(|name| name.starts_with("io.k8s.") && of_column(name) == *name).collect();
        assert_eq!(unknown, [""; 0]);
    }
}
