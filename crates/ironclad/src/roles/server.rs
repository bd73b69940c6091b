//! `ironclad server`: the API server, controllers and scheduler of a cluster, and the node they run on.

use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::engine::EngineConfig;
use apiserver::resource::Scope;
use apiserver::{Engine, Server, ServerConfig, components};
use client::{Client, Env, Hub, Recorder};
use launcher::credentials::{API_PORT, NodeConfig, PKI_DIR, SERVICE_ACCOUNT_GROUPS, api_addresses};
use launcher::driver::fds;
use pki::{Authority, Identity, TokenKey};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::local::Local;
use super::node::{self, Ways};
use super::{failed, notify};

const STORE_DIR: &str = "store";
const DNS: &str = "system:serviceaccount:kube-system:kube-dns";
const CONTROLLERS: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";

/// What requests in flight get to end after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until `stop`, then lets requests in flight end.
pub async fn run(state: &Path, stop: CancellationToken) -> launcher::Result<()> {
    let config = NodeConfig::load(state)?;
    let env = Env::system();
    let pki = state.join(PKI_DIR);
    let now = env.clock.now();
    let authority = Arc::new(Authority::load(&pki, now).map_err(|error| failed("cannot read the authority", &error))?);
    let server = api_server(state, &pki, &config, &authority, &env).await?;
    let mut tasks = JoinSet::new();
    let serving = serve(&mut tasks, &server, &config, &authority, &env, &stop)?;
    start_scheduler(&mut tasks, &server, &config, &env);
    start_controllers(&mut tasks, &server, &authority, &env);
    let kubelet_name = format!("system:node:{}", config.node);
    let ways = Ways {
        kubelet: Local::transport(&server, &kubelet_name, &["system:nodes"]),
        proxy: Local::transport(&server, "system:kube-proxy", &[]),
        dns: Local::transport(&server, DNS, &SERVICE_ACCOUNT_GROUPS),
        kubelet_tls: kubelet_tls(&mut tasks, &config, &authority, &env)?,
    };
    node::start(&mut tasks, state, &config, ways, &env).await?;
    notify::ready();
    tracing::info!(node = config.node, "the API server serves");
    stop.cancelled().await;
    drop(tasks);
    if tokio::time::timeout(DRAIN_TIMEOUT, serving).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

async fn api_server(
    state: &Path,
    pki: &Path,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
) -> launcher::Result<Arc<Server>> {
    let store = store::EmbeddedStore::open(
        state.join(STORE_DIR),
        store::EmbeddedOptions { stamp: Some(apiserver::storage::with_revision), ..store::EmbeddedOptions::default() },
    );
    let store = Arc::new(store.map_err(|error| failed("cannot open the store", &error))?);
    let mut engine_config = EngineConfig::default();
    if let IpAddr::V4(ip) = config.node_ip {
        engine_config.advertise_address = ip;
    }
    let engine = Engine::start(store, env.clock.clone(), env.rng.clone(), engine_config).await;
    let engine = engine.map_err(|status| failed("cannot start the API server", &status.message))?;
    let made = engine.ensure(vec![dns_service()]).await;
    made.map_err(|status| failed("cannot make the service of cluster DNS", &status.message))?;
    let token_key = TokenKey::load_or_create(pki).map_err(|error| failed("cannot read the token key", &error))?;
    let mut front = ServerConfig::new(authority.certificate().clone(), Arc::new(token_key));
    let to_kubelets = pki::Request::client("kube-apiserver-kubelet-client", &["system:masters"]);
    let to_kubelets = Identity::issued(authority, to_kubelets, env.clock.now());
    front.kubelet_client = Some(to_kubelets.map_err(|error| failed("cannot issue a certificate", &error))?);
    let server = Server::start(engine, front).await;
    server.map_err(|status| failed("cannot start the API server", &status.message))
}

/// Shows where cluster DNS is, keeps its address from being given to another, and lets the address be found by name. It
/// selects no pods: every node answers on that address itself.
fn dns_service() -> serde_json::Value {
    let port = |name, protocol| json!({"name": name, "port": node::DNS_PORT, "protocol": protocol});
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {"clusterIP": node::DNS_VIP, "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")]},
    })
}

/// On the host's loopback (a socket that the fabric made there) and on the node's own address.
fn serve(
    tasks: &mut JoinSet<()>,
    server: &Arc<Server>,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
    stop: &CancellationToken,
) -> launcher::Result<JoinHandle<()>> {
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
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(listeners, tls, stop.clone()).await {
            tracing::error!("the API server ended: {error}");
        }
        // Without an API server there is nothing left to run; init starts the role again.
        stop.cancel();
    }))
}

fn start_scheduler(tasks: &mut JoinSet<()>, server: &Arc<Server>, config: &NodeConfig, env: &Env) {
    let client = Client::new(Local::transport(server, SCHEDULER, &[]), "kube-scheduler");
    let hub = scheduler::run::follow(Hub::builder(client.clone())).start(env);
    let recorder = Recorder::start(client.clone(), "default-scheduler", &config.node, env.clone());
    let running = tasks.spawn(scheduler::run::run(client, hub, recorder, env.clone()));
    server.engine().components().add(components::SCHEDULER, move || !running.is_finished());
}

/// All controllers share one cache, read as the controller manager; each writes as its own service account.
fn start_controllers(tasks: &mut JoinSet<()>, server: &Arc<Server>, authority: &Authority, env: &Env) {
    let settings = controllers::Settings {
        served: served(&server.engine().registry()),
        authority: authority.certificate_pem(),
        pod_range: node::POD_CIDR.to_owned(),
        since: env.clock.now(),
    };
    let all = controllers::all(&settings);
    let client = Client::new(Local::transport(server, CONTROLLERS, &[]), "kube-controller-manager");
    let hub = Hub::builder(client).controllers(&all).start(env);
    let at = server.clone();
    let transport_for = move |user: &str| Local::transport(&at, user, &SERVICE_ACCOUNT_GROUPS);
    let running = tasks.spawn(client::driver::run(hub, all, transport_for, env.clone()));
    server.engine().components().add(components::CONTROLLERS, move || !running.is_finished());
}

/// Everything built in that is stored.
fn served(registry: &apiserver::Registry) -> Vec<controllers::Served> {
    let served = registry.stored_builtin().map(|resource| controllers::Served {
        resource: resource.gvr.clone(),
        kind: resource.kind.kind.to_string(),
        namespaced: resource.scope == Scope::Namespaced,
    });
    served.collect()
}

/// How the kubelet's server shows itself to the API server.
fn kubelet_tls(
    tasks: &mut JoinSet<()>,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
) -> launcher::Result<Arc<rustls::ServerConfig>> {
    let request = pki::Request::kubelet_server(&config.node, &[config.node_ip]);
    let identity = Identity::issued(authority, request, env.clock.now());
    let identity = identity.map_err(|error| failed("cannot issue a certificate", &error))?;
    tasks.spawn(identity.clone().keep_fresh(env.clock.clone()));
    let tls = pki::server_config(identity, authority.certificate(), &["http/1.1"]);
    tls.map(Arc::new).map_err(|error| failed("cannot set up TLS", &error))
}
