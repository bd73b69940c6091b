//! Tables: the columns of a resource, and a row for each object.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Include, partial_tree};
use std::sync::Arc;

use crate::custom::Custom;
use crate::openapi::words;
use crate::resource::Column;
use crate::tree;
use crate::verbs::Call;

pub(crate) const NAME_DESCRIPTION: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta.name";

/// Makes the rows of one answer.
pub(crate) struct Rows {
    columns: &'static [Column],
    custom: Option<Arc<Custom>>,
    name: Option<fn(&Value) -> String>,
    unnamed: bool,
    include: Include,
    meta_version: &'static str,
    now: Timestamp,
    /// A watch tells the columns once.
    headed: bool,
}

impl Rows {
    pub fn new(call: &Call, include: Include) -> Self {
        Self {
            columns: call.resource.columns,
            custom: call.resource.custom.clone(),
            name: call.resource.name_cell,
            unnamed: call.resource.unnamed,
            include,
            meta_version: call.form.meta_version,
            now: call.now(),
            headed: false,
        }
    }

    /// The Table up to its rows.
    pub fn head(&self, meta: &Value) -> Vec<u8> {
        let (version, columns) = (self.meta_version, self.definitions());
        format!(r#"{{"kind":"Table","apiVersion":"{version}","metadata":{meta},"columnDefinitions":{columns},"rows":["#)
            .into_bytes()
    }

    pub fn row(&self, json: &[u8]) -> Bytes {
        let tree: Value = serde_json::from_slice(json).unwrap_or_default();
        self.row_tree(&tree).to_string().into()
    }

    /// A Table of one object. Only the first one carries the columns.
    pub fn table_of(&mut self, json: &[u8]) -> Bytes {
        let tree: Value = serde_json::from_slice(json).unwrap_or_default();
        self.table(&tree, vec![self.row_tree(&tree)])
    }

    /// A Table that says how far a watch has come.
    pub fn bookmark_table(&mut self, bookmark: &Value) -> Bytes {
        let row = json!({ "cells": [], "object": bookmark });
        self.table(bookmark, vec![row])
    }

    fn table(&mut self, object: &Value, rows: Vec<Value>) -> Bytes {
        let columns = if std::mem::replace(&mut self.headed, true) { Value::Null } else { self.definitions() };
        let revision = tree::text(object, "metadata.resourceVersion");
        json!({
            "kind": "Table", "apiVersion": self.meta_version, "metadata": { "resourceVersion": revision },
            "columnDefinitions": columns, "rows": rows,
        })
        .to_string()
        .into()
    }

    fn row_tree(&self, tree: &Value) -> Value {
        let name = self.name.map_or_else(|| tree::text(tree, "metadata.name").to_owned(), |name| name(tree));
        let mut cells = if self.unnamed { Vec::new() } else { vec![Value::from(name)] };
        if let Some(custom) = &self.custom {
            cells.extend(custom.columns.iter().map(|column| column.cell(tree, self.now)));
        } else if self.columns.is_empty() {
            cells.push(tree::text(tree, "metadata.creationTimestamp").into());
        }
        cells.extend(self.columns.iter().map(|column| (column.cell)(tree, self.now)));
        match self.include {
            Include::None => json!({ "cells": cells, "object": null }),
            Include::Metadata => json!({ "cells": cells, "object": partial_tree(tree, self.meta_version) }),
            Include::Object => json!({ "cells": cells, "object": tree }),
        }
    }

    fn definitions(&self) -> Value {
        let name = definition("Name", "string", "name", NAME_DESCRIPTION, 0);
        let mut all = if self.unnamed { Vec::new() } else { vec![name] };
        if let Some(custom) = &self.custom {
            let own =
                custom.columns.iter().map(|c| definition(&c.name, &c.kind, &c.format, &c.description, c.priority));
            all.extend(own);
        } else if self.columns.is_empty() {
            all.push(definition("Created At", "date", "", Column::CREATED, 0));
        }
        let own = self.columns.iter().map(|c| definition(c.name, c.kind, c.format, c.description, c.priority.into()));
        all.extend(own);
        all.into()
    }
}

fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i64) -> Value {
    let description = words::of_column(description);
    json!({ "name": name, "type": kind, "format": format, "description": description, "priority": priority })
}
