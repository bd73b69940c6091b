//! OpenAPI v2, for clients from before v3 (kubectl up to 1.26, Helm 3): the v3 documents in one, in the older words.

use serde_json::{Map, Value, json};

const V3_REF: &str = "#/components/schemas/";
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// The document of v3 in v2's form.
pub fn from_v3(mut document: Value, version: &str) -> Value {
    let own = document.get_mut("paths").and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    let paths: Map<String, Value> = own.into_iter().map(|(path, tree)| (path, path_item(tree))).collect();
    let own = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut).map(std::mem::take);
    let definitions: Map<String, Value> =
        own.unwrap_or_default().into_iter().map(|(name, tree)| (name, schema(tree))).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

fn path_item(tree: Value) -> Value {
    let Value::Object(mut fields) = tree else { return tree };
    for (name, value) in &mut fields {
        if METHODS.contains(&name.as_str()) {
            *value = operation(value.take());
        } else if name == "parameters" {
            *value = parameters(value.take());
        }
    }
    fields.into()
}

fn operation(tree: Value) -> Value {
    let Value::Object(mut fields) = tree else { return tree };
    let body = fields.remove("requestBody");
    let mut list = fields.remove("parameters").map(parameters).unwrap_or_else(|| json!([]));
    let consumes = body.as_ref().map_or_else(|| vec!["*/*".to_owned()], media_types);
    if let (Some(body), Value::Array(list)) = (body, &mut list) {
        let mut parameter = json!({"name": "body", "in": "body"});
        if body.get("required") == Some(&Value::Bool(true)) {
            parameter["required"] = true.into();
        }
        parameter["schema"] = content_schema(body).unwrap_or_else(|| json!({"type": "object"}));
        list.insert(0, parameter);
    }
    let mut produces = Vec::new();
    for response in fields.get_mut("responses").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let types = media_types(response);
        if produces.is_empty() {
            produces = types;
        }
        let content = response.take();
        *response = json!({"description": content.get("description").cloned().unwrap_or_default()});
        if let Some(schema) = content_schema(content) {
            response["schema"] = schema;
        }
    }
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        fields.insert("parameters".to_owned(), list);
    }
    fields.insert("consumes".to_owned(), consumes.into());
    fields.insert("produces".to_owned(), produces.into());
    fields.insert("schemes".to_owned(), json!(["https"]));
    fields.into()
}

fn media_types(tree: &Value) -> Vec<String> {
    tree.get("content").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
}

/// The schema of the first medium; all have the same.
fn content_schema(mut tree: Value) -> Option<Value> {
    let content = tree.get_mut("content")?.as_object_mut()?;
    Some(schema(content.values_mut().next()?.get_mut("schema")?.take()))
}

/// Parameters say their type themselves.
fn parameters(tree: Value) -> Value {
    let Value::Array(list) = tree else { return tree };
    let one = |mut parameter: Value| {
        if let (Some(Value::Object(schema)), Some(fields)) =
            (parameter.get_mut("schema").map(Value::take), parameter.as_object_mut())
        {
            fields.remove("schema");
            fields.extend(schema);
        }
        parameter
    };
    list.into_iter().map(one).collect()
}

/// A reference has no `allOf` around it, and a choice of types is one type with a format.
fn schema(tree: Value) -> Value {
    let Value::Object(mut fields) = tree else { return tree };
    if let Some(Value::Array(all)) = fields.remove("allOf") {
        let referring = all.into_iter().filter(|part| part.get("$ref").is_some());
        fields.extend(
            referring.filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None }).flatten(),
        );
    }
    let one_of = fields.remove("oneOf");
    let only_types = |choices: &Vec<Value>| {
        choices
            .iter()
            .all(|choice| choice.as_object().is_some_and(|choice| choice.len() == 1 && choice.contains_key("type")))
    };
    if one_of.as_ref().and_then(Value::as_array).is_some_and(only_types) {
        fields.insert("type".to_owned(), "string".into());
    }
    // The older words have none for these.
    ["anyOf", "not", "nullable"].iter().for_each(|name| drop(fields.remove(*name)));
    if let Some(Value::String(reference)) = fields.get_mut("$ref")
        && let Some(name) = reference.strip_prefix(V3_REF)
    {
        *reference = format!("#/definitions/{name}");
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(name) {
            *inner = schema(inner.take());
            // Defaults of what a list or map holds are v3's only.
            inner.as_object_mut().map(|inner| inner.remove("default"));
        }
    }
    for property in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        *property = schema(property.take());
        if property.get("$ref").is_some() {
            property.as_object_mut().map(|property| property.remove("default"));
        }
    }
    fields.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_document_is_told_in_the_older_words() {
        let document = json!({
            "paths": {"/api/v1/things/{name}": {
                "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
                "put": {
                    "operationId": "x",
                    "requestBody": {"required": true, "content": {"*/*": {"schema": {"$ref": "#/components/schemas/a.Thing"}}}},
                    "responses": {"200": {"description": "OK", "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/a.Thing"}},
                        "application/yaml": {"schema": {"$ref": "#/components/schemas/a.Thing"}},
                    }}, "401": {"description": "Unauthorized"}},
                },
            }},
            "components": {"schemas": {"a.Thing": {"type": "object", "properties": {
                "part": {"allOf": [{"$ref": "#/components/schemas/a.Part"}], "default": {}, "description": "its part"},
                "parts": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/a.Part"}], "default": {}}},
                "port": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
            }}}},
        });
        let merged = from_v3(document, "v1");
        let shown = format!("{:#}\n{:#}", merged["paths"], merged["definitions"]);
        expect![[r##"
            {
              "/api/v1/things/{name}": {
                "parameters": [
                  {
                    "in": "path",
                    "name": "name",
                    "required": true,
                    "type": "string"
                  }
                ],
                "put": {
                  "consumes": [
                    "*/*"
                  ],
                  "operationId": "x",
                  "parameters": [
                    {
                      "in": "body",
                      "name": "body",
                      "required": true,
                      "schema": {
                        "$ref": "#/definitions/a.Thing"
                      }
                    }
                  ],
                  "produces": [
                    "application/json",
                    "application/yaml"
                  ],
                  "responses": {
                    "200": {
                      "description": "OK",
                      "schema": {
                        "$ref": "#/definitions/a.Thing"
                      }
                    },
                    "401": {
                      "description": "Unauthorized"
                    }
                  },
                  "schemes": [
                    "https"
                  ]
                }
              }
            }
            {
              "a.Thing": {
                "properties": {
                  "part": {
                    "$ref": "#/definitions/a.Part",
                    "description": "its part"
                  },
                  "parts": {
                    "items": {
                      "$ref": "#/definitions/a.Part"
                    },
                    "type": "array"
                  },
                  "port": {
                    "format": "int-or-string",
                    "type": "string"
                  }
                },
                "type": "object"
              }
            }"##]]
        .assert_eq(&shown);
    }
}
