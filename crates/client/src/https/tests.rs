//! The HTTPS transport against real TLS servers on loopback: one that speaks HTTP/2, one that speaks only HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;

use api::typed::{Namespace, Typed};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::https::{Https, Token};

/// Answers every request with a Namespace named after the protocol and the token. Returns its address and certificate.
async fn serve(protocol: &'static str) -> (u16, rustls_pki_types::CertificateDer<'static>) {
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let certificate = issued.cert.der().clone();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut accepted = 0;
        while let Ok((tcp, _)) = listener.accept().await {
            accepted += 1;
            let tls = acceptor.accept(tcp).await.unwrap();
            let answer = service_fn(move |request: Request<hyper::body::Incoming>| async move {
                let token = request.headers()["authorization"].to_str().unwrap().to_owned();
                let name = format!("{:?}/{token}/connection-{accepted}", request.version());
                let json = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(json))))
            });
            if protocol == "h2" {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(tls), answer));
            } else {
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(tls), answer));
            }
        }
    });
    (port, certificate)
}

async fn ask_twice(protocol: &'static str) -> Vec<String> {
    let (port, certificate) = serve(protocol).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let tls = Arc::new(move || Ok(config.clone()));
    let token = Token::Fixed("t".to_owned());
    let client =
        Client::new(Arc::new(Https::new(&format!("https://127.0.0.1:{port}"), None, tls, token).unwrap()), "x");
    let mut names = Vec::new();
    for _ in 0..2 {
        let namespace: Namespace = client.get("", "any").await.unwrap();
        names.push(namespace.to_tree()["metadata"]["name"].as_str().unwrap().to_owned());
    }
    names
}

#[tokio::test]
async fn requests_share_one_http2_connection() {
    assert_eq!(ask_twice("h2").await, ["HTTP/2.0/Bearer t/connection-1"; 2]);
}

#[tokio::test]
async fn an_http1_connection_is_used_again() {
    assert_eq!(ask_twice("http/1.1").await, ["HTTP/1.1/Bearer t/connection-1"; 2]);
}
