//! Who asks: a client certificate, a bearer token, or nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Status;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use ring::digest::{SHA256, digest};

use crate::seams::Tokens;
use crate::tokens::ServiceAccountTokens;
use crate::user::User;

pub const ANONYMOUS: &str = "system:anonymous";
pub const AUTHENTICATED: &str = "system:authenticated";
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// What a protocol of a WebSocket begins with that is a token.
pub const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Tells users by what they show.
pub struct Authenticator {
    tokens: Arc<ServiceAccountTokens>,
    fixed: BTreeMap<[u8; 32], User>,
    anonymous: bool,
}

impl Authenticator {
    pub fn new(tokens: Arc<ServiceAccountTokens>, fixed: Vec<(String, User)>, anonymous: bool) -> Self {
        let fixed = fixed.into_iter().map(|(token, user)| (hash(token.as_bytes()), user)).collect();
        Self { tokens, fixed, anonymous }
    }

    /// A certificate comes before a token, as upstream has it; who shows a token that is no good is refused.
    pub async fn authenticate(&self, token: Option<String>, certificate: Option<Arc<User>>) -> Result<User, Status> {
        if let Some(user) = certificate {
            return Ok(Arc::unwrap_or_clone(user));
        }
        match token {
            Some(token) => self.token_user(&token).await,
            None if self.anonymous => Ok(anonymous()),
            None => Err(Status::unauthorized()),
        }
    }

    async fn token_user(&self, token: &str) -> Result<User, Status> {
        // Looked up by hash, so that the time it takes tells nothing about the token.
        if let Some(user) = self.fixed.get(&hash(token.as_bytes())) {
            return Ok(user.clone());
        }
        match self.tokens.review(token, &[]).await {
            Ok(reviewed) => Ok(reviewed.user),
            Err(why) => {
                tracing::debug!(why, "refused a bearer token");
                Err(Status::unauthorized())
            }
        }
    }
}

/// The token of a request. Another scheme of authorization counts as none.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let Some(value) = headers.get(AUTHORIZATION) else { return websocket_token(headers) };
    let value = value.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty()).map(str::to_owned)
}

/// A browser shows its token as one of the protocols of a WebSocket, beside one that it means.
fn websocket_token(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let protocols: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let token = protocols.iter().find_map(|one| one.strip_prefix(WEBSOCKET_TOKEN)).filter(|_| protocols.len() > 1)?;
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok().filter(|token| !token.is_empty())
}

fn anonymous() -> User {
    User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() }
}

/// The user that a verified client certificate names. A certificate without a common name names nobody.
pub fn user_of_certificate(certificate: &[u8]) -> Option<User> {
    let subject = pki::subject_of(certificate).ok().filter(|subject| !subject.common_name.is_empty())?;
    let groups = subject.organizations.into_iter().chain([AUTHENTICATED.to_owned()]).collect();
    let hex: String = hash(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={hex}")])]);
    Some(User { name: subject.common_name, groups, extra, ..User::default() })
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
