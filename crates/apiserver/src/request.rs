//! What a request asks for, read from its method and path: the attributes that every later stage works by.
//!
//! Paths and verbs are upstream's (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>).

use std::fmt;

use api::{Gvr, Key};
use http::Method;

use crate::verbs::Params;

/// What a client wants done with a resource, in RBAC's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// `OPTIONS`, which only what lies behind a proxy answers. RBAC has no word for it, so it takes the right to `*`.
    Options,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Options => "",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request for a resource. `namespace`, `name` and `subresource` are empty where the path has none; `tail` is what
/// follows a proxy subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    pub verb: Verb,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub tail: String,
}

impl ResourceRequest {
    /// For one object, or with an empty name for its collection.
    pub fn of(verb: Verb, gvr: &Gvr, key: &Key, subresource: &str) -> Self {
        Self {
            verb,
            group: gvr.group.to_string(),
            version: gvr.version.to_string(),
            resource: gvr.resource.to_string(),
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            subresource: subresource.to_owned(),
            tail: String::new(),
        }
    }
}

/// Everything that a path can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestInfo {
    Resource(ResourceRequest),
    /// `/healthz`, `/version`, discovery: authorized by path and lower-cased method.
    NonResource {
        verb: String,
        path: String,
    },
}

/// Subresources of a namespace; anything else after `/namespaces/NAME/` is a resource inside it.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

impl RequestInfo {
    /// Reads method and path. `None` where the path is a resource's but the method has no meaning for one.
    pub fn parse(method: &Method, path: &str, params: &Params) -> Option<Self> {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", rest @ ..] if rest.len() >= 2 => ("", rest),
            ["apis", group, rest @ ..] if rest.len() >= 2 => (*group, rest),
            _ => return Some(Self::NonResource { verb: method.as_str().to_lowercase(), path: path.to_owned() }),
        };
        let (version, rest) = rest.split_first()?;
        let (watched, rest) = match rest {
            // The old form of a watch, `/api/v1/watch/pods`.
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            _ => (false, rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, resource, ..] if !NAMESPACE_SUBRESOURCES.contains(resource) => {
                (*namespace, &rest[2..])
            }
            _ => ("", rest),
        };
        let at = |position: usize| rest.get(position).copied().unwrap_or_default().to_owned();
        let verb = verb(method, at(1).is_empty(), watched || params.flag("watch"))?;
        let tail = rest.get(3..).unwrap_or_default().join("/");
        Some(Self::Resource(ResourceRequest {
            verb: if watched { Verb::Watch } else { verb },
            group: group.to_owned(),
            version: (*version).to_owned(),
            resource: at(0),
            namespace: namespace.to_owned(),
            name: at(1),
            subresource: at(2),
            tail,
        }))
    }
}

fn verb(method: &Method, is_collection: bool, is_watch: bool) -> Option<Verb> {
    Some(match *method {
        Method::GET | Method::HEAD if is_collection && is_watch => Verb::Watch,
        Method::GET | Method::HEAD if is_collection => Verb::List,
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if is_collection => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        Method::OPTIONS if !is_collection => Verb::Options,
        _ => return None,
    })
}

/// A path segment without its percent signs. A `+` stays: only queries write spaces so.
fn decode(part: &str) -> String {
    if part.contains('%') { crate::verbs::unescape(&part.replace('+', "%2B")) } else { part.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(method: &Method, url: &str, expected: &Expect) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let text = match RequestInfo::parse(method, path, &Params::parse(query)) {
            None => "method not allowed".to_owned(),
            Some(RequestInfo::NonResource { verb, path }) => format!("{verb} {path}"),
            Some(RequestInfo::Resource(r)) => format!(
                "{} g={} v={} r={} ns={} n={} s={} t={}",
                r.verb, r.group, r.version, r.resource, r.namespace, r.name, r.subresource, r.tail
            ),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn what_is_no_resource_is_named_by_its_path() {
        let get = &Method::GET;
        check(get, "/", &expect!["get /"]);
        check(get, "/api", &expect!["get /api"]);
        check(get, "/api/v1", &expect!["get /api/v1"]);
        check(get, "/apis/apps", &expect!["get /apis/apps"]);
        check(get, "/apis/apps/v1", &expect!["get /apis/apps/v1"]);
        check(get, "/healthz?verbose", &expect!["get /healthz"]);
        check(&Method::POST, "/healthz/ping", &expect!["post /healthz/ping"]);
    }

    #[test]
    fn collections_and_objects_are_told_apart() {
        let get = &Method::GET;
        check(get, "/api/v1/pods", &expect!["list g= v=v1 r=pods ns= n= s= t="]);
        check(get, "/api/v1/pods?watch=true", &expect!["watch g= v=v1 r=pods ns= n= s= t="]);
        check(get, "/api/v1/watch/pods", &expect!["watch g= v=v1 r=pods ns= n= s= t="]);
        check(get, "/api/v1/namespaces/n/pods", &expect!["list g= v=v1 r=pods ns=n n= s= t="]);
        check(get, "/api/v1/namespaces/n/pods/p", &expect!["get g= v=v1 r=pods ns=n n=p s= t="]);
        check(get, "/api/v1/namespaces/n/pods/p?watch=1", &expect!["get g= v=v1 r=pods ns=n n=p s= t="]);
        check(&Method::DELETE, "/api/v1/namespaces/n/pods", &expect!["deletecollection g= v=v1 r=pods ns=n n= s= t="]);
        check(&Method::DELETE, "/api/v1/nodes/x", &expect!["delete g= v=v1 r=nodes ns= n=x s= t="]);
        check(&Method::OPTIONS, "/api/v1/nodes", &expect!["method not allowed"]);
        check(&Method::TRACE, "/api/v1/nodes/x", &expect!["method not allowed"]);
    }

    #[test]
    fn namespaces_are_resources_too() {
        let get = &Method::GET;
        check(get, "/api/v1/namespaces", &expect!["list g= v=v1 r=namespaces ns= n= s= t="]);
        check(get, "/api/v1/namespaces/n", &expect!["get g= v=v1 r=namespaces ns= n=n s= t="]);
        check(
            &Method::PUT,
            "/api/v1/namespaces/n/finalize",
            &expect!["update g= v=v1 r=namespaces ns= n=n s=finalize t="],
        );
    }

    #[test]
    fn subresources_and_what_follows_them_are_kept() {
        let get = &Method::GET;
        check(get, "/api/v1/namespaces/n/pods/p/log", &expect!["get g= v=v1 r=pods ns=n n=p s=log t="]);
        check(
            get,
            "/api/v1/namespaces/n/services/s:http/proxy/a/b%20c",
            &expect!["get g= v=v1 r=services ns=n n=s:http s=proxy t=a/b c"],
        );
        check(
            &Method::PATCH,
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            &expect!["patch g=apps v=v1 r=deployments ns=n n=d s=scale t="],
        );
        check(get, "/apis/apps/v1/namespaces/n/x/a%2Bb+c", &expect!["get g=apps v=v1 r=x ns=n n=a+b+c s= t="]);
    }
}
