//! What a request is counted as.

use std::borrow::Cow;

use api::Gvr;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use crate::request::{ResourceRequest, Verb};
use crate::resource::{Resource, Subresource};
use crate::verbs::Params;

/// Requests of equal labels are counted together. A path that is no resource is its own subresource, as upstream has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    resource: Gvr,
    subresource: &'static str,
    scope: &'static str,
    verb: &'static str,
    dry_run: bool,
}

/// Which of the two limits a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    ReadOnly,
    Mutating,
}

impl RequestKind {
    pub const ALL: [Self; 2] = [Self::Mutating, Self::ReadOnly];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::Mutating => "mutating",
        }
    }
}

const NOTHING: Gvr = Gvr { group: Cow::Borrowed(""), version: Cow::Borrowed(""), resource: Cow::Borrowed("") };

/// Paths that are counted by themselves; all others together.
const PATHS: &[&str] =
    &["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];

impl Labels {
    pub fn of_path(method: &Method, path: &str) -> Self {
        let known = PATHS
            .iter()
            .copied()
            .find(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let verb = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        Self { resource: NOTHING, subresource: known.unwrap_or_default(), scope: "", verb, dry_run: false }
    }

    pub fn of_resource(resource: &Resource, info: &ResourceRequest, params: &Params, headers: &HeaderMap) -> Self {
        let subresource = resource.subresources.iter().find(|subresource| subresource.path() == info.subresource);
        let scope = match (info.name.is_empty(), info.namespace.is_empty()) {
            _ if info.verb == Verb::Create => "resource",
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        let verb = match info.verb {
            _ if matches!(subresource, Some(Subresource::Connect(path)) if *path != "log") => "CONNECT",
            Verb::Get => "GET",
            Verb::List => "LIST",
            Verb::Watch => "WATCH",
            Verb::Create => "POST",
            Verb::Update => "PUT",
            Verb::Patch if is_apply(headers) => "APPLY",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
            Verb::DeleteCollection => "DELETECOLLECTION",
            Verb::Options => "OPTIONS",
        };
        let subresource = subresource.map_or("", Subresource::path);
        Self { resource: resource.gvr.clone(), subresource, scope, verb, dry_run: params.get("dryRun").is_some() }
    }

    pub(super) fn plain(&self) -> String {
        self.text("")
    }

    pub(super) fn with_dry_run(&self) -> String {
        self.text(if self.dry_run { "dry_run=\"All\"," } else { "dry_run=\"\"," })
    }

    fn text(&self, dry_run: &str) -> String {
        let Self { resource: Gvr { group, version, resource }, subresource, scope, verb, .. } = self;
        format!(
            "component=\"apiserver\",{dry_run}group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
             subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}

fn is_apply(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/apply-patch"))
}
