//! `paths` of a document: what may be done with a resource, and the query parameters that each request takes.
//!
//! Operations follow from the verbs that discovery shows; names, media types and codes are upstream's.

use api::{protobuf, schema};
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::resource::{Resource, Subresource};
use crate::wellknown::discovery::shape;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const GIVEN: [&str; 3] = ["application/json", protobuf::CONTENT_TYPE, "application/yaml"];
const STREAMED: [&str; 5] = [
    "application/json",
    "application/json;stream=watch",
    protobuf::CONTENT_TYPE,
    protobuf::WATCH_CONTENT_TYPE,
    "application/yaml",
];
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
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
const DELETE_ALL: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];
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

/// What an operation is for, and what it carries.
struct Operation {
    /// `x-kubernetes-action`.
    action: &'static str,
    method: &'static str,
    query: &'static [&'static str],
    takes: Option<String>,
    /// Empty for text.
    gives: String,
    media: &'static [&'static str],
    codes: &'static [&'static str],
}

/// Where operations are, and how they are named.
struct Place<'a> {
    resource: &'a Resource,
    path: String,
    /// What is read and written: group, version, kind.
    kind: (&'a str, &'a str, &'a str),
    subresource: &'a str,
    is_watch: bool,
}

/// Adds all paths of a resource.
pub fn add(resource: &Resource, paths: &mut Map<String, Value>, schemas: &mut Schemas) {
    if let Some(custom) = &resource.custom {
        for (name, tree) in crate::custom::open_api::schemas(resource, custom) {
            schemas.define(name, tree);
        }
    }
    let collection = resource.gvr.path(if resource.is_namespaced() { "{namespace}" } else { "" }, "");
    let everywhere = resource.gvr.path("", "");
    let object = format!("{collection}/{{name}}");
    let own = &*resource.schema;
    let list = format!("{own}List");
    let does = |verb: &str| resource.verbs().contains(&verb);
    let mut put = |path: &str, operations: Vec<Operation>| {
        let place = Place::of(resource, path);
        place.put(operations, paths, schemas);
    };
    let on_all = [
        does("deletecollection").then(delete_all),
        does("list").then(|| read("list", LIST, &list, &STREAMED)),
        does("create").then(|| create(own)),
    ];
    put(&collection, on_all.into_iter().flatten().collect());
    let deletes = if resource.returns_deleted { own.to_owned() } else { format!("{META}.Status") };
    let on_one = [
        does("delete").then(|| delete(&deletes)),
        does("get").then(|| read("get", &[], own, &GIVEN)),
        does("patch").then(|| patch(own)),
        does("update").then(|| update(own)),
    ];
    put(&object, on_one.into_iter().flatten().collect());
    if resource.is_namespaced() && does("list") {
        put(&everywhere, vec![read("list", LIST, &list, &STREAMED)]);
    }
    if does("watch") {
        let event = format!("{META}.WatchEvent");
        let watched = |path: &str| {
            path.replacen(&format!("/{}/", resource.gvr.version), &format!("/{}/watch/", resource.gvr.version), 1)
        };
        put(&watched(&collection), vec![read("watchlist", LIST, &event, &STREAMED)]);
        put(&watched(&object), vec![read("watch", LIST, &event, &STREAMED)]);
        if resource.is_namespaced() {
            put(&watched(&everywhere), vec![read("watchlist", LIST, &event, &STREAMED)]);
        }
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
    let shape = shape(resource, subresource);
    let (group, version) = match shape.version {
        "" => (&*resource.gvr.group, &*resource.gvr.version),
        version => (shape.group, version),
    };
    let path = subresource.path();
    let mut place = Place::of(resource, &format!("{object}/{path}"));
    (place.kind, place.subresource) = ((group, version, shape.kind), path);
    if let Subresource::Connect(name) = subresource {
        let query = match *name {
            "log" => LOG,
            "exec" => EXEC,
            "attach" => ATTACH,
            "portforward" => &["ports"],
            _ => &["path"],
        };
        let methods: &[&str] = match *name {
            "log" => return place.put(vec![text("get", "get", query)], paths, schemas),
            "proxy" => &["delete", "get", "head", "options", "patch", "post", "put"],
            _ => &["get", "post"],
        };
        let connect = || methods.iter().map(|method| text("connect", method, query)).collect();
        place.put(connect(), paths, schemas);
        if *name == "proxy" {
            place.path.push_str("/{path}");
            place.put(connect(), paths, schemas);
        }
        return;
    }
    let kind = api::Gvk {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: shape.kind.to_owned().into(),
    };
    let named =
        schema::builtin().lookup_kind(&kind).and_then(|schema| schema.as_struct()).map(|of| of.name.to_string());
    let of = named.unwrap_or_else(|| resource.schema.to_string());
    let operations = shape.verbs.iter().filter_map(|verb| match *verb {
        "get" => Some(read("get", &[], &of, &GIVEN)),
        "patch" => Some(patch(&of)),
        "update" => Some(update(&of)),
        "create" => Some(create(&of)),
        _ => None,
    });
    place.put(operations.collect(), paths, schemas);
}

fn text(action: &'static str, method: &'static str, query: &'static [&'static str]) -> Operation {
    const TEXT: &[&str] = &["*/*"];
    const LOGS: &[&str] =
        &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml", "text/plain"];
    let media = if action == "connect" { TEXT } else { LOGS };
    Operation { action, method, query, takes: None, gives: String::new(), media, codes: &["200"] }
}

