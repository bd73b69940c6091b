//! Discovery, group by group: what is served, as `kubectl api-resources` and every client library asks.

use api::{Gvk, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::registry::Registry;
use crate::resource::{Resource, Subresource};
use crate::verbs::no_such_resource;

/// The order of groups that upstream's priorities give; others follow.
const GROUPS: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Whether the group is one of ours, whatever its versions and resources.
pub fn is_own_group(group: &str) -> bool {
    GROUPS.contains(&group)
}

/// Groups with their versions, each once: by priority, and versions in the registry's order.
pub fn group_versions(registry: &Registry) -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = Vec::new();
    for resource in registry.all() {
        let pair = (resource.gvr.group.to_string(), resource.gvr.version.to_string());
        if !list.contains(&pair) {
            list.push(pair);
        }
    }
    list.sort_by_key(|(group, _)| GROUPS.iter().position(|known| known == group).unwrap_or(GROUPS.len()));
    list
}

pub fn api(parts: &Parts) -> Value {
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
    let address = json!({"clientCIDR": "0.0.0.0/0", "serverAddress": host});
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]})
}

pub fn groups(registry: &Registry) -> Value {
    let mut names: Vec<String> = group_versions(registry).into_iter().map(|(group, _)| group).collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    let groups: Vec<Value> = names.iter().filter_map(|name| group_tree(registry, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    let mut tree = group_tree(registry, name)?;
    tree["kind"] = "APIGroup".into();
    tree["apiVersion"] = "v1".into();
    Some(tree)
}

fn group_tree(registry: &Registry, name: &str) -> Option<Value> {
    let versions = group_versions(registry).into_iter().filter(|(group, _)| group == name && !name.is_empty());
    let versions: Vec<Value> =
        versions.map(|(_, version)| json!({"groupVersion": format!("{name}/{version}"), "version": version})).collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resources(registry: &Registry, group: &str, version: &str) -> Result<Value, Status> {
    let mut list: Vec<Value> = Vec::new();
    for resource in registry.all().filter(|resource| resource.gvr.group == group && resource.gvr.version == version) {
        list.push(entry(resource));
        list.extend(resource.subresources.iter().map(|subresource| subentry(resource, subresource)));
    }
    if list.is_empty() {
        return Err(no_such_resource());
    }
    // Upstream lists what a definition made as it comes: the resource, status, scale.
    if !registry.all().any(|found| found.custom.is_some() && found.gvr.group == group && found.gvr.version == version) {
        list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut tree = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    if !group.is_empty() {
        tree["apiVersion"] = "v1".into();
    }
    Ok(tree)
}

fn entry(resource: &Resource) -> Value {
    let mut tree = json!({
        "name": resource.gvr.resource,
        "singularName": resource.singular,
        "namespaced": resource.is_namespaced(),
        "kind": resource.kind.kind,
        "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        tree["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        tree["categories"] = json!(resource.categories);
    }
    if resource.review.is_none() {
        tree["storageVersionHash"] = storage_version_hash(resource).into();
    }
    tree
}

/// Kinds that upstream still stores in an older version than it serves.
const STORED_IN: &[(&str, &str)] = &[
    ("CustomResourceDefinition", "v1beta1"),
    ("MutatingAdmissionPolicy", "v1beta1"),
    ("MutatingAdmissionPolicyBinding", "v1beta1"),
];

/// Changes when the stored form does; clients compare it only.
fn storage_version_hash(resource: &Resource) -> String {
    let Gvk { group, version, kind } = &resource.kind;
    let (group, version) = resource.stored_as.as_ref().map_or((group, version), |gvr| (&gvr.group, &gvr.version));
    let older = STORED_IN.iter().find(|(of, _)| **of == **kind).map(|(_, version)| *version);
    let own = resource.custom.as_ref().map(|custom| custom.storage_version.as_str());
    let version = own.or(older).unwrap_or(version);
    let hash = digest(&SHA256, format!("{group}/{version}/{kind}").as_bytes());
    STANDARD.encode(&hash.as_ref()[..8])
}

fn subentry(resource: &Resource, subresource: &Subresource) -> Value {
    let Shape { group, version, kind, verbs } = shape(resource, subresource);
    let mut tree = json!({
        "name": format!("{}/{}", resource.gvr.resource, subresource.path()),
        "singularName": "",
        "namespaced": resource.is_namespaced(),
        "kind": kind,
        "verbs": verbs,
    });
    if !version.is_empty() {
        tree["group"] = group.into();
        tree["version"] = version.into();
    }
    tree
}

/// What a subresource takes and gives. `version` is empty where group and version are the resource's own.
pub struct Shape<'a> {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'a str,
    pub verbs: &'static [&'static str],
}

pub fn shape<'a>(resource: &'a Resource, subresource: &Subresource) -> Shape<'a> {
    let own = |verbs| Shape { group: "", version: "", kind: &resource.kind.kind, verbs };
    let options = |kind, verbs| Shape { group: "", version: "", kind, verbs };
    const STREAM: &[&str] = &["create", "get"];
    const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
    match subresource {
        Subresource::Status | Subresource::EphemeralContainers | Subresource::Resize | Subresource::Approval => {
            own(&["get", "patch", "update"])
        }
        Subresource::Finalize => own(&["update"]),
        Subresource::Scale { .. } | Subresource::CustomScale => {
            Shape { group: "autoscaling", version: "v1", kind: "Scale", verbs: &["get", "patch", "update"] }
        }
        Subresource::Binding => options("Binding", &["create"]),
        Subresource::Eviction => Shape { group: "policy", version: "v1", kind: "Eviction", verbs: &["create"] },
        Subresource::Token => {
            Shape { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: &["create"] }
        }
        Subresource::Connect("exec") => options("PodExecOptions", STREAM),
        Subresource::Connect("attach") => options("PodAttachOptions", STREAM),
        Subresource::Connect("portforward") => options("PodPortForwardOptions", STREAM),
        Subresource::Connect("proxy") => {
            let kind = match &*resource.gvr.resource {
                "nodes" => "NodeProxyOptions",
                "services" => "ServiceProxyOptions",
                _ => "PodProxyOptions",
            };
            options(kind, PROXY)
        }
        Subresource::Connect(_) => own(&["get"]),
    }
}
