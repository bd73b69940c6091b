//! OpenAPI: v3, one document a group version, and v2, all in one; made from the registry and the schema tables when
//! somebody asks.
//!
//! A document is a pure function of what is served and of this build's words, so its hash is taken over those and not
//! over the document: the index costs nothing, clients keep documents by hash, and none is held here.

mod gnostic;
mod paths;
mod plain;
mod schemas;
mod v2;
pub(crate) mod words;

use std::sync::LazyLock;

use api::Status;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderValue, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use crate::http::body::{self, Body};
use crate::http::respond;
use crate::output;
use crate::registry::Registry;
use crate::verbs::Params;
use crate::wellknown::{GIT_VERSION, discovery, etag};

/// How this build describes the built-in kinds. Clients keep a document for ever by its hash, so a build with other words
/// must have other hashes; taken once, when somebody first asks.
static BUILD: LazyLock<String> = LazyLock::new(|| mark(&Registry::builtin()));
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// `/openapi/v3` and what is below it; `rest` are the segments behind.
pub fn answer(registry: &Registry, rest: &[&str], parts: &Parts) -> Response<Body> {
    if rest.is_empty() {
        let index = index(registry).to_string();
        let hash = etag::hash(index.as_bytes());
        // Upstream lets the type be guessed.
        return etag::answer(&parts.headers, index.into(), "text/plain; charset=utf-8", &hash);
    }
    let path = rest.join("/");
    let Some(document) = Document::of(registry, &path) else { return respond::page_not_found() };
    let hash = document.hash(registry);
    let asked = Params::parse(parts.uri.query().unwrap_or_default());
    if let Some(known) = asked.get("hash").filter(|known| *known != hash) {
        return moved(&path, known, &hash);
    }
    if output::best(accept(&parts.headers), &["application/json"]).is_none() {
        return respond::with(406, "text/plain; charset=utf-8", body::empty());
    }
    let content = Bytes::from(tree(registry, std::iter::once(document)).to_string());
    let mut response = etag::answer(&parts.headers, content, "application/json", &hash);
    if asked.get("hash").is_some() {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        // Long after every client's cache; upstream says a year from now.
        headers.insert(EXPIRES, HeaderValue::from_static("Fri, 31 Dec 2100 00:00:00 GMT"));
    }
    response
}

/// A document that has changed since the client saw the index is at another address.
fn moved(path: &str, known: &str, hash: &str) -> Response<Body> {
    tracing::debug!(path, known, "an outdated OpenAPI document was asked for");
    let mut response = respond::with(301, "text/html; charset=utf-8", body::empty());
    if let Ok(place) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={hash}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// `/openapi/v2`, as JSON or as gnostic's protobuf.
pub fn answer_v2(registry: &Registry, parts: &Parts) -> Result<Response<Body>, Status> {
    let offered = ["application/json", V2_PROTOBUF_OLD, V2_PROTOBUF];
    let Some(chosen) = output::best(accept(&parts.headers), &offered) else {
        return Ok(respond::with(406, "text/plain; charset=utf-8", body::empty()));
    };
    let hashes: Vec<String> = documents(registry).map(|document| document.hash(registry)).collect();
    let hash = etag::hash(format!("v2 {chosen} {}", hashes.concat()).as_bytes());
    if etag::is_known(&parts.headers, &hash) {
        return Ok(etag::answer(&parts.headers, Bytes::new(), "application/json", &hash));
    }
    let tree = v2::from_v3(tree(registry, documents(registry)), GIT_VERSION);
    let (content_type, content) = match chosen {
        "application/json" => ("application/json", tree.to_string().into_bytes()),
        _ => (V2_PROTOBUF, gnostic::encode(&tree).map_err(Status::internal)?),
    };
    Ok(etag::answer(&parts.headers, content.into(), content_type, &hash))
}

fn accept(headers: &HeaderMap) -> &str {
    headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn index(registry: &Registry) -> Value {
    let paths = documents(registry).map(|document| {
        let url = format!("/openapi/v3/{}?hash={}", document.path(), document.hash(registry));
        (document.path(), json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

/// One of the documents of v3.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Document {
    /// A path without resources, such as `version` or `apis/apps`.
    Plain(String),
    GroupVersion(String, String),
}

fn documents(registry: &Registry) -> impl Iterator<Item = Document> {
    let plain = plain::paths(registry).into_iter().map(Document::Plain);
    let versions = discovery::group_versions(registry);
    plain.chain(versions.into_iter().map(|(group, version)| Document::GroupVersion(group, version)))
}

impl Document {
    fn of(registry: &Registry, path: &str) -> Option<Self> {
        documents(registry).find(|document| document.path() == path)
    }

    fn path(&self) -> String {
        match self {
            Self::Plain(path) => path.clone(),
            Self::GroupVersion(group, version) if group.is_empty() => format!("api/{version}"),
            Self::GroupVersion(group, version) => format!("apis/{group}/{version}"),
        }
    }

    fn hash(&self, registry: &Registry) -> String {
        let served = match self {
            Self::Plain(path) => Value::from(path.as_str()),
            Self::GroupVersion(group, version) => discovery::resources(registry, group, version).unwrap_or_default(),
        };
        let custom: Vec<String> = match self {
            Self::Plain(_) => Vec::new(),
            Self::GroupVersion(group, version) => {
                let of = registry.all().filter(|it| *it.gvr.group == **group && *it.gvr.version == **version);
                of.filter_map(|resource| Some(resource.custom.as_ref()?.mark())).collect()
            }
        };
        etag::hash(format!("{GIT_VERSION} {} {served} {}", *BUILD, custom.join(" ")).as_bytes())
    }

    fn add(&self, registry: &Registry, all: &mut Map<String, Value>, schemas: &mut schemas::Schemas) {
        plain::add(&self.path(), all, schemas);
        if let Self::GroupVersion(group, version) = self {
            let is_of = |resource: &&std::sync::Arc<crate::resource::Resource>| {
                *resource.gvr.group == **group && *resource.gvr.version == **version
            };
            registry.all().filter(is_of).for_each(|resource| paths::add(resource, all, schemas));
        }
    }
}

/// The hash of everything that the documents of a registry say, of which no more than a part is held at a time.
pub(crate) fn mark(registry: &Registry) -> String {
    let mut schemas = schemas::Schemas::default();
    let mut parts = String::new();
    for document in documents(registry) {
        let mut paths = Map::new();
        document.add(registry, &mut paths, &mut schemas);
        parts.push_str(&etag::hash(Value::Object(paths).to_string().as_bytes()));
    }
    schemas.render(|schema| {
        parts.push_str(&etag::hash(schema.to_string().as_bytes()));
        Value::Null
    });
    etag::hash(parts.as_bytes())
}

/// Documents as one.
fn tree(registry: &Registry, documents: impl Iterator<Item = Document>) -> Value {
    let mut schemas = schemas::Schemas::default();
    let mut all = Map::new();
    documents.for_each(|document| document.add(registry, &mut all, &mut schemas));
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": all,
        "components": {
            "schemas": schemas.into_tree(),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
            }},
        },
    })
}
