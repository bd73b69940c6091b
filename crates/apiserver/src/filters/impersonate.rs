//! Acting as somebody else: the `Impersonate-*` headers, each of which must be allowed by itself.

use std::collections::BTreeMap;

use api::Status;
use http::HeaderMap;

use super::authn::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use super::authz::forbidden;
use crate::rbac::Rbac;
use crate::seams::Access;
use crate::tokens::{service_account_groups, service_account_of};
use crate::user::User;

const EXTRA: &str = "impersonate-extra-";

/// The user that the request is for.
pub fn apply(rbac: &Rbac, user: User, headers: &HeaderMap) -> Result<User, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    for access in accesses(&wanted) {
        if !rbac.allows(&user, &access) {
            return Err(forbidden(&user, &access));
        }
    }
    Ok(complete(wanted))
}

fn wanted(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let values = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let one = |name: &str| values(name).into_iter().next().unwrap_or_default();
    let (name, uid, groups) = (one("impersonate-user"), one("impersonate-uid"), values("impersonate-group"));
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers {
        if let (Some(key), Ok(value)) = (header.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra.entry(crate::verbs::unescape(key)).or_default().push(value.to_owned());
        }
    }
    if !name.is_empty() {
        return Ok(Some(User { name, uid, groups, extra }));
    }
    if uid.is_empty() && groups.is_empty() && extra.is_empty() {
        return Ok(None);
    }
    let what = if groups.is_empty() { format!("{extra:?}") } else { format!("{groups:?}") };
    Err(Status::internal(format!("requested {what} without impersonating a user")))
}

/// What one must be allowed to, to be this user.
fn accesses(wanted: &User) -> Vec<Access> {
    let access = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Access {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        path: None,
    };
    let mut list = vec![match service_account_of(&wanted.name) {
        Some((namespace, name)) => access("", "serviceaccounts", "", namespace, name),
        None => access("", "users", "", "", &wanted.name),
    }];
    list.extend(wanted.groups.iter().map(|group| access("", "groups", "", "", group)));
    if !wanted.uid.is_empty() {
        list.push(access("authentication.k8s.io", "uids", "", "", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        list.extend(values.iter().map(|value| access("authentication.k8s.io", "userextras", key, "", value)));
    }
    list
}

/// Adds the groups that go without saying.
fn complete(mut user: User) -> User {
    if let Some((namespace, _)) = service_account_of(&user.name)
        && user.groups.is_empty()
    {
        user.groups = service_account_groups(namespace);
    }
    let implied = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        user.groups.push(implied.to_owned());
    }
    user
}
