//! Custom resources: the descriptors that a CustomResourceDefinition makes at run time.
//!
//! What the generic engine cannot take from a [`Resource`]'s static parts it asks of [`Custom`]: schema, columns, scale's
//! paths, selectable fields. Everything else - verbs, storage, watch, apply - is the engine's own.

pub mod controller;
mod object;
pub mod open_api;
pub mod rule_check;
pub mod rules;
pub mod status;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use api::custom::{CustomSchema, JsonPath};
use api::name::Str;
use api::{Gvk, Gvr, Object};
use serde_json::Value;

use crate::resource::{Resource, Scope, Subresource};
use crate::tree;

/// What a definition says, as far as it decides what is served.
pub struct Definition {
    object: Object,
    tree: Value,
    pub established: bool,
    terminating: bool,
}

/// What only the definition knows of one version of a custom resource.
pub struct Custom {
    /// The definition as it is stored; its bytes are the cache's.
    definition: Object,
    version: String,
    pub list_kind: String,
    pub storage_version: String,
    /// There is no other version: objects go out as they are stored.
    pub single: bool,
    /// It is being deleted: nothing new may be created.
    pub terminating: bool,
    /// Its schema has rules (x-kubernetes-validations).
    has_rules: bool,
    rules: OnceLock<Option<rules::Node>>,
    /// What a deprecated version warns of.
    pub warning: Option<String>,
    pub columns: Vec<CustomColumn>,
    pub scale: Option<ScalePaths>,
    /// Every field that any version selects by, in the cache's order; and whether this version does.
    pub selectable: Vec<(String, bool)>,
    /// Compiled when the first object comes: most definitions of a cluster are never used.
    schema: OnceLock<CustomSchema>,
}

pub struct CustomColumn {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    pub path: JsonPath,
}

/// Dotted, without the leading dot. The selector is a text.
pub struct ScalePaths {
    pub spec: String,
    pub status: String,
    pub selector: String,
}

impl Definition {
    pub fn read(object: &Object) -> Option<Self> {
        let tree = object.tree().ok()?;
        let is = |kind: &str| status::condition(&tree, kind).is_some_and(|found| found["status"] == "True");
        Some(Self { established: is("Established"), terminating: is("Terminating"), object: object.clone(), tree })
    }

    /// Whether both are served by the same storage in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        self.object.uid() == other.object.uid()
            && self.tree["spec"] == other.tree["spec"]
            && self.tree["status"]["acceptedNames"] == other.tree["status"]["acceptedNames"]
    }

    /// The place of its objects: of the storage version, whether that is served or not.
    pub fn gvr(&self) -> Gvr {
        self.gvr_of(&self.storage_version())
    }

    fn gvr_of(&self, version: &str) -> Gvr {
        let owned = |path: &str| Str::from(tree::text(&self.tree, path).to_owned());
        Gvr { group: owned("spec.group"), version: version.to_owned().into(), resource: owned("spec.names.plural") }
    }

    fn storage_version(&self) -> String {
        let versions = tree::list(&self.tree, "spec.versions");
        let storage = versions.iter().find(|version| tree::flag(version, "storage"));
        storage.map(|version| tree::text(version, "name").to_owned()).unwrap_or_default()
    }

    /// A descriptor for each served version.
    pub fn resources(&self) -> Vec<Resource> {
        let served = tree::list(&self.tree, "spec.versions").iter().filter(|version| tree::flag(version, "served"));
        served.map(|version| self.resource(version)).collect()
    }

    fn resource(&self, version: &Value) -> Resource {
        let names = tree::at(&self.tree, "status.acceptedNames").unwrap_or(&Value::Null);
        let texts = |path: &str| tree::texts(names, path).into_iter().map(|text| Str::from(text.to_owned())).collect();
        let gvr = self.gvr_of(tree::text(version, "name"));
        let kind = Gvk {
            group: gvr.group.clone(),
            version: gvr.version.clone(),
            kind: tree::text(&self.tree, "spec.names.kind").to_owned().into(),
        };
        let namespaced = tree::text(&self.tree, "spec.scope") == "Namespaced";
        let scope = if namespaced { Scope::Namespaced } else { Scope::Cluster };
        Resource {
            kind,
            singular: tree::text(names, "singular").to_owned().into(),
            short_names: texts("shortNames"),
            categories: texts("categories"),
            schema: schema_name(&gvr, tree::text(&self.tree, "spec.names.kind")).into(),
            subresources: subresources(version),
            generation: true,
            unconditional_update: false,
            custom: Some(Arc::new(self.custom(version))),
            ..Resource::new(gvr, "", "", scope, "".into())
        }
    }

    fn custom(&self, version: &Value) -> Custom {
        let text = |path: &str| tree::text(version, path).trim_start_matches('.').to_owned();
        let scale = tree::at(version, "subresources.scale").map(|_| ScalePaths {
            spec: text("subresources.scale.specReplicasPath"),
            status: text("subresources.scale.statusReplicasPath"),
            selector: text("subresources.scale.labelSelectorPath"),
        });
        let name = tree::text(version, "name");
        let warning = tree::flag(version, "deprecated").then(|| {
            let kind = tree::text(&self.tree, "spec.names.kind");
            let default = format!("{}/{name} {kind} is deprecated", tree::text(&self.tree, "spec.group"));
            tree::at(version, "deprecationWarning").and_then(Value::as_str).map_or(default, str::to_owned)
        });
        Custom {
            definition: self.object.clone(),
            version: name.to_owned(),
            list_kind: tree::text(&self.tree, "spec.names.listKind").to_owned(),
            storage_version: self.storage_version(),
            single: tree::list(&self.tree, "spec.versions").len() == 1
                && tree::list(&self.tree, "status.storedVersions").len() == 1,
            terminating: self.terminating,
            has_rules: has_rules(version),
            rules: OnceLock::new(),
            warning,
            columns: table::columns(version),
            scale,
            selectable: self.selectable(version),
            schema: OnceLock::new(),
        }
    }

    fn selectable(&self, version: &Value) -> Vec<(String, bool)> {
        let paths = |version: &Value| -> Vec<String> {
            let fields = tree::list(version, "selectableFields").iter();
            fields.map(|field| tree::text(field, "jsonPath").trim_start_matches('.').to_owned()).collect()
        };
        let own = paths(version);
        let mut all: Vec<String> = tree::list(&self.tree, "spec.versions").iter().flat_map(paths).collect();
        all.sort();
        all.dedup();
        all.into_iter().map(|path| (path.clone(), own.contains(&path))).collect()
    }
}

