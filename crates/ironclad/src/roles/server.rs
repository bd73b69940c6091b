//! `ironclad server`: the API server, controllers and scheduler of a cluster, and the node they run on.
//!
//! Where there are several, each serves; of the schedulers and of the controllers one acts, by Leases of upstream's names.

use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use apiserver::engine::EngineConfig;
use apiserver::resource::Scope;
use apiserver::{Engine, Server, ServerConfig, components};
use client::election::Timing;
use client::{Client, Election, Env, Hub, Recorder};
use launcher::credentials::{API_PORT, NodeConfig, PKI_DIR, SERVICE_ACCOUNT_GROUPS, api_addresses};
use launcher::driver::fds;
use pki::{Authority, Identity, TokenKey};
use serde_json::json;
use store::Store;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::local::Local;
use super::node::{self, Ways};
use super::{datastore, failed, notify};

const DNS: &str = "system:serviceaccount:kube-system:kube-dns";
const CONTROLLERS: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";

/// What requests in flight get to end after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// What handing over to the other control planes may take; the store may be going down with us.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until `stop`, then lets requests in flight end.
pub async fn run(state: &Path, stop: CancellationToken) -> launcher::Result<()> {
    let config = NodeConfig::load(state)?;
    let env = Env::system();
    let pki = state.join(PKI_DIR);
    let now = env.clock.now();
    let authority = Arc::new(Authority::load(&pki, now).map_err(|error| failed("cannot read the authority", &error))?);
    let store = stop.run_until_cancelled(datastore::open(state, &config)).await;
    let Some(store) = store.transpose()? else { return Ok(()) };
    let server = api_server(store, &pki, &config, &authority, &env).await?;
    let mut tasks = JoinSet::new();
    let serving = serve(&mut tasks, &server, &config, &authority, &env, &stop)?;
    let mut leading = JoinSet::new();
    start_scheduler(&mut leading, &server, &config, &env, &stop);
    start_controllers(&mut leading, &server, &config, &authority, &env, &stop);
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
    if has_peers(&config) {
        leave(&server, leading).await;
    }
    drop(tasks);
    if tokio::time::timeout(DRAIN_TIMEOUT, serving).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// Whether there are other control planes.
fn has_peers(config: &NodeConfig) -> bool {
    config.servers.len() > 1
}

/// Hands over to the other control planes, as far as the store still answers.
async fn leave(server: &Arc<Server>, mut leading: JoinSet<()>) {
    let done = async {
        while leading.join_next().await.is_some() {}
        apiserver::living::leave(server.engine()).await
    };
    match tokio::time::timeout(LEAVE_TIMEOUT, done).await {
        Ok(Ok(())) => {}
        Ok(Err(status)) => tracing::warn!(%status, "the other control planes were not told of the stop"),
        Err(_) => tracing::warn!("the other control planes were not told of the stop in time"),
    }
}

/// Runs a component: always where it is alone, else while it leads.
fn start_elected<F>(
    leading: &mut JoinSet<()>,
    client: &Client,
    config: &NodeConfig,
    env: &Env,
    (name, stop): (&str, &CancellationToken),
    work: impl Fn() -> F + Send + Sync + 'static,
) -> AbortHandle
where
    F: Future<Output = ()> + Send + 'static,
{
    if !has_peers(config) {
        return leading.spawn(work());
    }
    let election = Election {
        client: client.clone(),
        lease: Key::new("kube-system", name),
        // Each node has one server at a time, so the one that comes back after a crash is the former holder.
        identity: config.node.clone(),
        timing: Timing::QUICK,
        env: env.clone(),
    };
    let stop = stop.clone();
    leading.spawn(async move { election.lead(&stop, work).await })
}

async fn api_server(
    store: Arc<dyn Store>,
    pki: &Path,
    config: &NodeConfig,
    authority: &Arc<Authority>,
    env: &Env,
) -> launcher::Result<Arc<Server>> {
    let mut engine_config = EngineConfig::default();
    if let IpAddr::V4(ip) = config.node_ip {
        engine_config.advertise_address = ip;
    }
    engine_config.replica = has_peers(config).then(|| config.node.clone());
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

fn start_scheduler(
    leading: &mut JoinSet<()>,
    server: &Arc<Server>,
    config: &NodeConfig,
    env: &Env,
    stop: &CancellationToken,
) {
    let client = Client::new(Local::transport(server, SCHEDULER, &[]), "kube-scheduler");
    let (own, node, own_env) = (client.clone(), config.node.clone(), env.clone());
    let work = move || {
        let hub = scheduler::run::follow(Hub::builder(own.clone())).start(&own_env);
        let recorder = Recorder::start(own.clone(), "default-scheduler", &node, own_env.clone());
        scheduler::run::run(own.clone(), hub, recorder, own_env.clone())
    };
    let running = start_elected(leading, &client, config, env, ("kube-scheduler", stop), work);
    server.engine().components().add(components::SCHEDULER, move || !running.is_finished());
}

/// All controllers share one cache, read as the controller manager; each writes as its own service account.
fn start_controllers(
    leading: &mut JoinSet<()>,
    server: &Arc<Server>,
    config: &NodeConfig,
    authority: &Authority,
    env: &Env,
    stop: &CancellationToken,
) {
    let client = Client::new(Local::transport(server, CONTROLLERS, &[]), "kube-controller-manager");
    let at = server;
    let (own, server, authority, own_env) = (client.clone(), server.clone(), authority.certificate_pem(), env.clone());
    let work = move || {
        let settings = controllers::Settings {
            served: served(&server.engine().registry()),
            authority: authority.clone(),
            pod_range: node::POD_CIDR.to_owned(),
            since: own_env.clock.now(),
        };
        let all = controllers::all(&settings);
        let hub = Hub::builder(own.clone()).controllers(&all).start(&own_env);
        let server = server.clone();
        let transport_for = move |user: &str| Local::transport(&server, user, &SERVICE_ACCOUNT_GROUPS);
        client::driver::run(hub, all, transport_for, own_env.clone())
    };
    let running = start_elected(leading, &client, config, env, ("kube-controller-manager", stop), work);
    at.engine().components().add(components::CONTROLLERS, move || !running.is_finished());
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
