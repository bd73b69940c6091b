//! ServiceAccount tokens: issuing them, and telling whose a token is while what it is bound to still exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Gvr, Key, Object, Status};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use pki::{Bound, Claims, Reference, TokenError, TokenKey};

use crate::Engine;
use crate::filters::authn::{AUTHENTICATED, CREDENTIAL_ID};
use crate::seams::{IssuedToken, ReviewedToken, TokenClaims, Tokens};
use crate::user::User;

/// A kubelet asks for this lifetime for the token that every pod gets. Clients that never read the file again would
/// fail after an hour, so such a token is valid for a year and carries the hour as `warnafter`, as upstream's.
const POD_TOKEN_SECS: i64 = 3607;
const EXTENDED_SECS: i64 = 365 * 24 * 3600;
/// A token outlives its deleted pod or account by this, so that a container can still use it while it ends.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

const PODS: Gvr = Gvr::new("", "v1", "pods");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const USER_PREFIX: &str = "system:serviceaccount:";

/// Namespace and name of the ServiceAccount that a user name stands for.
pub fn service_account_of(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(USER_PREFIX)?
        .split_once(':')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
}

pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

pub struct ServiceAccountTokens {
    engine: Arc<Engine>,
    key: Arc<TokenKey>,
    issuer: String,
}

impl ServiceAccountTokens {
    pub fn new(engine: Arc<Engine>, key: Arc<TokenKey>, issuer: String) -> Self {
        Self { engine, key, issuer }
    }

    fn claims(&self, wanted: TokenClaims, now: Timestamp) -> Claims {
        let audiences = if wanted.audiences.is_empty() { vec![self.issuer.clone()] } else { wanted.audiences };
        let seconds = now.as_second();
        let is_pod = wanted.bound.as_ref().is_some_and(|(kind, ..)| kind == "Pod");
        let extended = is_pod && wanted.expiration_secs == POD_TOKEN_SECS && audiences.contains(&self.issuer);
        let lifetime = if extended { EXTENDED_SECS } else { wanted.expiration_secs };
        let mut bound = Bound {
            namespace: wanted.namespace.clone(),
            serviceaccount: Reference { name: wanted.service_account.clone(), uid: wanted.service_account_uid },
            node: wanted.node.map(|(name, uid)| Reference { name, uid }),
            warnafter: extended.then_some(seconds + wanted.expiration_secs),
            ..Bound::default()
        };
        if let Some((kind, name, uid)) = wanted.bound {
            let reference = Some(Reference { name, uid });
            match kind.as_str() {
                "Pod" => bound.pod = reference,
                "Secret" => bound.secret = reference,
                _ => bound.node = reference,
            }
        }
        Claims {
            aud: audiences,
            exp: seconds + lifetime,
            iat: seconds,
            iss: self.issuer.clone(),
            jti: self.engine.rng().uuid(),
            kubernetes: bound,
            nbf: seconds,
            sub: format!("{USER_PREFIX}{}:{}", wanted.namespace, wanted.service_account),
        }
    }

    /// The objects that the token needs are still there, and are the same ones.
    fn check_bound(&self, bound: &Bound, now: Timestamp) -> Result<(), String> {
        let namespace = &bound.namespace;
        self.exists(&SERVICE_ACCOUNTS, "service account", namespace, &bound.serviceaccount, now)?;
        if let Some(pod) = &bound.pod {
            self.exists(&PODS, "pod", namespace, pod, now)?;
        }
        if let Some(secret) = &bound.secret {
            self.exists(&SECRETS, "secret", namespace, secret, now)?;
        }
        match &bound.node {
            // With a pod, the node is said for information only; the pod's end is the token's end.
            Some(node) if bound.pod.is_none() => self.exists(&NODES, "node", "", node, now),
            _ => Ok(()),
        }
    }

    fn exists(&self, gvr: &Gvr, what: &str, namespace: &str, wanted: &Reference, now: Timestamp) -> Result<(), String> {
        let table = self.engine.table(gvr).ok_or_else(|| format!("{what}s are not served"))?;
        let Some(object) = table.get(&Key::new(namespace, &wanted.name)) else {
            return Err(format!("{what} {namespace}/{} has been deleted", wanted.name));
        };
        if !wanted.uid.is_empty() && object.uid() != wanted.uid {
            return Err(format!("{what} UID ({}) does not match claim ({})", object.uid(), wanted.uid));
        }
        if is_over(object, now) { Err(format!("{what} {namespace}/{} has been deleted", wanted.name)) } else { Ok(()) }
    }
}

fn is_over(object: &Object, now: Timestamp) -> bool {
    object.meta().deletion_timestamp.is_some_and(|at| now > at + LEEWAY)
}

#[async_trait]
impl Tokens for ServiceAccountTokens {
    async fn issue(&self, claims: TokenClaims) -> Result<IssuedToken, Status> {
        let now = self.engine.clock().now();
        let expires = now + SignedDuration::from_secs(claims.expiration_secs);
        let claims = self.claims(claims, now);
        Ok(IssuedToken { token: self.key.issue(&claims), expires, audiences: claims.aud })
    }

    async fn review(&self, token: &str, audiences: &[String]) -> Result<ReviewedToken, String> {
        let own = [self.issuer.clone()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let now = self.engine.clock().now();
        let claims = self.key.verify(token, &self.issuer, wanted, now).map_err(|why| refusal(&why))?;
        if self.check_bound(&claims.kubernetes, now).is_err() {
            // The objects may have been made by another server a moment ago.
            let _ = self.engine.caches().catch_up(&**self.engine.store()).await;
            self.check_bound(&claims.kubernetes, now)?;
        }
        let audiences = claims.aud.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        Ok(ReviewedToken { user: user(&claims), audiences })
    }
}

fn user(claims: &Claims) -> User {
    let bound = &claims.kubernetes;
    let mut extra = BTreeMap::new();
    let mut note = |key: &str, value: &str| {
        if !value.is_empty() {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if let Some(pod) = &bound.pod {
        note("pod-name", &pod.name);
        note("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        note("node-name", &node.name);
        note("node-uid", &node.uid);
    }
    if !claims.jti.is_empty() {
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)]);
    }
    let mut groups = service_account_groups(&bound.namespace);
    groups.push(AUTHENTICATED.to_owned());
    User {
        name: format!("{USER_PREFIX}{}:{}", bound.namespace, bound.serviceaccount.name),
        uid: bound.serviceaccount.uid.clone(),
        groups,
        extra,
    }
}

/// A token that no issuer of ours has made is just invalid, as in upstream's words.
fn refusal(why: &TokenError) -> String {
    match why {
        TokenError::Malformed | TokenError::WrongIssuer(_) => "invalid bearer token".to_owned(),
        other => other.to_string(),
    }
}
