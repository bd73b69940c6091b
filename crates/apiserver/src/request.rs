//! What a request asks for, read from its method and path: the attributes that every later stage works by.
//!
//! Paths and verbs are upstream's (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>).

use std::fmt;

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
