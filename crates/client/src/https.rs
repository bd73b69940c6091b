//! The transport over TLS: one HTTP/2 connection for everything, or kept HTTP/1.1 connections where the server speaks
//! only that.
//!
//! Certificates are asked for anew for each connection, and a connection is not used for new requests beyond
//! [`CONNECTION_AGE_MAX`], so that renewed ones come into use while running watches go on undisturbed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::transport::{Body, Transport, TransportError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where there are other servers to go to.
const CONNECT_TIMEOUT_HASTY: Duration = Duration::from_secs(1);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// HTTP/1.1 connections that are kept for reuse.
const IDLE_MAX: usize = 8;
/// A peer that answers no ping for this long is gone: its watches break and start again.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Where there are other servers to go to.
const KEEP_ALIVE_HASTY: Duration = Duration::from_secs(4);
const TOKEN_AGE_MAX: Duration = Duration::from_secs(60);

/// Makes the TLS configuration of a new connection, so that it may read renewed certificates.
pub type TlsSource = Arc<dyn Fn() -> Result<Arc<ClientConfig>, TransportError> + Send + Sync>;

/// The bearer token that goes with each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Token {
    #[default]
    None,
    Fixed(String),
    /// Read again once a minute.
    File(PathBuf),
}

/// A server and how to be known to it.
pub struct Https {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsSource,
    token: Token,
    token_read: Mutex<Option<(Instant, HeaderValue)>>,
    shared: tokio::sync::Mutex<Option<(Instant, http2::SendRequest<Full<Bytes>>)>>,
    idle: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
    connections: Mutex<JoinSet<()>>,
    connect_timeout: Duration,
    keep_alive: Duration,
}

enum Sender {
    Shared(http2::SendRequest<Full<Bytes>>),
    Single(http1::SendRequest<Full<Bytes>>),
}

impl Https {
    /// `server` is such as `https://127.0.0.1:6443`; `server_name` is verified instead of its host where given.
    pub fn new(server: &str, server_name: Option<&str>, tls: TlsSource, token: Token) -> Result<Self, TransportError> {
        let bad = |why: &str| connect_error(server, std::io::Error::other(why.to_owned()));
        let uri: Uri = server.parse().map_err(|error| connect_error(server, error))?;
        if uri.scheme_str() != Some("https") {
            return Err(bad("the server's address must start with https://"));
        }
        let host = uri.host().ok_or_else(|| bad("the server's address has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = server_name.unwrap_or(&host).to_owned();
        Ok(Self {
            name: ServerName::try_from(name).map_err(|error| connect_error(server, error))?,
            port: uri.port_u16().unwrap_or(443),
            host,
            tls,
            token,
            token_read: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
            connections: Mutex::default(),
            connect_timeout: CONNECT_TIMEOUT,
            keep_alive: KEEP_ALIVE,
        })
    }

    /// Gives up sooner, because there are other servers to ask.
    #[must_use]
    pub fn hasty(mut self) -> Self {
        (self.connect_timeout, self.keep_alive) = (CONNECT_TIMEOUT_HASTY, KEEP_ALIVE_HASTY);
        self
    }

    async fn sender(&self) -> Result<Sender, TransportError> {
        let mut shared = self.shared.lock().await;
        if let Some((born, sender)) = &*shared
            && !sender.is_closed()
            && born.elapsed() < CONNECTION_AGE_MAX
        {
            return Ok(Sender::Shared(sender.clone()));
        }
        if let Some(sender) = self.take_idle() {
            return Ok(Sender::Single(sender));
        }
        let opened = tokio::time::timeout(self.connect_timeout, self.open()).await;
        let late = |_| {
            connect_error(&format!("{}:{}", self.host, self.port), std::io::Error::from(std::io::ErrorKind::TimedOut))
        };
        let sender = opened.map_err(late)??;
        if let Sender::Shared(sender) = &sender {
            *shared = Some((Instant::now(), sender.clone()));
        }
        Ok(sender)
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let position = idle.iter().position(http1::SendRequest::is_ready)?;
        Some(idle.swap_remove(position))
    }

    fn keep_idle(&self, sender: http1::SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    async fn open(&self) -> Result<Sender, TransportError> {
        let to = format!("{}:{}", self.host, self.port);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| connect_error(&to, e))?;
        tcp.set_nodelay(true).map_err(|error| connect_error(&to, error))?;
        let connector = TlsConnector::from((self.tls)()?);
        let tls = connector.connect(self.name.clone(), tcp).await.map_err(|error| connect_error(&to, error))?;
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.open_h2(tls, &to).await
        } else {
            self.open_h1(tls, &to).await
        }
    }

    async fn open_h2(&self, tls: TlsStream<TcpStream>, to: &str) -> Result<Sender, TransportError> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(self.keep_alive).keep_alive_timeout(self.keep_alive);
        let (sender, connection) = builder.handshake(TokioIo::new(tls)).await.map_err(|e| connect_error(to, e))?;
        self.own(async { drop(connection.await) });
        Ok(Sender::Shared(sender))
    }

    async fn open_h1(&self, tls: TlsStream<TcpStream>, to: &str) -> Result<Sender, TransportError> {
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|e| connect_error(to, e))?;
        self.own(async { drop(connection.await) });
        Ok(Sender::Single(sender))
    }

    /// Runs a connection until it ends or this transport is dropped.
    fn own(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection);
    }

    async fn bearer(&self) -> Result<Option<HeaderValue>, TransportError> {
        let token = match &self.token {
            Token::None => return Ok(None),
            Token::Fixed(token) => token.clone(),
            Token::File(path) => {
                let read = self.token_read.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((at, value)) = read
                    && at.elapsed() < TOKEN_AGE_MAX
                {
                    return Ok(Some(value));
                }
                let name = path.display().to_string();
                tokio::fs::read_to_string(path).await.map_err(|error| connect_error(&name, error))?
            }
        };
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value.map_err(|error| connect_error("the server with this token", error))?;
        value.set_sensitive(true);
        *self.token_read.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), value.clone()));
        Ok(Some(value))
    }

    fn address(&self, request: &mut Request<Full<Bytes>>, is_h2: bool) -> Result<(), TransportError> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let authority = format!("{host}:{}", self.port);
        if is_h2 {
            let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            let uri = format!("https://{authority}{path}").parse().map_err(|error| connect_error(&authority, error))?;
            *request.uri_mut() = uri;
        } else {
            let value = HeaderValue::from_str(&authority).map_err(|error| connect_error(&authority, error))?;
            request.headers_mut().insert(header::HOST, value);
        }
        Ok(())
    }
}

#[async_trait]
impl Transport for Https {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let mut request = request.map(Full::new);
        if let Some(bearer) = self.bearer().await? {
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let response = match self.sender().await? {
            Sender::Shared(mut sender) => {
                self.address(&mut request, true)?;
                sender.ready().await.map_err(broken)?;
                sender.send_request(request).await.map_err(broken)?
            }
            Sender::Single(mut sender) => {
                self.address(&mut request, false)?;
                sender.ready().await.map_err(broken)?;
                let response = sender.send_request(request).await.map_err(broken)?;
                self.keep_idle(sender);
                response
            }
        };
        Ok(response.map(|body: Incoming| body.map_err(broken).boxed()))
    }
}

pub(crate) fn connect_error(to: &str, source: impl std::error::Error + Send + Sync + 'static) -> TransportError {
    TransportError::Connect { to: to.to_owned(), source: Arc::new(source) }
}

fn broken(error: hyper::Error) -> TransportError {
    TransportError::Broken(Arc::new(error))
}

#[cfg(test)]
mod tests;
