//! `bench serve DIRECTORY PORT`: the API server alone, wired as `ironclad server` wires it, on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use apiserver::engine::EngineConfig;
use apiserver::{Engine, Server, ServerConfig};
use pki::{Authority, Identity, Request, TokenKey};
use stdx::{Clock, Rng, SystemClock};
use tokio_util::sync::CancellationToken;

/// Serves until the process is killed.
pub fn run(directory: &Path, port: u16) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(directory, port))
}

async fn serve(directory: &Path, port: u16) -> Result<()> {
    let refused = |status: api::Status| anyhow!(status.message);
    let clock = Arc::new(SystemClock);
    let authority = Arc::new(Authority::load(directory, clock.now())?);
    let store = store::EmbeddedStore::open(
        directory.join("store"),
        store::EmbeddedOptions { stamp: Some(apiserver::storage::with_revision), ..store::EmbeddedOptions::default() },
    )?;
    let engine = Engine::start(Arc::new(store), clock.clone(), Rng::from_os(), EngineConfig::default());
    let engine = engine.await.map_err(refused)?;
    let token_key = Arc::new(TokenKey::load_or_create(directory)?);
    let config = ServerConfig::new(authority.certificate().clone(), token_key);
    let server = Server::start(engine, config).await.map_err(refused)?;
    let identity = Identity::issued(&authority, Request::apiserver(&[]), clock.now())?;
    let tls = Arc::new(pki::server_config(identity, authority.certificate(), &["h2", "http/1.1"])?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    Ok(server.serve(vec![listener], tls, CancellationToken::new()).await?)
}
