//! OpenAPI v3: one document a group version, made from the registry and the schema tables when somebody asks.
//!
//! A document is a pure function of what this binary serves, so its hash is taken over that and not over the document:
//! the index costs nothing, clients keep documents by hash, and none is held here.

mod paths;
mod schemas;
mod words;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use serde_json::{Map, Value, json};

use crate::http::body::Body;
use crate::http::respond;
use crate::registry::Registry;
use crate::verbs::Params;
use crate::wellknown::{GIT_VERSION, discovery, etag};

/// Raised when documents change in another way than by what is served.
const REVISION: u32 = 1;

/// `/openapi/v3` and what is below it; `rest` are the segments behind.
pub fn answer(registry: &Registry, rest: &[&str], parts: &Parts) -> Response<Body> {
    match rest {
        [] => respond::json(&index(registry)),
        ["api", version] => document(registry, "", version, parts),
        ["apis", group, version] => document(registry, group, version, parts),
        _ => respond::page_not_found(),
    }
}

fn index(registry: &Registry) -> Value {
    let paths = discovery::group_versions(registry).into_iter().map(|(group, version)| {
        let path = path(&group, &version);
        let url = format!("/openapi/v3/{path}?hash={}", hash(registry, &group, &version));
        (path, json!({"serverRelativeURL": url}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn hash(registry: &Registry, group: &str, version: &str) -> String {
    let served = discovery::resources(registry, group, version).unwrap_or_default();
    etag::hash(format!("{GIT_VERSION} {} {REVISION} {served}", env!("CARGO_PKG_VERSION")).as_bytes())
}

fn document(registry: &Registry, group: &str, version: &str, parts: &Parts) -> Response<Body> {
    let served = |resource: &&std::sync::Arc<_>| is_of(resource, group, version);
    if !registry.all().any(|resource| served(&resource)) {
        return respond::page_not_found();
    }
    let hash = hash(registry, group, version);
    let content = Bytes::from(tree(registry, group, version).to_string());
    let mut response = etag::answer(&parts.headers, content, "application/json", &hash);
    let asked = Params::parse(parts.uri.query().unwrap_or_default());
    if asked.get("hash") == Some(&hash) {
        let forever = HeaderValue::from_static("public, immutable");
        response.headers_mut().insert(CACHE_CONTROL, forever);
    }
    response
}

fn is_of(resource: &crate::resource::Resource, group: &str, version: &str) -> bool {
    resource.gvr.group == group && resource.gvr.version == version
}

fn tree(registry: &Registry, group: &str, version: &str) -> Value {
    let mut schemas = schemas::Schemas::default();
    let mut all = Map::new();
    for resource in registry.all().filter(|resource| is_of(resource, group, version)) {
        paths::add(resource, &mut all, &mut schemas);
    }
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
