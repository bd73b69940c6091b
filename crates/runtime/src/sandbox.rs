//! Sandboxes: a pod's namespaces, network, files and shim; made in one go, taken down in the reverse order.

use std::path::Path;
use std::sync::Arc;

use cri::{Code, Result, RuntimeError, v1};
use linux::mount::{self, Attr};

use crate::compile::pod_namespace_options;
use crate::core::Core;
use crate::network::PodNet;
use crate::proto::{PodDir, PodFile, Request, write_json};
use crate::state::{Sandbox, SandboxRecord};

/// Unprivileged pods may ping and bind low ports in their own network, as containerd's defaults have it.
const NET_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

pub async fn run(core: &Core, config: v1::PodSandboxConfig) -> Result<String> {
    let metadata = config.metadata.clone().unwrap_or_default();
    if metadata.name.is_empty() || metadata.uid.is_empty() {
        return Err(RuntimeError::new(Code::InvalidArgument, "sandbox config must include metadata with name and uid"));
    }
    let known = core.sandboxes().values().find(|known| known.config.metadata.as_ref() == Some(&metadata)).cloned();
    if let Some(known) = known.filter(|known| known.record().ready) {
        return Ok(known.id.clone());
    }
    let id = core.new_id();
    let dir = core.config.root.join("sandboxes").join(&id);
    let record = SandboxRecord { created_at_nanos: core.now_nanos(), ..SandboxRecord::default() };
    let sandbox = Arc::new(Sandbox::new(id.clone(), config, dir, core.pod_dir(&id), record));
    match make(core, &sandbox).await {
        Ok(()) => {
            core.sandboxes().insert(id.clone(), sandbox);
            Ok(id)
        }
        Err(error) => {
            if let Err(more) = take_down(core, &sandbox).await {
                tracing::warn!(sandbox = id, error = %more, "cannot clear up after a sandbox that failed");
            }
            clear_leftover(&sandbox.dir, &sandbox.pod);
            Err(error)
        }
    }
}

async fn make(core: &Core, sandbox: &Arc<Sandbox>) -> Result<()> {
    let files = sandbox.clone();
    let pod_file = pod_file(core, sandbox);
    let prepare = move || prepare(&files, &pod_file);
    tokio::task::spawn_blocking(prepare).await.map_err(RuntimeError::internal)?.map_err(RuntimeError::internal)?;
    let network = async {
        let Some(net) = pod_net(sandbox) else { return Ok(Vec::new()) };
        core.network.setup(&net).await.map_err(|error| {
            RuntimeError::internal(format!("failed to setup network for sandbox \"{}\": {error}", sandbox.id))
        })
    };
    let shim = async {
        let mut shim = sandbox.shim.lock().await;
        *shim = Some(core.start_shim(sandbox).await.map_err(RuntimeError::internal)?);
        Ok(())
    };
    let (ips, ()) = tokio::try_join!(network, shim)?;
    sandbox
        .update(|record| {
            record.ready = true;
            record.ips = ips;
        })
        .map_err(RuntimeError::internal)
}

fn pod_file(core: &Core, sandbox: &Sandbox) -> PodFile {
    let files = sandbox.files();
    let options = pod_namespace_options(&sandbox.config);
    let sysctls = sandbox.config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default();
    PodFile {
        hostname: Some(sandbox.config.hostname.clone()).filter(|name| !name.is_empty()),
        ipc: files.ipc,
        uts: files.uts,
        shared_pid: options.pid == v1::NamespaceMode::Pod as i32,
        sysctls: sysctls.into_iter().filter(|(name, _)| !name.starts_with("net.")).collect(),
        log_bytes_max: core.config.log_bytes_max,
        log_files_max: core.config.log_files_max,
    }
}

