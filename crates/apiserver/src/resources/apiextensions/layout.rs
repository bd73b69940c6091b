//! A definition as upstream's validation sees it: what is the same in all versions stands above them.
//!
//! Upstream checks its internal type, to which v1 objects are converted first; field paths in its messages are of that
//! type (`spec.validation.openAPIV3Schema`), so these are too.

use api::validation::Path;
use serde_json::Value;

use crate::tree;

/// One schema, with where it stands and whether a status subresource goes with it.
pub struct Part<'t> {
    pub value: &'t Value,
    pub path: Path,
}

/// The parts of the versions, by the place where upstream looks at them.
pub struct Layout<'t> {
    pub spec: &'t Value,
    pub versions: &'t [Value],
    same: Same,
}

#[derive(Clone, Copy)]
struct Same {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl<'t> Layout<'t> {
    pub fn new(definition: &'t Value) -> Self {
        let versions = tree::list(definition, "spec.versions");
        let alike = |field: &str| versions.iter().all(|version| version.get(field) == versions[0].get(field));
        let schema = alike("schema");
        let same = Same {
            schema,
            subresources: alike("subresources"),
            columns: alike("additionalPrinterColumns"),
            selectable: schema && alike("selectableFields"),
        };
        Self { spec: &definition["spec"], versions, same }
    }

    fn part(&self, version: Option<usize>, same: bool, field: &str, above: &str) -> Option<Part<'t>> {
        let (version, path) = match version {
            Some(_) if same => return None,
            Some(index) => (self.versions.get(index)?, Path::new("spec.versions").index(index).child(field)),
            None if !same => return None,
            None => (self.versions.first()?, Path::new("spec").child(above)),
        };
        let value = version.get(field).filter(|value| !value.is_null())?;
        Some(Part { value, path })
    }

    /// `None` asks for what stands above the versions.
    pub fn schema(&self, version: Option<usize>) -> Option<Part<'t>> {
        self.part(version, self.same.schema, "schema", "validation")
    }

    pub fn subresources(&self, version: Option<usize>) -> Option<Part<'t>> {
        self.part(version, self.same.subresources, "subresources", "subresources")
    }

    pub fn columns(&self, version: Option<usize>) -> Option<Part<'t>> {
        self.part(version, self.same.columns, "additionalPrinterColumns", "additionalPrinterColumns")
    }

    pub fn selectable(&self, version: Option<usize>) -> Option<Part<'t>> {
        self.part(version, self.same.selectable, "selectableFields", "selectableFields")
    }

    pub fn has_status(&self, version: Option<usize>) -> bool {
        let has = |version: &Value| tree::is_set(version, "subresources.status");
        match version {
            Some(index) => self.versions.get(index).is_some_and(has),
            None => self.versions.iter().any(has),
        }
    }

    /// All versions as upstream prints them when they are wrong as a whole.
    pub fn shown_versions(&self) -> String {
        let shown: Vec<String> = self.versions.iter().map(|version| self.shown_version(version)).collect();
        format!("[{}]", shown.join(","))
    }

    fn shown_version(&self, version: &Value) -> String {
        let json = |field: &str| version.get(field).cloned().unwrap_or_default().to_string();
        let own = |same: bool, field: &str| if same { "null".to_owned() } else { json(field) };
        let flag = |field: &str| version.get(field).and_then(Value::as_bool).unwrap_or_default();
        format!(
            "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":{},\
             \"Subresources\":{},\"AdditionalPrinterColumns\":{},\"SelectableFields\":{}}}",
            json("name"),
            flag("served"),
            flag("storage"),
            flag("deprecated"),
            json("deprecationWarning"),
            own(self.same.schema, "schema"),
            own(self.same.subresources, "subresources"),
            own(self.same.columns, "additionalPrinterColumns"),
            own(self.same.selectable, "selectableFields"),
        )
    }
}
