//! One kept-alive HTTP/1.1 connection over TLS, as a client library has it.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub struct Connection(SendRequest<Full<Bytes>>);

/// A request as a workload thinks of it.
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content_type: "", body: Bytes::new() }
    }

    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), content_type: "application/json", body: body.into() }
    }
}

impl Connection {
    pub async fn open(port: u16, tls: &Arc<rustls::ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends a request and gives the answer's body, which is still to be read.
    pub async fn start(&mut self, ask: Ask) -> Result<(u16, Incoming)> {
        let mut request = Request::builder().method(ask.method).uri(&ask.path).header("host", "localhost");
        request = request.header("accept", "application/json").header("user-agent", "bench/1");
        if !ask.content_type.is_empty() {
            request = request.header("content-type", ask.content_type);
        }
        self.0.ready().await?;
        let response = self.0.send_request(request.body(Full::new(ask.body))?).await.context(ask.path)?;
        Ok((response.status().as_u16(), response.into_body()))
    }

    pub async fn call(&mut self, ask: Ask) -> Result<(u16, Bytes)> {
        let (code, body) = self.start(ask).await?;
        Ok((code, body.collect().await?.to_bytes()))
    }

    /// A request that must succeed.
    pub async fn must(&mut self, ask: Ask) -> Result<Bytes> {
        let what = format!("{} {}", ask.method, ask.path);
        let (code, body) = self.call(ask).await?;
        ensure!(code < 300, "{what}: {code} {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Counts the bytes of an answer without keeping them.
    pub async fn drain(&mut self, ask: Ask) -> Result<usize> {
        let (code, mut body) = self.start(ask).await?;
        let mut len = 0;
        let mut refusal = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            len += data.len();
            if code >= 300 {
                refusal.extend_from_slice(&data);
            }
        }
        ensure!(code < 300, "{code} {}", String::from_utf8_lossy(&refusal));
        Ok(len)
    }
}
