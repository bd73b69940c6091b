//! Service account tokens for projected volumes: asked from the API server for the very pod, and renewed at 80 % of
//! their life or after a day.

use std::collections::BTreeMap;

use client::{Client, Error};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::pod::PodRef;

const LIFE_DEFAULT_SECS: i64 = 3600;
const AGE_MAX_SECS: i64 = 24 * 3600;

/// The tokens that one pod holds, by volume and position of the source.
#[derive(Default)]
pub struct Tokens(BTreeMap<(String, usize), Token>);

struct Token {
    text: String,
    renew_at: Timestamp,
}

impl Tokens {
    /// Fetches what the pod's volumes need and does not have, or has for too long.
    pub async fn refresh(&mut self, client: &Client, pod: &PodRef, now: Timestamp) -> client::Result<()> {
        for volume in pod.spec().volumes.iter().flatten() {
            let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
            for (position, source) in sources.into_iter().flatten().enumerate() {
                let Some(wanted) = &source.service_account_token else { continue };
                let key = (volume.name.clone(), position);
                if self.0.get(&key).is_some_and(|token| now < token.renew_at) {
                    continue;
                }
                let audience = wanted.audience.as_deref().filter(|audience| !audience.is_empty());
                let life = wanted.expiration_seconds.unwrap_or(LIFE_DEFAULT_SECS);
                match fetch(client, pod, audience, life, now).await {
                    Ok(token) => drop(self.0.insert(key, token)),
                    // A token that is still held stays good until its end.
                    Err(status) if self.0.contains_key(&key) => tracing::warn!("cannot renew a token: {status}"),
                    Err(status) => return Err(status),
                }
            }
        }
        Ok(())
    }

    /// The tokens of one volume by position.
    pub fn of_volume(&self, volume: &str) -> BTreeMap<usize, String> {
        let of_volume = self.0.iter().filter(|((name, _), _)| name == volume);
        of_volume.map(|((_, position), token)| (*position, token.text.clone())).collect()
    }

    /// When the next one must be renewed.
    pub fn renew_at(&self) -> Option<Timestamp> {
        self.0.values().map(|token| token.renew_at).min()
    }
}

async fn fetch(
    client: &Client,
    pod: &PodRef,
    audience: Option<&str>,
    life_secs: i64,
    now: Timestamp,
) -> client::Result<Token> {
    let account = pod.spec().service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audience.into_iter().collect::<Vec<_>>(),
            "expirationSeconds": life_secs,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid()},
        },
    });
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace());
    let answer = client.post(&path, &request).await;
    let answer = answer.map_err(|error| Error::Decode(format!("failed to fetch token: {error}")))?;
    let text = answer.pointer("/status/token").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let expires = answer.pointer("/status/expirationTimestamp").and_then(serde_json::Value::as_str);
    let expires = expires.and_then(|text| text.parse().ok()).unwrap_or(now + SignedDuration::from_secs(life_secs));
    let life = expires.duration_since(now).as_secs();
    let renew_in = (life * 8 / 10).clamp(10, AGE_MAX_SECS);
    Ok(Token { text, renew_at: now + SignedDuration::from_secs(renew_in) })
}
