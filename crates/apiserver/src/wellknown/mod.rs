//! Paths that are no resources: version, health, discovery, OpenAPI, token keys, metrics, the store.

mod aggregated;
pub(crate) mod discovery;
pub(crate) mod etag;
mod health;
pub(crate) mod store;

use std::sync::Arc;

use api::Status;
use api::status::About;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use http::{Method, Response};
use pki::TokenKey;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::http::body::Body;
use crate::http::{Server, respond};
use crate::openapi;
use crate::output::{self, Form, Offer};
use crate::verbs::Params;

/// The release that our API follows, with our own mark as semver's build metadata, so that clients can parse it.
pub const GIT_VERSION: &str = "v1.36.0+ironclad";

/// What is answered without looking at objects.
pub struct WellKnown {
    issuer: String,
    jwks: Value,
    backups: Arc<Semaphore>,
}

impl WellKnown {
    pub fn new(issuer: String, key: &TokenKey) -> Self {
        Self { issuer, jwks: key.jwks(), backups: store::turns() }
    }
}

/// Answers an authorized request for a path.
pub async fn answer(server: Arc<Server>, parts: Parts, path: String, params: Params) -> Result<Response<Body>, Status> {
    if let Some(question) = health::question(&path, &params) {
        return Ok(health::answer(server, question).await);
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let registry = &*server.engine.registry();
    let known = &server.wellknown;
    let negotiated = |value: &Value| negotiated(value, &parts, &params);
    let only_read = matches!(segments.as_slice(), ["version"] | ["api" | "apis", ..]);
    if only_read && !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed(About { group: "", resource: "", name: "" }));
    }
    Ok(match segments.as_slice() {
        [] => respond::pretty(&paths(&server)),
        ["version"] => respond::pretty(&version()),
        ["metrics"] => respond::with(
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            crate::http::body::whole(server.engine.metrics().text(server.engine.caches())),
        ),
        ["ironclad", "store", what] => store::answer(&server, what, &parts, &params).await?,
        ["openid", "v1", "jwks"] => {
            respond::with(200, "application/jwk-set+json", crate::http::body::whole(known.jwks.to_string()))
        }
        [".well-known", "openid-configuration"] => respond::json(&openid_configuration(&known.issuer, &parts)),
        ["openapi", "v2"] => openapi::answer_v2(registry, &parts)?,
        ["openapi", "v3", rest @ ..] => openapi::answer(registry, rest, &parts),
        ["api"] => aggregated::or_plain(registry, &parts.headers, true, || negotiated(&discovery::api(&parts)))?,
        ["apis"] => aggregated::or_plain(registry, &parts.headers, false, || negotiated(&discovery::groups(registry)))?,
        ["apis", group] => match discovery::group(registry, group) {
            Some(tree) => negotiated(&tree)?,
            None => respond::page_not_found(),
        },
        ["api", version] => negotiated(&discovery::resources(registry, "", version)?)?,
        ["apis", group, version] => match discovery::resources(registry, group, version) {
            Err(_) if !discovery::is_own_group(group) => respond::page_not_found(),
            found => negotiated(&found?)?,
        },
        _ => respond::page_not_found(),
    })
}

/// A discovery document in the form that the client asks for.
fn negotiated(value: &Value, parts: &Parts, params: &Params) -> Result<Response<Body>, Status> {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = Form::negotiate(header(ACCEPT), Offer::PLAIN)?;
    let form = form.prettified(params.get("pretty"), header(USER_AGENT));
    let (content_type, content) = output::written(form.media, &value.to_string().into())?;
    Ok(respond::with(200, content_type, crate::http::body::whole(content)))
}

fn version() -> Value {
    let (platform_os, platform_arch) = (std::env::consts::OS, go_arch());
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{platform_os}/{platform_arch}"),
    })
}

/// The machine in Go's words, which `kubectl version` and image tools expect.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn paths(server: &Server) -> Value {
    let mut paths: Vec<String> = ["/.well-known/openid-configuration", "/api", "/apis"].map(str::to_owned).into();
    for (group, version) in discovery::group_versions(&server.engine.registry()) {
        if group.is_empty() {
            paths.push(format!("/api/{version}"));
        } else {
            paths.extend([format!("/apis/{group}"), format!("/apis/{group}/{version}")]);
        }
    }
    let rest =
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"];
    paths.extend(rest.map(str::to_owned));
    paths.sort();
    paths.dedup();
    json!({"paths": paths})
}

fn openid_configuration(issuer: &str, parts: &Parts) -> Value {
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let host =
        host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or("kubernetes.default.svc");
    json!({
        "issuer": issuer,
        "jwks_uri": format!("https://{host}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}
