//! ServiceAccount tokens: JSON web tokens signed with ES256 (RFC 7515, RFC 7518).
//!
//! Issuing and verifying are pure over `now`. Whether the objects that a token is bound to still exist is the API
//! server's question, not asked here.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::authority::read_key;
use crate::error::PkiError;
use crate::file;
use crate::key::{Key, spki};

/// A token is refused before it is decoded when it is longer than this.
const TOKEN_LEN_MAX: usize = 16 << 10;

/// Why a token is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("not a JSON web token")]
    Malformed,
    #[error("signed by an unknown key, or not with ES256")]
    UnknownKey,
    #[error("the signature does not fit")]
    Forged,
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    #[error("the token is not valid before {0}")]
    NotYetValid(Timestamp),
    #[error("issued by {0}")]
    WrongIssuer(String),
    #[error("meant for the audiences {0:?}")]
    WrongAudience(Vec<String>),
}

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
    pub nbf: i64,
    pub sub: String,
}

/// The objects that a token lives and dies with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// The key that signs the cluster's tokens.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
    id: String,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl TokenKey {
    /// Reads `sa.key` in `directory`, or makes it.
    pub fn load_or_create(directory: &Path) -> Result<Self, PkiError> {
        let path = directory.join("sa.key");
        if let Some(text) = file::read(&path)? {
            return Self::new(&read_key(&text, &path)?);
        }
        file::make_directory(directory)?;
        let key = Key::generate();
        file::write_atomically(&path, key.to_pem().as_bytes(), file::SECRET)?;
        Self::new(&key)
    }

    /// A key that exists in memory only, for tests and simulations.
    pub fn ephemeral() -> Result<Self, PkiError> {
        Self::new(&Key::generate())
    }

    fn new(key: &Key) -> Result<Self, PkiError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8(), &SystemRandom::new());
        let pair = pair.map_err(|why| PkiError::Key(why.to_string()))?;
        let public = key.public().to_vec();
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, &spki(&public)));
        Ok(Self { pair, public, id })
    }

    /// The signed token.
    pub fn issue(&self, claims: &Claims) -> String {
        let header = serde_json::json!({"alg": "ES256", "kid": self.id});
        let claims = serde_json::to_vec(claims).expect("invariant: claims always encode");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.expect("invariant: the operating system hands out random bytes");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The claims of a token that we signed, that is valid at `now`, and that one of `audiences` may take.
    pub fn verify(
        &self,
        token: &str,
        issuer: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        let claims = self.verify_signature(token)?;
        let at = |second| Timestamp::from_second(second).map_err(|_| TokenError::Malformed);
        if claims.iss != issuer {
            return Err(TokenError::WrongIssuer(claims.iss));
        }
        let (not_before, expiry) = (at(claims.nbf)?, at(claims.exp)?);
        if now < not_before {
            return Err(TokenError::NotYetValid(not_before));
        }
        if now >= expiry {
            return Err(TokenError::Expired(expiry));
        }
        if !claims.aud.iter().any(|audience| audiences.contains(audience)) {
            return Err(TokenError::WrongAudience(claims.aud));
        }
        Ok(claims)
    }

    fn verify_signature(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != "ES256" || header.kid != self.id {
            return Err(TokenError::UnknownKey);
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public);
        public.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| TokenError::Forged)?;
        serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)
    }

    /// The public half as a JSON web key set, for `/openid/v1/jwks`.
    pub fn jwks(&self) -> serde_json::Value {
        // An uncompressed point is 0x04, then x and y of 32 bytes each.
        let (x, y) = self.public[1..].split_at(32);
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

/// RFC 7519 lets a single audience stand without a list.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(from)? {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const NOW: i64 = 1_800_000_000;

    fn claims() -> Claims {
        let serviceaccount = Reference { name: "default".to_owned(), uid: "u".to_owned() };
        Claims {
            aud: vec!["api".to_owned()],
            exp: NOW + 600,
            iat: NOW,
            iss: "us".to_owned(),
            jti: "j".to_owned(),
            kubernetes: Bound { namespace: "n".to_owned(), serviceaccount, ..Bound::default() },
            nbf: NOW,
            sub: "system:serviceaccount:n:default".to_owned(),
        }
    }

    fn check(change: fn(&mut Claims), at: i64, spoil: fn(String) -> String, expected: &Expect) {
        let key = TokenKey::ephemeral().unwrap();
        let mut claims = claims();
        change(&mut claims);
        let token = spoil(key.issue(&claims));
        let now = Timestamp::from_second(at).unwrap();
        let found = key.verify(&token, "us", &["api".to_owned()], now);
        expected.assert_eq(&found.map_or_else(|why| why.to_string(), |claims| claims.sub));
    }

    #[test]
    fn a_token_is_taken_only_whole_in_time_and_for_its_audience() {
        let whole = |token| token;
        check(|_| {}, NOW, whole, &expect!["system:serviceaccount:n:default"]);
        check(|_| {}, NOW + 600, whole, &expect!["the token expired at 2027-01-15T08:10:00Z"]);
        check(|_| {}, NOW - 1, whole, &expect!["the token is not valid before 2027-01-15T08:00:00Z"]);
        check(|c| c.aud = vec!["vault".to_owned()], NOW, whole, &expect![[r#"meant for the audiences ["vault"]"#]]);
        check(|c| c.iss = "them".to_owned(), NOW, whole, &expect!["issued by them"]);
        check(|_| {}, NOW, |token| token[..token.len() - 2].to_owned() + "AA", &expect!["the signature does not fit"]);
        check(|_| {}, NOW, |_| "a.b".to_owned(), &expect!["not a JSON web token"]);
        check(|_| {}, NOW, |_| "x".repeat(TOKEN_LEN_MAX + 1), &expect!["not a JSON web token"]);
    }

    #[test]
    fn a_token_of_another_cluster_or_without_signature_is_refused() {
        let now = Timestamp::from_second(NOW).unwrap();
        let (ours, theirs) = (TokenKey::ephemeral().unwrap(), TokenKey::ephemeral().unwrap());
        let audiences = ["api".to_owned()];
        let foreign = ours.verify(&theirs.issue(&claims()), "us", &audiences, now);
        assert_eq!(foreign, Err(TokenError::UnknownKey));
        let token = ours.issue(&claims());
        let body = token.split('.').nth(1).unwrap();
        let none = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        assert_eq!(ours.verify(&none, "us", &audiences, now), Err(TokenError::UnknownKey));
    }

    #[test]
    fn another_body_under_the_same_signature_is_forged() {
        let now = Timestamp::from_second(NOW).unwrap();
        let key = TokenKey::ephemeral().unwrap();
        let token = key.issue(&claims());
        let parts: Vec<&str> = token.split('.').collect();
        let mut other = claims();
        other.sub = "system:serviceaccount:kube-system:admin".to_owned();
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        let forged = format!("{}.{body}.{}", parts[0], parts[2]);
        assert_eq!(key.verify(&forged, "us", &["api".to_owned()], now), Err(TokenError::Forged));
    }
}
