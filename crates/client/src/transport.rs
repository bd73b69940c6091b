//! The seam between a client and the API server: one HTTP request, one streamed answer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;

/// A streamed answer.
pub type Body = BoxBody<Bytes, TransportError>;

/// Why a request got no answer, or the answer broke off.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransportError {
    #[error("cannot connect to {to}: {source}")]
    Connect { to: String, source: Arc<dyn std::error::Error + Send + Sync> },
    #[error("the connection broke: {0}")]
    Broken(Arc<dyn std::error::Error + Send + Sync>),
    #[error("timed out")]
    Timeout,
}

/// Sends requests to an API server as one identity.
#[async_trait]
pub trait Transport: Send + Sync {
    /// `request`'s URI is a path with a query; the transport knows the server and adds the identity.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, TransportError>;
}
