//! The parts that every node has: runtime, kubelet and its server, pod network, service proxy, cluster DNS, image socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, Env, Hub, Transport};
use kubelet::machine::{LocalMachine, LocalMounts};
use kubelet::{Deps, Kubelet};
use launcher::credentials::NodeConfig;
use linux::rtnl::{NetOp, Rtnl};
use net::PodNetwork;
use proxy::compile::Facts;
use proxy::render::Frame;
use runtime::{Builtin, ShimCommand};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::failed;
use crate::seams::cgroups::KernelCgroups;
use crate::seams::network::Pods;

const SERVICE_CIDR: &str = "10.96.0.0/12";
/// The range of all pods; nodes get a /24 of it each.
pub const POD_CIDR: &str = "10.244.0.0/16";
const KUBELET_PORT: u16 = 10250;
pub const DNS_PORT: u16 = 53;
pub const DNS_VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Sockets and namespaces of the runtime; a tmpfs of the node.
const RUN_DIR: &str = "/run/ironclad/runtime";

/// How each part reaches the API, with its own identity, and how the kubelet's server shows itself.
pub struct Ways {
    pub kubelet: Arc<dyn Transport>,
    pub proxy: Arc<dyn Transport>,
    pub dns: Arc<dyn Transport>,
    pub kubelet_tls: Arc<rustls::ServerConfig>,
}

/// Starts the parts; they end with `tasks`.
pub async fn start(
    tasks: &mut JoinSet<()>,
    state: &Path,
    config: &NodeConfig,
    ways: Ways,
    env: &Env,
) -> launcher::Result<()> {
    let network = pod_network(state)?;
    let runtime = builtin(state, config, network, env).await?;
    let kubelet = make_kubelet(state, config, ways.kubelet, runtime.clone(), env)?;
    let address = SocketAddr::new(config.node_ip, KUBELET_PORT);
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| failed(&format!("cannot listen on {address}"), &error))?;
    tasks.spawn(kubelet.server().serve(listener, ways.kubelet_tls));
    tasks.spawn(kubelet.run());
    start_proxy(tasks, config, ways.proxy, env);
    start_dns(tasks, ways.dns, env).await?;
    crate::images::serve(tasks, runtime).map_err(|error| failed("cannot take orders about images", &error))
}

fn pod_network(state: &Path) -> launcher::Result<Arc<PodNetwork>> {
    let services = SERVICE_CIDR.parse().map_err(|error| failed("service range", &error))?;
    let network = PodNetwork::open(&state.join("net"), services, vec![DNS_VIP]);
    network.map(Arc::new).map_err(|error| failed("cannot set up the pod network", &error))
}

async fn builtin(
    state: &Path,
    config: &NodeConfig,
    network: Arc<PodNetwork>,
    env: &Env,
) -> launcher::Result<Arc<Builtin>> {
    let args = ["shim", "--profile", &config.profile, "--node", &config.node].map(str::to_owned).to_vec();
    let runtime_config = runtime::Config {
        root: state.join("runtime"),
        run: PathBuf::from(RUN_DIR),
        shim: ShimCommand { program: PathBuf::from("/proc/self/exe"), args },
        // Upstream's defaults: 10 MiB a file, 5 files a container.
        log_bytes_max: 10 << 20,
        log_files_max: 5,
    };
    let opened = Builtin::open(runtime_config, Arc::new(Pods(network)), env.clock.clone(), env.rng.clone()).await;
    opened.map(Arc::new).map_err(|error| failed("cannot start the container runtime", &error))
}

fn make_kubelet(
    state: &Path,
    config: &NodeConfig,
    transport: Arc<dyn Transport>,
    runtime: Arc<Builtin>,
    env: &Env,
) -> launcher::Result<Kubelet> {
    let mut kubelet_config = kubelet::Config::new(&config.node, &config.node_ip.to_string());
    kubelet_config.root = state.join("kubelet");
    kubelet_config.manifests = Some(state.join("manifests"));
    kubelet_config.cluster_dns = vec![DNS_VIP.to_string()];
    kubelet_config.port = KUBELET_PORT;
    // The disk is the host's and holds much else: a tenth of a large one is no reason to refuse pods, and images that
    // were loaded by hand stay, however full it is.
    kubelet_config.image_gc_high_percent = 100;
    kubelet_config.disk_available_min_percent = 1;
    let seam = |error: linux::Error| failed("cannot read control groups", &error);
    let deps = Deps {
        runtime,
        transport,
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        cgroups: Arc::new(KernelCgroups::detect().map_err(seam)?),
        mounts: Arc::new(LocalMounts),
        machine: Arc::new(LocalMachine { hostname: Some(config.node.clone()), machine_id: Some(machine_id(config)) }),
    };
    Kubelet::new(kubelet_config, deps).map_err(|error| failed("cannot start the kubelet", &error))
}

/// Nodes of one machine share its id, so each gets one made of its name.
fn machine_id(config: &NodeConfig) -> String {
    let letters = config.profile.bytes().chain([0]).chain(config.node.bytes());
    let seed = letters.fold(0u64, |seed, byte| seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte) + 1));
    stdx::Rng::seeded(seed).uuid().replace('-', "")
}

/// Answers on an address of the node's own loopback, which is the same on every node.
async fn start_dns(tasks: &mut JoinSet<()>, transport: Arc<dyn Transport>, env: &Env) -> launcher::Result<()> {
    let cannot = |error: &dyn std::fmt::Display| failed("cannot start cluster DNS", error);
    let vip = NetOp::Address { name: "lo".to_owned(), ip: DNS_VIP.into(), prefix: 32 };
    Rtnl::open().and_then(|mut rtnl| rtnl.apply(&vip, None)).map_err(|error| cannot(&error))?;
    let listeners = dns::Listeners::bind(&[SocketAddr::new(DNS_VIP.into(), DNS_PORT)]).await;
    let listeners = listeners.map_err(|error| cannot(&error))?;
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let config =
        dns::Config { addresses: vec![DNS_VIP.into()], upstreams: upstreams(&resolv_conf), ..dns::Config::default() };
    let hub = dns::follow(Hub::builder(Client::new(transport, "kube-dns"))).start(env);
    tasks.spawn(dns::run(config, hub, listeners, env.rng.clone()));
    Ok(())
}

/// The node's own resolvers.
fn upstreams(resolv_conf: &str) -> Vec<SocketAddr> {
    let addresses =
        resolv_conf.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse::<IpAddr>().ok());
    addresses.map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
}

/// Service rules and the routes to other nodes' pods.
fn start_proxy(tasks: &mut JoinSet<()>, config: &NodeConfig, transport: Arc<dyn Transport>, env: &Env) {
    let client = Client::new(transport, "kube-proxy");
    let hub = net::routes::follow(proxy::follow(Hub::builder(client))).start(env);
    let facts = Facts { node_name: config.node.clone(), local_vips: vec![DNS_VIP] };
    let frame =
        Frame { service_cidr: SERVICE_CIDR.to_owned(), pod_cidr: POD_CIDR.to_owned(), local_vips: vec![DNS_VIP] };
    tasks.spawn(proxy::run(hub.clone(), facts, frame, Arc::new(proxy::Nftables)));
    tasks.spawn(net::routes::run(hub, config.node.clone()));
}