/// Directories, files, the network namespace and shared memory.
fn prepare(sandbox: &Sandbox, pod_file: &PodFile) -> std::result::Result<(), String> {
    let io = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| format!("make {what}: {error}")
    };
    let files = sandbox.files();
    for dir in [sandbox.dir.clone(), sandbox.pod.containers(), sandbox.pod.0.join("ns")] {
        std::fs::create_dir_all(&dir).map_err(io(&dir))?;
    }
    let config = &sandbox.config;
    if !config.log_directory.is_empty() {
        let dir = Path::new(&config.log_directory);
        std::fs::create_dir_all(dir).map_err(io(dir))?;
    }
    sandbox.save_config().map_err(io(&sandbox.dir))?;
    let hostname = if config.hostname.is_empty() { node_hostname() } else { config.hostname.clone() };
    std::fs::write(&files.hostname, format!("{hostname}\n")).map_err(io(&files.hostname))?;
    std::fs::write(&files.resolv_conf, resolv_conf(config.dns_config.as_ref())).map_err(io(&files.resolv_conf))?;
    std::fs::write(&files.hosts, std::fs::read("/etc/hosts").unwrap_or_default()).map_err(io(&files.hosts))?;
    if files.ipc.is_some() {
        std::fs::create_dir_all(&files.shm).map_err(io(&files.shm))?;
        let options = [("mode".to_owned(), "1777".to_owned()), ("size".to_owned(), "65536k".to_owned())];
        let tree = mount::new("tmpfs", &options, Attr::DATA).map_err(|error| error.to_string())?;
        mount::attach_at(&tree, &files.shm).map_err(|error| error.to_string())?;
    }
    sandbox.update(|record| record.networked = files.net.is_some()).map_err(io(&sandbox.dir))?;
    if let Some(netns) = files.net {
        linux::netns::create(&netns).map_err(|error| error.to_string())?;
        let mut sysctls: Vec<(String, String)> =
            NET_SYSCTLS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wanted = config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default();
        sysctls.extend(wanted.into_iter().filter(|(name, _)| name.starts_with("net.")));
        linux::netns::run_in(&netns, move || sysctls.iter().try_for_each(|(name, value)| set_sysctl(name, value)))
            .map_err(|error| error.to_string())??;
    }
    write_json(&sandbox.pod.pod_file(), pod_file).map_err(io(&sandbox.pod.0))
}

fn set_sysctl(name: &str, value: &str) -> std::result::Result<(), String> {
    let path = Path::new("/proc/sys").join(name.replace('.', "/"));
    match std::fs::write(&path, value) {
        // A kernel without the protocol has no such file; that is only worth an error where it was asked for.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && NET_SYSCTLS.iter().any(|(n, _)| *n == name) => {
            Ok(())
        }
        other => other.map_err(|error| format!("set sysctl {name}={value}: {error}")),
    }
}

