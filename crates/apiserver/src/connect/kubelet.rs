//! The API server as a client of kubelets: TLS both ways.

use std::sync::Arc;

use api::Status;
use api::status::Details;
use http::Response;
use http_body_util::BodyExt;
use pki::{Identity, PkiError};
use rustls::pki_types::CertificateDer;
use stdx::Clock;
use tokio_rustls::TlsConnector;

use super::KubeletAddress;
use super::backend::Backend;
use crate::http::body::Body;

/// How much of a kubelet's complaint is passed on.
const COMPLAINT_LEN_MAX: usize = 50_000;

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

    /// A kubelet, shown a certificate that is renewed here when it is due.
    pub fn backend(&self, address: KubeletAddress) -> Result<Backend, Status> {
        let unavailable = || Status::failure(503, "ServiceUnavailable", "the API server has no identity for kubelets");
        let (connector, identity) = self.client.as_ref().ok_or_else(unavailable)?;
        if let (_, Err(why)) = identity.renew_if_due(self.clock.now()) {
            tracing::warn!(%why, "cannot renew the certificate for kubelets");
        }
        Ok(Backend { tls: Some(connector.clone()), host: address.host, port: address.port })
    }
}

/// A kubelet complains about a log in plain text; clients get a Status.
pub async fn log_answer(response: Response<Body>, pod: &str) -> Result<Response<Body>, Status> {
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
    let text = String::from_utf8_lossy(&complaint);
    let (reason, message) = match code.as_u16() {
        400 => return Err(Status::bad_request(text)),
        500 => return Err(Status::internal(text)),
        404 => ("NotFound", "the server could not find the requested resource".to_owned()),
        code if code > 500 => {
            ("InternalError", format!("an error on the server ({text:?}) has prevented the request from succeeding"))
        }
        code => ("", format!("the server responded with the status code {code} but did not return more information")),
    };
    let details = Details { kind: "pods/log".to_owned(), name: pod.to_owned(), ..Details::default() };
    Err(Status::failure(code.as_u16(), reason, format!("{message} ( pods/log {pod})")).with_details(details))
}
