//! An API server alone on loopback with its store in memory, for trying clients against it:
//! `cargo run -p apiserver --example serve -- 16443 /tmp/kubeconfig`. Its static token is `admin`.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use apiserver::engine::EngineConfig;
use apiserver::user::User;
use apiserver::{Engine, Server, ServerConfig};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::{Authority, Identity, Request, TokenKey, server_config};
use stdx::{Clock, Rng, SystemClock};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_else(|| "16443".to_owned()).parse().unwrap();
    let now = SystemClock.now();
    let authority = Arc::new(Authority::ephemeral(now));
    let store = Arc::new(store::MemoryStore::new());
    let config = EngineConfig { advertise_port: port, ..EngineConfig::default() };
    let engine = Engine::start(store, Arc::new(SystemClock), Rng::from_os(), config).await.unwrap();
    let mut config = ServerConfig::new(authority.certificate().clone(), Arc::new(TokenKey::ephemeral().unwrap()));
    config.static_tokens = vec![("admin".to_owned(), User::component("admin", &["system:masters"]))];
    config.kubelet_client =
        Some(Identity::issued(&authority, Request::client("kube-apiserver-kubelet-client", &[]), now).unwrap());
    let server = Server::start(engine, config).await.unwrap();
    let identity = Identity::issued(&authority, Request::apiserver(&[Ipv4Addr::LOCALHOST.into()]), now).unwrap();
    let tls = Arc::new(server_config(identity, authority.certificate(), &["h2", "http/1.1"]).unwrap());
    if let Some(path) = arguments.next() {
        let client = authority.issue(&Request::client("kubernetes-admin", &["system:masters"]), now);
        let (ca, crt, key) = (authority.certificate_pem(), client.certificate_pem(), client.key_pem());
        let [ca, crt, key] = [ca, crt, key].map(|pem| STANDARD.encode(pem));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:{port}', \
             certificate-authority-data: {ca}}}}}]\nusers: [{{name: x, user: {{client-certificate-data: {crt}, client-key-data: {key}}}}}]\n\
             contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n"
        );
        std::fs::write(path, text).unwrap();
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    server.serve(vec![listener], tls, CancellationToken::new()).await.unwrap();
}