impl Custom {
    pub fn schema(&self) -> &CustomSchema {
        self.schema.get_or_init(|| {
            let tree = self.definition.tree().unwrap_or_default();
            let preserve = tree::flag(&tree, "spec.preserveUnknownFields");
            CustomSchema::compile(open_api_schema(&tree, &self.version), preserve)
        })
    }

    /// The compiled rules; most definitions have none and pay nothing.
    fn rules(&self) -> Option<&rules::Node> {
        let compiled = || {
            open_api_schema(&self.definition.tree().ok()?, &self.version)
                .and_then(|schema| rules::Node::compile(schema, true))
        };
        if self.has_rules { self.rules.get_or_init(compiled).as_ref() } else { None }
    }

    /// What OpenAPI documents of this version depend on.
    pub fn mark(&self) -> String {
        format!("{} {}", self.definition.uid(), self.definition.meta().generation)
    }

    /// `openAPIV3Schema` as it was written, for OpenAPI documents.
    pub fn open_api(&self) -> Option<Value> {
        let tree = self.definition.tree().ok()?;
        open_api_schema(&tree, &self.version).cloned()
    }

    /// The dotted paths that the cache of its objects indexes.
    pub fn indexed_fields(&self) -> Vec<&str> {
        self.selectable.iter().map(|(path, _)| path.as_str()).collect()
    }

    /// The place of a field by which this version selects.
    pub fn selects(&self, path: &str) -> Option<usize> {
        self.selectable.iter().position(|(found, own)| *own && found == path)
    }
}

/// Whether a schema, or a version with one, has rules anywhere.
pub fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(name, value)| match name.as_str() {
            "x-kubernetes-validations" => value.as_array().is_some_and(|rules| !rules.is_empty()),
            "default" | "enum" | "example" => false,
            _ => has_rules(value),
        }),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

fn open_api_schema<'t>(definition: &'t Value, version: &str) -> Option<&'t Value> {
    let versions = tree::list(definition, "spec.versions");
    let found = versions.iter().find(|found| tree::text(found, "name") == version)?;
    tree::at(found, "schema.openAPIV3Schema")
}

/// `com.example.stable.v1.CronTab`: the group backwards, as upstream's documents name it.
fn schema_name(gvr: &Gvr, kind: &str) -> String {
    let mut parts: Vec<&str> = gvr.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{kind}", parts.join("."), gvr.version)
}

fn subresources(version: &Value) -> &'static [Subresource] {
    let has = |name: &str| tree::is_set(version, &format!("subresources.{name}"));
    match (has("status"), has("scale")) {
        (false, false) => &[],
        (true, false) => &[Subresource::Status],
        (false, true) => &[Subresource::CustomScale],
        (true, true) => &[Subresource::Status, Subresource::CustomScale],
    }
}
