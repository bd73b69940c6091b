//! An API server alone, for replaying recorded questions: `serve PORT TOKEN [ETCD_URL,...]`, over the memory store or etcd.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use apiserver::engine::EngineConfig;
use apiserver::user::User;
use apiserver::{Engine, Server, ServerConfig, storage};
use pki::{Authority, Identity, Request, TokenKey, server_config};
use stdx::{Clock, Rng, SystemClock};
use store::{EtcdOptions, EtcdStore, MemoryStore, Store};
use tokio_util::sync::CancellationToken;

fn store_of(etcd: Option<String>) -> Arc<dyn Store> {
    let Some(urls) = etcd else { return Arc::new(MemoryStore::new().stamping(storage::with_revision)) };
    let home = String::from_utf8(storage::START.to_vec()).unwrap();
    let options = EtcdOptions::new(urls.split(',').map(str::to_owned).collect());
    Arc::new(EtcdStore::open(EtcdOptions { home, stamp: Some(storage::with_revision), ..options }).unwrap())
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (port, token) = (arguments.next().unwrap().parse::<u16>().unwrap(), arguments.next().unwrap());
    let clock = Arc::new(SystemClock);
    let authority = Arc::new(Authority::ephemeral(clock.now()));
    // The recorded server's addresses of services.
    let config = EngineConfig { service_cidr: (Ipv4Addr::new(10, 0, 0, 0), 24), ..EngineConfig::default() };
    let engine = Engine::start(store_of(arguments.next()), clock.clone(), Rng::from_os(), config).await.unwrap();
    let mut config = ServerConfig::new(authority.certificate().clone(), Arc::new(TokenKey::ephemeral().unwrap()));
    let admin = User { uid: "admin".to_owned(), ..User::component("admin", &["system:masters"]) };
    config.static_tokens = vec![(token, admin)];
    let server = Server::start(engine, config).await.unwrap();
    let identity = Identity::issued(&authority, Request::apiserver(&[]), clock.now()).unwrap();
    let tls = Arc::new(server_config(identity, authority.certificate(), &["h2", "http/1.1"]).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    server.serve(vec![listener], tls, CancellationToken::new()).await.unwrap();
}
