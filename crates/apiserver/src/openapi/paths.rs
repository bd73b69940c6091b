//! `paths` of a document: what may be done with a resource, and the query parameters that each request takes.

use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::resource::{Resource, Subresource};
use crate::wellknown::discovery::shape;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const JSON: &str = "application/json";
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &[
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];

/// What an operation is for, and what it carries.
struct Operation<'a> {
    action: &'a str,
    method: &'a str,
    query: Vec<&'static str>,
    takes: Option<String>,
    gives: String,
}

/// Adds all paths of a resource.
pub fn add(resource: &Resource, paths: &mut Map<String, Value>, schemas: &mut Schemas) {
    let own = resource.schema.to_string();
    let list = format!("{own}List");
    let collection = resource.gvr.path(if resource.is_namespaced() { "{namespace}" } else { "" }, "");
    let object = format!("{collection}/{{name}}");
    let operations = if resource.review.is_some() {
        vec![write("post", "post", &own)]
    } else {
        let delete =
            LIST.iter().chain(DELETE).copied().filter(|name| !matches!(*name, "watch" | "allowWatchBookmarks"));
        let delete = Operation { query: delete.collect(), ..delete_one("deletecollection") };
        vec![read("list", LIST, &list), write("post", "post", &own), delete]
    };
    put(resource, &resource.kind.kind, &collection, operations, paths, schemas);
    if resource.review.is_some() {
        return;
    }
    let on_one = vec![read("get", &[], &own), write("put", "put", &own), patch(&own), delete_one("delete")];
    put(resource, &resource.kind.kind, &object, on_one, paths, schemas);
    if resource.is_namespaced() {
        let everywhere = resource.gvr.path("", "");
        put(resource, &resource.kind.kind, &everywhere, vec![read("list", LIST, &list)], paths, schemas);
    }
    for subresource in resource.subresources {
        add_subresource(resource, subresource, &object, paths, schemas);
    }
}

fn add_subresource(
    resource: &Resource,
    subresource: &Subresource,
    object: &str,
    paths: &mut Map<String, Value>,
    schemas: &mut Schemas,
) {
    let path = format!("{object}/{}", subresource.path());
    let own = resource.schema.to_string();
    let (kind, operations) = match subresource {
        Subresource::Status | Subresource::EphemeralContainers | Subresource::Resize | Subresource::Approval => {
            (None, vec![read("get", &[], &own), write("put", "put", &own), patch(&own)])
        }
        Subresource::Finalize => (None, vec![write("put", "put", &own)]),
        Subresource::Scale { .. } => {
            let scale = "io.k8s.api.autoscaling.v1.Scale";
            (Some(()), vec![read("get", &[], scale), write("put", "put", scale), patch(scale)])
        }
        Subresource::Binding => (Some(()), vec![write("post", "post", "io.k8s.api.core.v1.Binding")]),
        Subresource::Eviction => (Some(()), vec![write("post", "post", "io.k8s.api.policy.v1.Eviction")]),
        Subresource::Token => (Some(()), vec![write("post", "post", "io.k8s.api.authentication.v1.TokenRequest")]),
        Subresource::Connect("log") => (None, vec![text("get", "get", LOG)]),
        Subresource::Connect("exec") => (Some(()), connect(EXEC)),
        Subresource::Connect("attach") => (Some(()), connect(ATTACH)),
        Subresource::Connect("portforward") => (Some(()), connect(&["ports"])),
        Subresource::Connect(_) => (Some(()), connect(&["path"])),
    };
    let shape = shape(resource, subresource);
    let name = if kind.is_some() { shape.kind } else { &resource.kind.kind };
    put(resource, name, &path, operations, paths, schemas);
    if let (Some(tree), false) = (paths.get_mut(&path), shape.version.is_empty()) {
        let kind = json!({"group": shape.group, "kind": shape.kind, "version": shape.version});
        let operations =
            tree.as_object_mut().into_iter().flat_map(|tree| tree.values_mut()).filter(|value| value.is_object());
        operations.for_each(|operation| operation["x-kubernetes-group-version-kind"] = kind.clone());
    }
}

const LOG: &[&str] = &[
    "container",
    "follow",
    "insecureSkipTLSVerifyBackend",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
];
const ATTACH: &[&str] = &["container", "stderr", "stdin", "stdout", "tty"];
const EXEC: &[&str] = &["command", "container", "stderr", "stdin", "stdout", "tty"];

fn connect(query: &'static [&'static str]) -> Vec<Operation<'static>> {
    vec![text("connect", "get", query), text("connect", "post", query)]
}

