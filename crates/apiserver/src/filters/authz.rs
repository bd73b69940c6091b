//! Whether the user may: the request in RBAC's words, and upstream's words when it may not.

use api::Status;
use api::status::{About, Details};

use crate::rbac::Rbac;
use crate::request::{RequestInfo, ResourceRequest, Verb};
use crate::seams::Access;
use crate::user::User;
use crate::verbs::Params;

pub fn check(rbac: &Rbac, user: &User, info: &RequestInfo, params: &Params) -> Result<(), Status> {
    let access = match info {
        RequestInfo::NonResource { verb, path } => {
            Access { verb: verb.clone(), path: Some(path.clone()), ..Access::default() }
        }
        RequestInfo::Resource(info) => of(info, params),
    };
    if rbac.allows(user, &access) { Ok(()) } else { Err(forbidden(user, &access)) }
}

fn of(info: &ResourceRequest, params: &Params) -> Access {
    // A namespace is inside itself, so that a Role in it can allow reading it.
    let is_namespace = info.group.is_empty() && info.resource == "namespaces";
    let namespace = if is_namespace { &info.name } else { &info.namespace };
    // Listing what has one given name is judged like reading it.
    let by_name = matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection) && info.name.is_empty();
    let selected = by_name.then(|| params.get("fieldSelector").and_then(selected_name)).flatten();
    Access {
        verb: info.verb.as_str().to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: namespace.clone(),
        name: selected.unwrap_or(&info.name).to_owned(),
        path: None,
    }
}

fn selected_name(selector: &str) -> Option<&str> {
    let term = selector.split(',').find_map(|term| term.trim().strip_prefix("metadata.name="))?;
    Some(term.strip_prefix('=').unwrap_or(term)).filter(|name| !name.is_empty())
}

/// Upstream's refusal.
pub fn forbidden(user: &User, access: &Access) -> Status {
    let who = format!("User {:?} cannot {}", user.name, access.verb);
    if let Some(path) = &access.path {
        let message = format!("forbidden: {who} path {path:?}");
        return Status::failure(403, "Forbidden", message).with_details(Details::default());
    }
    let place = match access.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let resource = match access.subresource.as_str() {
        "" => access.resource.clone(),
        subresource => format!("{}/{subresource}", access.resource),
    };
    let why = format!("{who} resource {resource:?} in API group {:?} {place}", access.group);
    Status::forbidden(About { group: &access.group, resource: &access.resource, name: &access.name }, &why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use http::Method;

    fn check(method: &Method, url: &str, expected: &Expect) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let params = Params::parse(query);
        let access = match RequestInfo::parse(method, path, &params).unwrap() {
            RequestInfo::Resource(info) => of(&info, &params),
            RequestInfo::NonResource { verb, path } => Access { verb, path: Some(path), ..Access::default() },
        };
        let user = User { name: "jane".to_owned(), ..User::default() };
        expected.assert_eq(&forbidden(&user, &access).message);
    }

    #[test]
    fn refusals_are_worded_as_upstream_words_them() {
        let get = &Method::GET;
        check(
            get,
            "/api/v1/namespaces/default/pods",
            &expect![[
                r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#
            ]],
        );
        check(
            get,
            "/api/v1/namespaces/n/pods/p/log",
            &expect![[
                r#"pods "p" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "n""#
            ]],
        );
        check(
            get,
            "/api/v1/nodes",
            &expect![[
                r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope"#
            ]],
        );
        check(
            get,
            "/api/v1/namespaces/n",
            &expect![[
                r#"namespaces "n" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the namespace "n""#
            ]],
        );
        check(
            get,
            "/api/v1/namespaces/n/secrets?fieldSelector=metadata.name%3Ds&watch=1",
            &expect![[
                r#"secrets "s" is forbidden: User "jane" cannot watch resource "secrets" in API group "" in the namespace "n""#
            ]],
        );
        check(
            &Method::POST,
            "/apis/apps/v1/namespaces/n/deployments",
            &expect![[
                r#"deployments.apps is forbidden: User "jane" cannot create resource "deployments" in API group "apps" in the namespace "n""#
            ]],
        );
        check(get, "/metrics", &expect![[r#"forbidden: User "jane" cannot get path "/metrics""#]]);
    }
}