fn read(
    action: &'static str,
    query: &'static [&'static str],
    gives: &str,
    media: &'static [&'static str],
) -> Operation {
    Operation { action, method: "get", query, takes: None, gives: gives.to_owned(), media, codes: &["200"] }
}

fn create(of: &str) -> Operation {
    let codes = &["200", "201", "202"];
    let (takes, gives) = (Some(of.to_owned()), of.to_owned());
    Operation { action: "post", method: "post", query: WRITE, takes, gives, media: &GIVEN, codes }
}

fn update(of: &str) -> Operation {
    Operation { action: "put", method: "put", codes: &["200", "201"], ..create(of) }
}

fn patch(gives: &str) -> Operation {
    let takes = Some(format!("{META}.Patch"));
    Operation { action: "patch", method: "patch", query: PATCH, takes, ..update(gives) }
}

fn delete(gives: &str) -> Operation {
    let takes = Some(format!("{META}.DeleteOptions"));
    Operation { action: "delete", method: "delete", query: DELETE, takes, codes: &["200", "202"], ..update(gives) }
}

fn delete_all() -> Operation {
    Operation { action: "deletecollection", query: DELETE_ALL, codes: &["200"], ..delete(&format!("{META}.Status")) }
}

impl<'a> Place<'a> {
    fn of(resource: &'a Resource, path: &str) -> Self {
        let kind = (&*resource.gvr.group, &*resource.gvr.version, &*resource.kind.kind);
        let is_watch = path.contains(&format!("/{}/watch/", resource.gvr.version));
        Self { resource, path: path.to_owned(), kind, subresource: "", is_watch }
    }

    fn put(&self, operations: Vec<Operation>, paths: &mut Map<String, Value>, schemas: &mut Schemas) {
        if operations.is_empty() {
            return;
        }
        let mut tree = Map::new();
        let (group, version, kind) = self.kind;
        let in_path =
            ["namespace", "name", "path"].into_iter().filter(|name| self.path.contains(&format!("{{{name}}}")));
        let mut parameters: Vec<Value> = in_path.map(|name| self.path_parameter(name)).collect();
        if !matches!(operations[0].action, "connect") {
            parameters.push(query_parameter("pretty"));
        }
        tree.insert("parameters".to_owned(), parameters.into());
        for operation in operations {
            let mut described = json!({
                "tags": [tag(&self.resource.gvr.group, &self.resource.gvr.version)],
                "operationId": self.operation_id(&operation),
                "parameters": operation.query.iter().map(|name| query_parameter(name)).collect::<Vec<_>>(),
                "responses": responses(&operation, self.resource.custom.is_some(), schemas),
                "x-kubernetes-action": operation.action,
                "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
            });
            if let Some(takes) = &operation.takes {
                described["requestBody"] = body(takes, self.resource.custom.is_some(), schemas);
            }
            if self.is_watch {
                described["deprecated"] = true.into();
            }
            tree.insert(operation.method.to_owned(), described);
        }
        paths.insert(self.path.clone(), Value::Object(tree));
    }

