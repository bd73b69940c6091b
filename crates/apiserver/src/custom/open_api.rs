//! The schemas of a custom resource and of its list, as OpenAPI documents show them.

use serde_json::{Map, Value, json};

use super::Custom;
use crate::resource::Resource;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const VERSION_WORDS: &str = "The versioned schema of this representation of an object, as group/version.";
const KIND_WORDS: &str = "The kind of this object, in CamelCase. It cannot be updated.";

/// By name. They refer to the metadata types of the built-in tables.
pub fn schemas(resource: &Resource, custom: &Custom) -> [(String, Value); 2] {
    let name = resource.schema.to_string();
    let list = format!("{name}List");
    let mut object = custom.open_api().unwrap_or_else(|| json!({ "type": "object" }));
    meta(&mut object, &format!("{META}.ObjectMeta"));
    embedded(&mut object);
    object["x-kubernetes-group-version-kind"] = kind(resource, &resource.kind.kind);
    let items = json!({
        "type": "array", "items": { "$ref": format!("#/components/schemas/{name}") },
        "description": format!("List of {}.", resource.gvr.resource),
    });
    let mut of_list = json!({
        "type": "object", "required": ["items"], "properties": { "items": items },
        "description": format!("{} is a list of {}", custom.list_kind, resource.kind.kind),
    });
    meta(&mut of_list, &format!("{META}.ListMeta"));
    of_list["x-kubernetes-group-version-kind"] = kind(resource, &custom.list_kind);
    [(name, object), (list, of_list)]
}

fn kind(resource: &Resource, kind: &str) -> Value {
    json!([{ "group": resource.gvr.group, "kind": kind, "version": resource.gvr.version }])
}

/// What every object has, whether its schema names it or not.
fn meta(schema: &mut Value, metadata: &str) {
    let Some(fields) = schema.as_object_mut() else { return };
    let properties = fields.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    properties["apiVersion"] = json!({ "type": "string", "description": VERSION_WORDS });
    properties["kind"] = json!({ "type": "string", "description": KIND_WORDS });
    properties["metadata"] = json!({
        "allOf": [{ "$ref": format!("#/components/schemas/{metadata}") }], "description": "Standard metadata.",
    });
}

fn embedded(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for value in fields.values_mut() {
                embedded(value);
            }
            if fields.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
                meta(schema, &format!("{META}.ObjectMeta"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(embedded),
        _ => {}
    }
}