fn node_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Without a configuration, the node's own.
fn resolv_conf(dns: Option<&v1::DnsConfig>) -> String {
    let Some(dns) = dns else { return std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default() };
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    text.extend(dns.servers.iter().map(|server| format!("nameserver {server}\n")));
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

pub fn pod_net(sandbox: &Sandbox) -> Option<PodNet> {
    let netns = sandbox.files().net?;
    let metadata = sandbox.config.metadata.clone().unwrap_or_default();
    Some(PodNet {
        netns,
        sandbox_id: sandbox.id.clone(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        annotations: sandbox.config.annotations.clone(),
        port_mappings: sandbox.config.port_mappings.clone(),
    })
}

/// Stops what runs in it and gives back what it holds. Its record stays until it is removed.
pub async fn stop(core: &Core, id: &str) -> Result<()> {
    let Ok(sandbox) = core.sandbox(id) else { return Ok(()) };
    let _lifecycle = sandbox.lifecycle.lock().await;
    let containers = core.containers_of(&sandbox.id);
    let stops = containers.iter().map(|container| crate::container::stop(core, container, 0));
    futures::future::try_join_all(stops).await?;
    take_down(core, &sandbox).await
}

async fn take_down(core: &Core, sandbox: &Arc<Sandbox>) -> Result<()> {
    sandbox.update(|record| record.ready = false).map_err(RuntimeError::internal)?;
    if let Some(net) = pod_net(sandbox).filter(|_| sandbox.record().networked) {
        core.network.teardown(&net).await.map_err(|error| {
            RuntimeError::internal(format!("failed to destroy network for sandbox \"{}\": {error}", sandbox.id))
        })?;
        sandbox.update(|record| record.networked = false).map_err(RuntimeError::internal)?;
    }
    if let Some(shim) = sandbox.shim.lock().await.take() {
        // It may be dead already.
        let _ = shim.tell(Request::Quit).await;
    }
    let sandbox = sandbox.clone();
    let free = move || free(&sandbox);
    tokio::task::spawn_blocking(free).await.map_err(RuntimeError::internal)?.map_err(RuntimeError::internal)
}

/// Mounts and namespaces kept by path.
fn free(sandbox: &Sandbox) -> linux::Result<()> {
    let files = sandbox.files();
    linux::netns::delete(&sandbox.netns())?;
    for path in [files.ipc.as_ref(), files.uts.as_ref()].into_iter().flatten() {
        linux::namespace::unpin(path)?;
    }
    if files.ipc.is_some() {
        mount::unmount(&files.shm)?;
    }
    // The first process of a shared PID namespace ends with it; so does a shim that we have lost hold of, as after a
    // kill -9 of the runtime between making and knowing it.
    end(&sandbox.pod.init_file())?;
    end(&sandbox.pod.shim_file())?;
    Ok(())
}

/// Kills the process that a file tells of, if it still is the same one.
fn end(file: &Path) -> linux::Result<()> {
    let known: std::io::Result<Option<crate::proto::ProcessFile>> = crate::proto::read_json(file);
    let Ok(Some(known)) = known else { return Ok(()) };
    // Asked after the pidfd was opened, so that both speak of the same process.
    let Ok(pidfd) = linux::pidfd::open(known.pid) else { return Ok(()) };
    if linux::process::start_ticks(known.pid) == Some(known.start_ticks) {
        linux::pidfd::signal(&pidfd, libc::SIGKILL)?;
    }
    Ok(())
}

pub async fn remove(core: &Core, id: &str) -> Result<()> {
    let Ok(sandbox) = core.sandbox(id) else { return Ok(()) };
    stop(core, &sandbox.id).await?;
    for container in core.containers_of(&sandbox.id) {
        crate::container::remove(core, &container.id).await?;
    }
    let _lifecycle = sandbox.lifecycle.lock().await;
    clear_leftover(&sandbox.dir, &sandbox.pod);
    core.sandboxes().remove(&sandbox.id);
    Ok(())
}

/// Removes a sandbox's directories, whatever of them is there. The record goes first: without it there is no sandbox.
pub fn clear_leftover(dir: &Path, pod: &PodDir) {
    let _ = std::fs::remove_file(dir.join("state.json"));
    for file in [pod.init_file(), pod.shim_file()] {
        if let Err(error) = end(&file) {
            tracing::warn!(file = %file.display(), %error, "cannot end what a sandbox left");
        }
    }
    for part in ["ns/ipc", "ns/uts", "shm"] {
        let _ = mount::unmount(&pod.0.join(part));
    }
    let id = dir.file_name().unwrap_or_default();
    if let Some(run) = pod.0.parent().and_then(Path::parent) {
        let _ = linux::netns::delete(&run.join("netns").join(id));
    }
    for path in [dir, &pod.0] {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove what a sandbox left");
            }
            _ => {}
        }
    }
}

pub fn status(sandbox: &Sandbox) -> v1::PodSandboxStatus {
    let record = sandbox.record();
    let mut ips = record.ips.into_iter();
    let network = v1::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
    };
    let options = Some(pod_namespace_options(&sandbox.config));
    v1::PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: sandbox.config.metadata.clone(),
        state: state(record.ready) as i32,
        created_at: record.created_at_nanos,
        network: Some(network),
        linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options }) }),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: String::new(),
    }
}

pub fn list(core: &Core, filter: &v1::PodSandboxFilter) -> Vec<v1::PodSandbox> {
    let sandboxes: Vec<_> = core.sandboxes().values().cloned().collect();
    let wanted = |item: &v1::PodSandbox| {
        (filter.id.is_empty() || item.id.starts_with(&filter.id))
            && filter.state.as_ref().is_none_or(|state| state.state == item.state)
            && filter.label_selector.iter().all(|(key, value)| item.labels.get(key) == Some(value))
    };
    let items = sandboxes.iter().map(|sandbox| {
        let record = sandbox.record();
        v1::PodSandbox {
            id: sandbox.id.clone(),
            metadata: sandbox.config.metadata.clone(),
            state: state(record.ready) as i32,
            created_at: record.created_at_nanos,
            labels: sandbox.config.labels.clone(),
            annotations: sandbox.config.annotations.clone(),
            runtime_handler: String::new(),
        }
    });
    items.filter(wanted).collect()
}

fn state(ready: bool) -> v1::PodSandboxState {
    if ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready }
}
