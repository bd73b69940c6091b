//! One HTTP GET against a container, for probes and hooks. Certificates are not verified, as upstream documents.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1 as core;
use rustls::pki_types::ServerName;
use stdx::{authority, dial_error};
use tokio::net::TcpStream;

use super::ask::port_number;

/// How much of an answer is read.
const BODY_LEN_MAX: usize = 10 << 10;
const REDIRECTS_MAX: usize = 10;

/// Whom to ask and what.
#[derive(Clone, Debug)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
}

impl Target {
    pub fn of(get: &core::HTTPGetAction, container: &core::Container, address: &str) -> Option<Self> {
        let path = get.path.clone().unwrap_or_default();
        Some(Self {
            tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| address.to_owned()),
            port: port_number(&get.port, container)?,
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
        })
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(&self.host, self.port), self.path)
    }

    /// Where a redirect to the same host leads; none when it leads elsewhere, which upstream does not follow.
    fn redirected(&self, location: &str) -> Option<Self> {
        if location.starts_with('/') {
            return Some(Self { path: location.to_owned(), ..self.clone() });
        }
        let uri: http::Uri = location.parse().ok()?;
        if uri.host() != Some(self.host.as_str()) {
            return None;
        }
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Some(Self { tls, port, path, ..self.clone() })
    }
}

/// The status code of the answer.
pub async fn get(target: &Target) -> Result<u16, String> {
    let mut target = target.clone();
    for _ in 0..REDIRECTS_MAX {
        let (code, location) = get_once(&target).await?;
        let next = location.filter(|_| (300..400).contains(&code)).and_then(|to| target.redirected(&to));
        match next {
            Some(next) => target = next,
            None => return Ok(code),
        }
    }
    Err("stopped after 10 redirects".to_owned())
}

async fn get_once(target: &Target) -> Result<(u16, Option<String>), String> {
    let to = authority(&target.host, target.port);
    let stream = TcpStream::connect(&to).await.map_err(|error| dial_error(&to, &error))?;
    if !target.tls {
        return exchange(target, &to, stream).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(pki::trusting_client_config()));
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    exchange(target, &to, stream).await
}

async fn exchange<S>(target: &Target, to: &str, stream: S) -> Result<(u16, Option<String>), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let mut request = http::Request::builder().method("GET").uri(&target.path);
    let own = |name: &str| target.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    for (name, value) in [("host", to), ("user-agent", "kube-probe/1.36"), ("accept", "*/*")] {
        if !own(name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    let request =
        request.header("connection", "close").body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let ask = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let code = answer.status().as_u16();
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        // The rest of a long body is of no interest.
        drop(Limited::new(answer.into_body(), BODY_LEN_MAX).collect().await);
        Ok((code, location))
    };
    let drive = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        answer = ask => answer,
        () = drive => Err("the connection ended".to_owned()),
    }
}