    fn path_parameter(&self, name: &str) -> Value {
        let description = match name {
            "name" => format!("name of the {}", self.resource.kind.kind),
            "namespace" => "the namespace of the objects".to_owned(),
            _ => "path to the resource".to_owned(),
        };
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string", "uniqueItems": true},
        })
    }

    /// One name for each operation, in upstream's manner.
    fn operation_id(&self, operation: &Operation) -> String {
        let group = camel(&self.resource.gvr.group);
        let version = capital(&self.resource.gvr.version);
        let (verb, infix) = match operation.action {
            "get" => ("read", String::new()),
            "post" => ("create", String::new()),
            "put" => ("replace", String::new()),
            "deletecollection" => ("delete", "Collection".to_owned()),
            "watchlist" => ("watch", String::new()),
            "connect" => ("connect", capital(operation.method)),
            other => (other, String::new()),
        };
        let is_scoped = self.path.contains("{namespace}");
        let scope = if is_scoped { "Namespaced" } else { "" };
        let everywhere = if self.resource.is_namespaced() && !is_scoped { "ForAllNamespaces" } else { "" };
        let list = if operation.action == "watchlist" { "List" } else { "" };
        let subresource = match self.subresource {
            "ephemeralcontainers" => "Ephemeralcontainers".to_owned(),
            other => capital(other),
        };
        let with_path = if self.path.ends_with("/{path}") { "WithPath" } else { "" };
        let kind = &self.resource.kind.kind;
        format!("{verb}{group}{version}{infix}{scope}{kind}{list}{subresource}{with_path}{everywhere}")
    }
}

/// `apps_v1`, `rbacAuthorization_v1`.
pub fn tag(group: &str, version: &str) -> String {
    let name = camel(group);
    let mut letters = name.chars();
    let name: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    format!("{name}_{version}")
}

/// A group's name in words with capital letters, without upstream's own domain.
pub fn camel(group: &str) -> String {
    match group.strip_suffix(".k8s.io").unwrap_or(group) {
        "" => "Core".to_owned(),
        name => name.split(['.', '-']).map(capital).collect(),
    }
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn body(takes: &str, is_custom: bool, schemas: &mut Schemas) -> Value {
    let schema = schemas.refer(takes);
    let types = if takes.ends_with(".Patch") { &PATCHES[..] } else { &["*/*"] };
    let can = |name: &&&str| !is_custom || !name.contains("strategic");
    let content: Map<String, Value> =
        types.iter().filter(can).map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect();
    let mut body = json!({"content": content});
    if !takes.ends_with(".DeleteOptions") {
        body["required"] = true.into();
    }
    body
}

fn responses(operation: &Operation, is_custom: bool, schemas: &mut Schemas) -> Value {
    let schema = match operation.gives.as_str() {
        "" => json!({"type": "string"}),
        name => schemas.refer(name),
    };
    let can = |name: &&&str| !is_custom || !name.contains("protobuf");
    let content: Map<String, Value> =
        operation.media.iter().filter(can).map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect();
    let mut all = json!({"401": {"description": "Unauthorized"}});
    for code in operation.codes {
        let description = match *code {
            "201" => "Created",
            "202" => "Accepted",
            _ => "OK",
        };
        all[*code] = json!({"description": description, "content": content});
    }
    all
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
