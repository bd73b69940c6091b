//! `ironclad server`: the API server, controllers and scheduler of a cluster, and the node they run on.

use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use apiserver::engine::EngineConfig;
use apiserver::{Engine, Server, ServerConfig};
use client::{Client, Env, Hub, Recorder};
use launcher::credentials::{API_PORT, NodeConfig, PKI_DIR, api_addresses};
use launcher::driver::fds;
use pki::{Authority, Identity, TokenKey};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::local::Local;
use super::node::{self, Ways};
use super::{failed, notify};

const STORE_DIR: &str = "store";
const SCHEDULER: &str = "system:kube-scheduler";

/// Runs until `stop`, then lets requests in flight end.
pub async fn run(state: &Path, stop: CancellationToken) -> launcher::Result<()> {
    let config = NodeConfig::load(state)?;
    let env = Env::system();
    let pki = state.join(PKI_DIR);
    let now = env.clock.now();
    let authority = Arc::new(Authority::load(&pki, now).map_err(|error| failed("cannot read the authority", &error))?);
    let server = api_server(state, &pki, &config, &authority, &env).await?;
    let mut tasks = JoinSet::new();
    serve(&mut tasks, &server, &config, &authority, &env, &stop)?;
    start_scheduler(&mut tasks, &server, &config, &env);
    let kubelet_name = format!("system:node:{}", config.node);
    let ways = Ways {
        kubelet: Local::new(&server, &kubelet_name, &["system:nodes"]),
        proxy: Local::new(&server, "system:kube-proxy", &[]),
    };
    node::start(&mut tasks, state, &config, ways, &env).await?;
    notify::ready();
    tracing::info!(node = config.node, "the API server serves");
    stop.cancelled().await;
    drop(tasks);
    Ok(())
}

async fn api_server(
    state: &Path,
    pki: &Path,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
) -> launcher::Result<Arc<Server>> {
    let store = store::EmbeddedStore::open(state.join(STORE_DIR), store::EmbeddedOptions::default());
    let store = Arc::new(store.map_err(|error| failed("cannot open the store", &error))?);
    let mut engine_config = EngineConfig::default();
    if let IpAddr::V4(ip) = config.node_ip {
        engine_config.advertise_address = ip;
    }
    let engine = Engine::start(store, env.clock.clone(), env.rng.clone(), engine_config).await;
    let engine = engine.map_err(|status| failed("cannot start the API server", &status.message))?;
    let token_key = TokenKey::load_or_create(pki).map_err(|error| failed("cannot read the token key", &error))?;
    let mut front = ServerConfig::new(authority.certificate().clone(), Arc::new(token_key));
    let to_kubelets = pki::Request::client("kube-apiserver-kubelet-client", &["system:masters"]);
    let to_kubelets = Identity::issued(authority, to_kubelets, env.clock.now());
    front.kubelet_client = Some(to_kubelets.map_err(|error| failed("cannot issue a certificate", &error))?);
    let server = Server::start(engine, front).await;
    server.map_err(|status| failed("cannot start the API server", &status.message))
}

/// On the host's loopback (a socket that the fabric made there) and on the node's own address.
fn serve(
    tasks: &mut JoinSet<()>,
    server: &Arc<Server>,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
    stop: &CancellationToken,
) -> launcher::Result<()> {
    let mut listeners = Vec::new();
    match linux::inherit::take(fds::LISTENER) {
        Ok(socket) => listeners.push(TcpListener::from(socket)),
        Err(error) => tracing::debug!("no socket on the host: {error}"),
    }
    let own = TcpListener::bind((config.node_ip, API_PORT));
    listeners.push(own.map_err(|error| failed(&format!("cannot listen on {}:{API_PORT}", config.node_ip), &error))?);
    let request = pki::Request::apiserver(&api_addresses(config.node_ip));
    let identity = Identity::issued(authority, request, env.clock.now());
    let identity = identity.map_err(|error| failed("cannot issue a certificate", &error))?;
    let tls = pki::server_config(identity.clone(), authority.certificate(), &["h2", "http/1.1"]);
    let tls = Arc::new(tls.map_err(|error| failed("cannot set up TLS", &error))?);
    tasks.spawn(identity.keep_fresh(env.clock.clone()));
    let (server, stop) = (server.clone(), stop.clone());
    tasks.spawn(async move {
        if let Err(error) = server.serve(listeners, tls, stop).await {
            tracing::error!("the API server ended: {error}");
        }
    });
    Ok(())
}

fn start_scheduler(tasks: &mut JoinSet<()>, server: &Arc<Server>, config: &NodeConfig, env: &Env) {
    let client = Client::new(Local::new(server, SCHEDULER, &[]), "kube-scheduler");
    let hub = scheduler::run::follow(Hub::builder(client.clone())).start(env);
    let recorder = Recorder::start(client.clone(), "default-scheduler", &config.node, env.clone());
    tasks.spawn(scheduler::run::run(client, hub, recorder, env.clone()));
}
