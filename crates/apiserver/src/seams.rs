//! What the engine asks of the other half of the API server: who may do what, and tokens.
//!
//! Both come in by [`crate::Engine::connect`] after the engine stands, because their implementers read the engine's
//! caches (roles, bindings, service accounts, secrets).

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Gvr, Status};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::user::User;

/// What somebody wants to do, in the words of a SubjectAccessReview. `path` is set for what is no resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub verb: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub path: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Refused by a rule, not only not allowed by any.
    pub denied: bool,
    pub reason: String,
}

pub trait Authorizer: Send + Sync {
    fn authorize(&self, user: &User, access: &Access) -> Decision;
    /// `status` of a SelfSubjectRulesReview: resourceRules, nonResourceRules, incomplete.
    fn rules(&self, user: &User, namespace: &str) -> Value;
    /// Refuses a role or binding that grants more than `user` holds. The engine asks for every create and update
    /// (patches and apply included) in the group rbac.authorization.k8s.io, once `object` is final.
    fn may_grant(&self, user: &User, resource: &Gvr, object: &Value, old: Option<&Value>) -> Result<(), Status>;
}

/// What a token of a service account is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenClaims {
    pub namespace: String,
    pub service_account: String,
    pub service_account_uid: String,
    /// Empty means the API server's own.
    pub audiences: Vec<String>,
    pub expiration_secs: i64,
    /// kind (`Pod`, `Secret`, `Node`), name, uid.
    pub bound: Option<(String, String, String)>,
    /// Name and uid of the node of the bound pod.
    pub node: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    pub token: String,
    pub expires: Timestamp,
    pub audiences: Vec<String>,
}

/// A token that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewedToken {
    pub user: User,
    pub audiences: Vec<String>,
}

#[async_trait]
pub trait Tokens: Send + Sync {
    async fn issue(&self, claims: TokenClaims) -> Result<IssuedToken, Status>;
    /// The error is the text that the review's status carries.
    async fn review(&self, token: &str, audiences: &[String]) -> Result<ReviewedToken, String>;
}

/// The other half of the API server, as the engine sees it.
#[derive(Clone)]
pub struct Seams {
    pub authorizer: Arc<dyn Authorizer>,
    pub tokens: Arc<dyn Tokens>,
}

/// `extra` of a user as reviews print it.
pub(crate) fn extra_tree(extra: &BTreeMap<String, Vec<String>>) -> Value {
    extra
        .iter()
        .map(|(key, values)| (key.clone(), Value::from(values.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
