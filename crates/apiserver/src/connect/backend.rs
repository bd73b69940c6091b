//! Whoever answers a connect subresource - a kubelet, or what listens in a pod - and one request to it.
//!
//! A connection carries one request: its answer may be a stream that lasts for hours, and nothing is pooled that could
//! be found broken later.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use stdx::{authority, dial_error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::http::body::{Body, BoxError};
use crate::http::listen::prepare;

/// Go's default, which upstream leaves as it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Backend {
    pub tls: Option<TlsConnector>,
    pub host: String,
    pub port: u16,
}

impl Backend {
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// Sends a request and gives the head of its answer. The error is why there is none, as Go would tell it.
    pub async fn ask(&self, request: Request<Body>) -> Result<Response<Incoming>, String> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let mut sender = connected.unwrap_or_else(|_| Err(format!("dial tcp {}: i/o timeout", self.authority())))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| if error.is_incomplete_message() { "EOF".to_owned() } else { chain(&error) })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Body>, String> {
        let to = self.authority();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| dial_error(&to, &error))?;
        prepare(&stream).map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return speak(stream).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        speak(tls.connect(name, stream).await.map_err(|error| no_tls(&error))?).await
    }
}

async fn speak<S>(stream: S) -> Result<http1::SendRequest<Body>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends by itself with the request, or when the answer's body is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the connection to a backend broke");
        }
    });
    Ok(sender)
}

fn no_tls(error: &std::io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => "tls: first record does not look like a TLS handshake".to_owned(),
        _ => format!("tls: {error}"),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// The body of a backend's answer, which ends when the server stops.
pub fn streamed(body: Incoming, stopping: &CancellationToken) -> Body {
    let frames = BodyStream::new(body);
    let stop = Box::pin(stopping.clone().cancelled_owned());
    let frames = futures::StreamExt::take_until(frames, crate::http::body::exclusive(stop));
    StreamBody::new(futures::TryStreamExt::map_err(frames, BoxError::from)).boxed()
}
