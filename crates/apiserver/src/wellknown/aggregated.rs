//! Aggregated discovery: all groups in one answer (KEP-3352), as v2 or v2beta1.

use api::Status;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::discovery::{self, shape};
use super::etag;
use crate::http::body::Body;
use crate::registry::Registry;
use crate::resource::{Resource, Subresource};

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2_BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The aggregated form where the client takes it, and `plain` otherwise.
pub fn or_plain(
    registry: &Registry,
    headers: &HeaderMap,
    core: bool,
    plain: impl Fn() -> Result<Response<Body>, Status>,
) -> Result<Response<Body>, Status> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = accept.split(',').find_map(|range| {
        let has = |part: &str| range.split(';').any(|found| found.trim() == part);
        let aggregated = has("application/json") && has("g=apidiscovery.k8s.io") && has("as=APIGroupDiscoveryList");
        match (aggregated, has("v=v2"), has("v=v2beta1")) {
            (true, true, _) => Some(Some((V2, "v2"))),
            (true, _, true) => Some(Some((V2_BETA1, "v2beta1"))),
            (false, ..) if has("application/json") || has("*/*") || has("application/*") => Some(None),
            _ => None,
        }
    });
    match wanted.flatten() {
        None => plain(),
        Some((content_type, version)) => {
            let content = Bytes::from(list(registry, core, version).to_string());
            let hash = etag::hash(&content);
            Ok(etag::answer(headers, content, content_type, &hash))
        }
    }
}

fn list(registry: &Registry, core: bool, version: &str) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for (group, version) in discovery::group_versions(registry).iter().filter(|(group, _)| group.is_empty() == core) {
        let of_version =
            |resource: &&std::sync::Arc<Resource>| *resource.gvr.group == **group && *resource.gvr.version == **version;
        let mut resources: Vec<_> = registry.all().filter(of_version).collect();
        resources.sort_by(|a, b| a.gvr.resource.cmp(&b.gvr.resource));
        let resources: Vec<Value> = resources.into_iter().map(|resource| entry(resource)).collect();
        let tree = json!({"version": version, "resources": resources, "freshness": "Current"});
        match items.iter_mut().find(|item| item["metadata"]["name"].as_str().unwrap_or_default() == group) {
            Some(item) => item["versions"].as_array_mut().into_iter().for_each(|versions| versions.push(tree.clone())),
            None => {
                let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
                items.push(json!({"metadata": metadata, "versions": [tree]}));
            }
        }
    }
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn entry(resource: &Resource) -> Value {
    let mut tree = json!({
        "resource": resource.gvr.resource,
        "responseKind": {"group": "", "version": "", "kind": resource.kind.kind},
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        tree["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        tree["categories"] = json!(resource.categories);
    }
    if !resource.subresources.is_empty() {
        let mut subresources: Vec<&Subresource> = resource.subresources.iter().collect();
        subresources.sort_by_key(|subresource| subresource.path());
        tree["subresources"] = subresources.into_iter().map(|subresource| subentry(resource, subresource)).collect();
    }
    tree
}

fn subentry(resource: &Resource, subresource: &Subresource) -> Value {
    let shape = shape(resource, subresource);
    json!({
        "subresource": subresource.path(),
        "responseKind": {"group": shape.group, "version": shape.version, "kind": shape.kind},
        "verbs": shape.verbs,
    })
}
