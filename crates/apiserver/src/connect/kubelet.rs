//! The API server as a client of kubelets: TLS both ways, one connection a request.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pki::{Identity, PkiError};
use rustls::pki_types::{CertificateDer, ServerName};
use stdx::Clock;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{KubeletAddress, tunnel};
use crate::http::body::{Body, BoxError, Payload};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a kubelet's complaint is passed on.
const COMPLAINT_LEN_MAX: usize = 64 << 10;

/// Headers that concern one connection, or the client's identity, and are not passed on.
const OWN_HEADERS: &[HeaderName] = &[
    header::AUTHORIZATION,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
];

/// Reaches kubelets with the API server's client certificate.
pub struct Kubelets {
    client: Option<(TlsConnector, Arc<Identity>)>,
    clock: Arc<dyn Clock>,
}

impl Kubelets {
    pub fn new(
        authority: &CertificateDer<'static>,
        identity: Option<Arc<Identity>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PkiError> {
        let Some(identity) = identity else { return Ok(Self { client: None, clock }) };
        let config = pki::client_config(authority, Some(identity.clone()), &["http/1.1"])?;
        Ok(Self { client: Some((TlsConnector::from(Arc::new(config)), identity)), clock })
    }

    /// The connector, with a certificate that is renewed here when it is due.
    fn connector(&self) -> Result<TlsConnector, Status> {
        let client = self.client.as_ref().ok_or_else(|| unavailable("the API server has no identity for kubelets"));
        let (connector, identity) = client?;
        if let (_, Err(why)) = identity.renew_if_due(self.clock.now()) {
            tracing::warn!(%why, "cannot renew the certificate for kubelets");
        }
        Ok(connector.clone())
    }

    /// Passes a request on, and its answer back. An upgraded connection lives until either side ends it, or until
    /// `stopping`.
    pub async fn send(
        &self,
        address: KubeletAddress,
        path: String,
        parts: Parts,
        payload: Payload,
        stopping: &CancellationToken,
    ) -> Result<Response<Body>, Status> {
        let tls = self.connector()?;
        let target = format!("{} \"https://{}:{}{path}\"", parts.method, address.host, address.port);
        let failed = |why: String| Status::internal(format!("{target}: {why}"));
        let body = payload.read().await?;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(tls, address.clone())).await;
        let connected = connected.map_err(|_| failed("dial timed out".to_owned()))?;
        let mut sender = connected.map_err(|why| failed(why.to_string()))?;
        let request = request(&parts, &path, &address, body).map_err(|why| failed(why.to_string()))?;
        let response = sender.send_request(request).await.map_err(|why| failed(why.to_string()))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(tunnel::join(parts, response, stopping.clone()));
        }
        let (mut head, body) = response.into_parts();
        without_hop_headers(&mut head.headers);
        Ok(Response::from_parts(head, streamed(body, stopping)))
    }
}

async fn connect(tls: TlsConnector, address: KubeletAddress) -> Result<http1::SendRequest<Full<Bytes>>, BoxError> {
    let stream = TcpStream::connect((address.host.clone(), address.port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(address.host.clone())?;
    let stream = tls.connect(name, stream).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself with the request, or when the answer's body is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "the connection to a kubelet broke");
        }
    });
    Ok(sender)
}

fn request(parts: &Parts, path: &str, address: &KubeletAddress, body: Bytes) -> Result<Request<Full<Bytes>>, BoxError> {
    let mut request = Request::builder().method(parts.method.clone()).uri(path).body(Full::new(body))?;
    let headers = request.headers_mut();
    for (name, value) in &parts.headers {
        if !OWN_HEADERS.contains(name) && !name.as_str().starts_with("impersonate-") {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::HOST, format!("{}:{}", address.host, address.port).parse()?);
    Ok(request)
}

fn without_hop_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TRAILER] {
        headers.remove(name);
    }
}

fn streamed(body: Incoming, stopping: &CancellationToken) -> Body {
    let frames = http_body_util::BodyStream::new(body);
    let stop = Box::pin(stopping.clone().cancelled_owned());
    let frames = futures::StreamExt::take_until(frames, crate::http::body::exclusive(stop));
    http_body_util::StreamBody::new(futures::TryStreamExt::map_err(frames, BoxError::from)).boxed()
}

/// A kubelet complains about a log in plain text; clients get a Status.
pub async fn log_answer(response: Response<Body>) -> Result<Response<Body>, Status> {
    let code = response.status();
    if code.is_success() {
        return Ok(response);
    }
    let mut body = response.into_body();
    let mut complaint = Vec::new();
    while let Some(Ok(frame)) = body.frame().await
        && complaint.len() < COMPLAINT_LEN_MAX
    {
        complaint.extend_from_slice(frame.data_ref().map(|data| &**data).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&complaint).trim().to_owned();
    Err(match code.as_u16() {
        400 => Status::bad_request(text),
        404 => Status::failure(404, "NotFound", text),
        500 => Status::internal(text),
        code => Status::failure(code, "", text),
    })
}

fn unavailable(why: &str) -> Status {
    Status::failure(503, "ServiceUnavailable", why)
}
