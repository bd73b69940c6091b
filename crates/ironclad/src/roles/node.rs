//! The parts that every node has: runtime, kubelet, pod network, service proxy, cluster DNS, image socket.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::{Client, Env, Hub, Transport};
use kubelet::{Deps, Kubelet};
use launcher::credentials::NodeConfig;
use net::PodNetwork;
use proxy::compile::Facts;
use proxy::render::Frame;
use runtime::{Builtin, ShimCommand};
use tokio::task::JoinSet;

use super::failed;
use crate::seams::cgroups::KernelCgroups;
use crate::seams::machine::KernelMachine;
use crate::seams::mounts::KernelMounts;
use crate::seams::network::Pods;

const SERVICE_CIDR: &str = "10.96.0.0/12";
const POD_CIDR: &str = "10.244.0.0/16";
const DNS_VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Sockets and namespaces of the runtime; a tmpfs of the node.
const RUN_DIR: &str = "/run/ironclad/runtime";

/// How each part reaches the API, with its own identity.
pub struct Ways {
    pub kubelet: Arc<dyn Transport>,
    pub proxy: Arc<dyn Transport>,
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
    start_kubelet(tasks, state, config, ways.kubelet, runtime.clone(), env)?;
    start_proxy(tasks, config, ways.proxy, env);
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
        log_bytes_max: 0,
        log_files_max: 0,
    };
    let opened = Builtin::open(runtime_config, Arc::new(Pods(network)), env.clock.clone(), env.rng.clone()).await;
    opened.map(Arc::new).map_err(|error| failed("cannot start the container runtime", &error))
}

fn start_kubelet(
    tasks: &mut JoinSet<()>,
    state: &Path,
    config: &NodeConfig,
    transport: Arc<dyn Transport>,
    runtime: Arc<Builtin>,
    env: &Env,
) -> launcher::Result<()> {
    let mut kubelet_config = kubelet::Config::new(&config.node, &config.node_ip.to_string());
    kubelet_config.root = state.join("kubelet");
    let seam = |error: linux::Error| failed("cannot read control groups", &error);
    let deps = Deps {
        runtime,
        transport,
        clock: env.clock.clone(),
        rng: env.rng.clone(),
        cgroups: Arc::new(KernelCgroups::detect().map_err(seam)?),
        mounts: Arc::new(KernelMounts),
        machine: Arc::new(KernelMachine::detect().map_err(seam)?),
    };
    let kubelet = Kubelet::new(kubelet_config, deps).map_err(|error| failed("cannot start the kubelet", &error))?;
    tasks.spawn(kubelet.run());
    Ok(())
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