fn text(action: &'static str, method: &'static str, query: &'static [&'static str]) -> Operation<'static> {
    Operation { action, method, query: query.to_vec(), takes: None, gives: String::new() }
}

fn read(action: &'static str, query: &'static [&'static str], gives: &str) -> Operation<'static> {
    Operation { action, method: "get", query: query.to_vec(), takes: None, gives: gives.to_owned() }
}

fn write(action: &'static str, method: &'static str, of: &str) -> Operation<'static> {
    Operation { action, method, query: WRITE.to_vec(), takes: Some(of.to_owned()), gives: of.to_owned() }
}

fn patch(gives: &str) -> Operation<'static> {
    let takes = Some(format!("{META}.Patch"));
    Operation { action: "patch", method: "patch", query: PATCH.to_vec(), takes, gives: gives.to_owned() }
}

fn delete_one(action: &'static str) -> Operation<'static> {
    let takes = Some(format!("{META}.DeleteOptions"));
    Operation { action, method: "delete", query: DELETE.to_vec(), takes, gives: format!("{META}.Status") }
}

fn put(
    resource: &Resource,
    kind: &str,
    path: &str,
    operations: Vec<Operation<'_>>,
    paths: &mut Map<String, Value>,
    schemas: &mut Schemas,
) {
    let mut tree = Map::new();
    let in_path = ["namespace", "name"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    parameters.push(query_parameter("pretty"));
    tree.insert("parameters".to_owned(), parameters.into());
    let group = if resource.gvr.group.is_empty() { "core" } else { &*resource.gvr.group };
    let tag = format!("{}_{}", group.split('.').next().unwrap_or_default(), resource.gvr.version);
    for operation in operations {
        let mut described = json!({
            "tags": [tag],
            "operationId": operation_id(resource, kind, path, operation.action, operation.method),
            "parameters": operation.query.iter().map(|name| query_parameter(name)).collect::<Vec<_>>(),
            "responses": {"200": response(&operation, schemas), "401": {"description": "Unauthorized"}},
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind":
                {"group": resource.gvr.group, "kind": kind, "version": resource.gvr.version},
        });
        if let Some(takes) = &operation.takes {
            described["requestBody"] = body(takes, schemas);
        }
        tree.insert(operation.method.to_owned(), described);
    }
    paths.insert(path.to_owned(), Value::Object(tree));
}

fn body(takes: &str, schemas: &mut Schemas) -> Value {
    let schema = schemas.refer(takes);
    let is_patch = takes.ends_with(".Patch");
    let types = if is_patch { &PATCHES[..] } else { &[JSON] };
    let content: Map<String, Value> =
        types.iter().map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect();
    json!({"content": content, "required": !takes.ends_with(".DeleteOptions")})
}

fn response(operation: &Operation<'_>, schemas: &mut Schemas) -> Value {
    if operation.gives.is_empty() {
        return json!({"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}});
    }
    json!({"description": "OK", "content": {JSON: {"schema": schemas.refer(&operation.gives)}}})
}

/// One name for each operation, in upstream's manner.
fn operation_id(resource: &Resource, kind: &str, path: &str, action: &str, method: &str) -> String {
    let group = resource.gvr.group.split('.').next().filter(|name| !name.is_empty()).unwrap_or("core");
    let verb = match action {
        "get" => "read",
        "post" => "create",
        "put" => "replace",
        "deletecollection" => "deleteCollection",
        "connect" if method == "get" => "connectGet",
        "connect" => "connectPost",
        other => other,
    };
    let scope = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let everywhere = if resource.is_namespaced() && scope.is_empty() { "ForAllNamespaces" } else { "" };
    let subresource = path.split("{name}/").nth(1).unwrap_or_default();
    let (version, kind) =
        (capital(&resource.gvr.version), if subresource.is_empty() { kind } else { &*resource.kind.kind });
    format!("{verb}{}{version}{scope}{kind}{}{everywhere}", capital(group), capital(subresource))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn query_parameter(name: &str) -> Value {
    let schema = match name {
        "allowWatchBookmarks"
        | "follow"
        | "force"
        | "insecureSkipTLSVerifyBackend"
        | "orphanDependents"
        | "previous"
        | "ignoreStoreReadErrorWithClusterBreakingPotential"
        | "sendInitialEvents"
        | "stderr"
        | "stdin"
        | "stdout"
        | "timestamps"
        | "tty"
        | "watch" => "boolean",
        "gracePeriodSeconds" | "limit" | "limitBytes" | "ports" | "sinceSeconds" | "tailLines" | "timeoutSeconds" => {
            "integer"
        }
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": schema, "uniqueItems": true}})
}
