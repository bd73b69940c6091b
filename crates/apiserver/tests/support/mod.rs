//! An API server with its store in memory, on loopback.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use apiserver::engine::EngineConfig;
use apiserver::user::User;
use apiserver::{Engine, Server, ServerConfig};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use pki::{Authority, Identity, Request, TokenKey, client_config, server_config};
use rustls::pki_types::ServerName;
use stdx::{Clock, Rng, SystemClock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub struct Cluster {
    pub authority: Arc<Authority>,
    pub server: Arc<Server>,
    port: u16,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub fn now() -> Timestamp {
    SystemClock.now()
}

impl Cluster {
    pub async fn start() -> Self {
        let authority = Arc::new(Authority::ephemeral(now()));
        let store = Arc::new(store::MemoryStore::new().stamping(apiserver::storage::with_revision));
        let engine =
            Engine::start(store, Arc::new(SystemClock), Rng::seeded(1), EngineConfig::default()).await.unwrap();
        let key = Arc::new(TokenKey::ephemeral().unwrap());
        let kubelet_client = Request::client("kube-apiserver-kubelet-client", &[]);
        let mut config = ServerConfig::new(authority.certificate().clone(), key);
        config.static_tokens = vec![("secret".to_owned(), User::component("root", &["system:masters"]))];
        config.kubelet_client = Some(Identity::issued(&authority, kubelet_client, now()).unwrap());
        let server = Server::start(engine, config).await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let identity = Identity::issued(&authority, Request::apiserver(&[]), now()).unwrap();
        let tls = Arc::new(server_config(identity, authority.certificate(), &["h2", "http/1.1"]).unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.clone().serve(vec![listener], tls, shutdown.clone()));
        Self { authority, server, port, shutdown, serving }
    }

    pub async fn connect(&self, user: Option<Request>, protocol: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let identity = user.map(|request| Identity::issued(&self.authority, request, now()).unwrap());
        let config = client_config(self.authority.certificate(), identity, &[protocol]).unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Status line, and body, of one request over HTTP/1.1.
    pub async fn get(&self, user: Option<Request>, path: &str, headers: &[(&str, &str)]) -> String {
        let stream = self.connect(user, "http/1.1").await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().uri(path).header("host", "kubernetes");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        format!("{code} {}", message(&body))
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

/// A Status' message, or the text as it is.
pub fn message(body: &[u8]) -> String {
    let tree: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = tree.as_ref().and_then(|tree| tree["message"].as_str()).map(str::to_owned);
    text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

impl Cluster {
    /// A request of a component in the process: the code, and the body as a tree.
    pub async fn ask(
        &self,
        user: &User,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let response = self.server.call(request.body(bytes).unwrap(), user.clone()).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// As the administrator; the request must succeed.
    pub async fn must(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        let (code, answer) = self.ask(&User::component("root", &["system:masters"]), method, path, &body).await;
        assert!(code < 300, "{method} {path}: {answer}");
        answer
    }
}
