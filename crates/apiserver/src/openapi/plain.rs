//! Paths that are no resources: discovery's own, the version, and what tells about service accounts' tokens.

use serde_json::{Map, Value, json};

use super::paths::{camel, capital, tag};
use super::schemas::Schemas;
use crate::registry::Registry;
use crate::wellknown::discovery;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// All of them, without what is inside a group version's document.
pub fn paths(registry: &Registry) -> Vec<String> {
    let mut paths: Vec<String> =
        [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"].map(str::to_owned).into();
    let groups = discovery::group_versions(registry).into_iter().filter(|(group, _)| !group.is_empty());
    paths.extend(groups.map(|(group, _)| format!("apis/{group}")));
    paths.sort();
    paths.dedup();
    paths
}

/// Adds one path with its only operation.
pub fn add(path: &str, all: &mut Map<String, Value>, schemas: &mut Schemas) {
    let segments: Vec<&str> = path.split('/').collect();
    let (name, text, gives) = match segments.as_slice() {
        ["api"] => ("getCoreAPIVersions".to_owned(), "get available API versions", "APIVersions"),
        ["apis"] => ("getAPIVersions".to_owned(), "get available API versions", "APIGroupList"),
        ["apis", group] => (format!("get{}APIGroup", camel(group)), "get information of a group", "APIGroup"),
        ["api", version] => {
            (format!("getCore{}APIResources", capital(version)), "get available resources", "APIResourceList")
        }
        ["apis", group, version] => (
            format!("get{}{}APIResources", camel(group), capital(version)),
            "get available resources",
            "APIResourceList",
        ),
        ["version"] => ("getCodeVersion".to_owned(), "get the version information for this server", "version"),
        [".well-known", _] => (
            "getServiceAccountIssuerOpenIDConfiguration".to_owned(),
            "get service account issuer OpenID configuration",
            "",
        ),
        _ => {
            ("getServiceAccountIssuerOpenIDKeyset".to_owned(), "get service account issuer OpenID JSON Web Key Set", "")
        }
    };
    let (schema, types) = match gives {
        "" if segments[0] == "openid" => (json!({"type": "string"}), &["application/jwk-set+json"][..]),
        "" => (json!({"type": "string"}), &["application/json"][..]),
        "version" => (schemas.refer("io.k8s.apimachinery.pkg.version.Info"), &["application/json"][..]),
        kind => (
            schemas.refer(&format!("{META}.{kind}")),
            &["application/json", "application/yaml", api::protobuf::CONTENT_TYPE][..],
        ),
    };
    let content: Map<String, Value> =
        types.iter().map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect();
    // Discovery's paths have a slash behind.
    let slash = if segments[0].starts_with("api") { "/" } else { "" };
    let tag = match segments.as_slice() {
        ["api"] => "core".to_owned(),
        ["api", version] => tag("", version),
        ["apis", group] => tag(group, "").trim_end_matches('_').to_owned(),
        ["apis", group, version] => tag(group, version),
        [".well-known", _] => "WellKnown".to_owned(),
        [other, ..] => (*other).to_owned(),
        [] => String::new(),
    };
    let operation = json!({
        "tags": [tag],
        "description": text,
        "operationId": name,
        "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
    });
    all.insert(format!("/{path}{slash}"), json!({"get": operation}));
}
