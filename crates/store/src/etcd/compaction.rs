//! Forgets history by age, once for all processes that share the etcd.
//!
//! ```text
//! every window: swap our newest revision into the shared key, if nobody did since we looked
//!               won  --> compact up to what was the newest a window ago
//!               lost --> somebody else does it; look again a window later
//! ```
//! So what is forgotten is at least one window old, and at most two.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::client::{Client, TXN, at};
use super::failure::Failure;
use super::keys::number;
use super::proto::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse};
use crate::{Revision, StoreError};

/// What this process knows of the shared key.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// When the key was last modified, as far as we know.
    seen: i64,
    /// The newest revision of a window ago.
    known: Revision,
}

pub(super) async fn run(client: Arc<Client>, key: Bytes, window: Duration) {
    let mut turn = Turn::default();
    loop {
        tokio::time::sleep(window).await;
        if let Err(error) = turn.take(&client, &key).await {
            tracing::warn!(%error, "cannot compact etcd");
        }
    }
}

impl Turn {
    /// Returns the revision before which history was forgotten, if it was our turn.
    pub async fn take(&mut self, client: &Client, key: &Bytes) -> Result<Option<Revision>, StoreError> {
        let newest = client.newest().await?;
        let put = PutRequest { key: key.clone(), value: newest.to_string().into() };
        let look = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let request = TxnRequest {
            compare: vec![Compare::modified_at(key.clone(), self.seen)],
            success: vec![RequestOp { put: Some(put), ..RequestOp::default() }],
            failure: vec![RequestOp { range: Some(look), ..RequestOp::default() }],
        };
        // Where an answer is lost and the swap is tried again, it is lost to ourselves, and made up for a window later.
        let response: TxnResponse = client.read(TXN, &request).await.map_err(|failure| match failure {
            Failure::Final(error) => error,
            other => StoreError::Io(format!("{other:?}")),
        })?;
        let known = std::mem::replace(&mut self.known, newest);
        if !response.succeeded {
            let found = response.responses.first().and_then(|op| op.range.as_ref()?.kvs.first());
            self.seen = found.map_or(0, |kv| kv.mod_revision);
            return Ok(None);
        }
        self.seen = number(at(response.header));
        if known == Revision::ZERO {
            return Ok(None);
        }
        super::compact(client, known).await?;
        Ok(Some(known))
    }
}
