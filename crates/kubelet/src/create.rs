//! From a pod's spec to CRI's configs of its sandbox and containers. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use cri::v1;
use k8s_openapi::api::core::v1 as core;

use crate::config::Config;
use crate::env::expansion::expand;
use crate::env::{self, ConfigError};
use crate::pod::{ContainerRef, PodRef, label};
use crate::{dns, qos, security};

const HOSTNAME_LEN_MAX: usize = 63;

pub fn pod_labels(pod: &PodRef) -> BTreeMap<String, String> {
    let own = pod.get().metadata.labels.clone().unwrap_or_default();
    let mut labels = own;
    labels.insert(label::POD_NAME.to_owned(), pod.name().to_owned());
    labels.insert(label::POD_NAMESPACE.to_owned(), pod.namespace().to_owned());
    labels.insert(label::POD_UID.to_owned(), pod.uid().to_owned());
    labels
}

pub fn hostname(pod: &PodRef) -> String {
    let mut name = pod.spec().hostname.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| pod.name().to_owned());
    if name.len() > HOSTNAME_LEN_MAX {
        name.truncate(HOSTNAME_LEN_MAX);
        name = name.trim_end_matches(['-', '.']).to_owned();
    }
    name
}

/// The pod's full name, where it has a subdomain.
pub fn fqdn(pod: &PodRef, domain: &str) -> Option<String> {
    let subdomain = pod.spec().subdomain.as_deref().filter(|subdomain| !subdomain.is_empty())?;
    Some(format!("{}.{subdomain}.{}.svc.{domain}", hostname(pod), pod.namespace()))
}

pub fn sandbox(pod: &PodRef, attempt: u32, config: &Config, node_resolv: &str) -> v1::PodSandboxConfig {
    let full = pod.spec().set_hostname_as_fqdn.unwrap_or(false).then(|| fqdn(pod, &config.cluster_domain)).flatten();
    let sysctls = pod.spec().security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let limits = qos::pod_limits(pod);
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt,
        }),
        hostname: if pod.is_host_network() { String::new() } else { full.unwrap_or_else(|| hostname(pod)) },
        log_directory: path(&config.pod_log_dir(pod.namespace(), pod.name(), pod.uid())),
        dns_config: Some(dns::config(pod, config, node_resolv)),
        port_mappings: pod.containers().flat_map(|c| ports(c.spec)).collect(),
        labels: pod_labels(pod),
        annotations: pod.get().metadata.annotations.clone().unwrap_or_default(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: qos::cgroup_path(&config.cgroup_root, pod),
            security_context: Some(security::sandbox(pod, config.seccomp_default)),
            sysctls: sysctls.into_iter().flatten().map(|s| (s.name.clone(), s.value.clone())).collect(),
            overhead: None,
            resources: Some(v1::LinuxContainerResources {
                cpu_shares: i64::try_from(limits.cpu_shares).unwrap_or(0),
                cpu_quota: limits.cpu_quota_micros,
                cpu_period: qos::CPU_PERIOD_MICROS,
                memory_limit_in_bytes: limits.memory_bytes,
                ..v1::LinuxContainerResources::default()
            }),
        }),
        windows: None,
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn ports(container: &core::Container) -> impl Iterator<Item = v1::PortMapping> {
    container.ports.iter().flatten().map(|port| v1::PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => v1::Protocol::Udp as i32,
            Some("SCTP") => v1::Protocol::Sctp as i32,
            _ => v1::Protocol::Tcp as i32,
        },
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    })
}

/// What a container's config is made of besides its spec.
pub struct ContainerInput<'a> {
    pub pod: &'a PodRef,
    pub container: &'a ContainerRef<'a>,
    pub attempt: u32,
    pub env: &'a env::Input<'a>,
    pub image: &'a v1::Image,
    pub mounts: Vec<v1::Mount>,
    pub node_memory_bytes: u64,
    pub seccomp_default: bool,
    /// The id of the container whose processes this one sees, where it is an ephemeral one that targets another.
    pub target: Option<String>,
}

pub fn container(input: ContainerInput<'_>) -> Result<v1::ContainerConfig, ConfigError> {
    let (pod, spec) = (input.pod, input.container.spec);
    let vars = env::env(input.env)?;
    let by_name: BTreeMap<&str, &String> = vars.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let lookup = |name: &str| by_name.get(name).map(|value| (*value).clone());
    let words = |list: &Option<Vec<String>>| list.iter().flatten().map(|word| expand(word, &lookup)).collect();
    let user = (input.image.uid.map(|uid| uid.value), input.image.username.as_str());
    let mut security = security::container(pod, spec, user, input.seccomp_default)?;
    if let (Some(target), Some(options)) = (&input.target, &mut security.namespace_options) {
        security::share_processes(options, target);
    }
    let mut labels: BTreeMap<_, _> = [(label::CONTAINER_NAME.to_owned(), spec.name.clone())].into();
    for key in [label::POD_NAME, label::POD_NAMESPACE, label::POD_UID] {
        labels.extend(pod_labels(pod).remove_entry(key));
    }
    let annotations = annotations(&input);
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: spec.name.clone(), attempt: input.attempt }),
        image: Some(v1::ImageSpec {
            image: input.image.id.clone(),
            user_specified_image: spec.image.clone().unwrap_or_default(),
            ..v1::ImageSpec::default()
        }),
        command: words(&spec.command),
        args: words(&spec.args),
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        envs: vars.iter().map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone() }).collect(),
        mounts: input.mounts,
        labels,
        annotations,
        log_path: format!("{}/{}.log", spec.name, input.attempt),
        stdin: spec.stdin.unwrap_or(false),
        stdin_once: spec.stdin_once.unwrap_or(false),
        tty: spec.tty.unwrap_or(false),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(qos::container_resources(pod, spec, input.node_memory_bytes)),
            security_context: Some(security),
        }),
        ..v1::ContainerConfig::default()
    })
}

fn annotations(input: &ContainerInput<'_>) -> BTreeMap<String, String> {
    let spec = input.container.spec;
    [
        (label::CONTAINER_HASH, input.container.hash()),
        (label::RESTART_COUNT, input.attempt.to_string()),
        (label::MESSAGE_PATH, message_path(spec).to_owned()),
        (label::MESSAGE_POLICY, spec.termination_message_policy.clone().unwrap_or_else(|| "File".to_owned())),
        (label::GRACE_PERIOD, input.pod.grace_period_secs().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Where in the container it may leave its last words.
pub fn message_path(spec: &core::Container) -> &str {
    spec.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log")
}

/// The pod's /etc/hosts. A pod on the node's network gets the node's file, given as `node`.
pub fn hosts_file(pod: &PodRef, addresses: &[String], domain: &str, node: &str) -> String {
    let mut text = if pod.is_host_network() {
        format!("# Kubernetes-managed hosts file (host network).\n{node}")
    } else {
        let mut text =
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
                .to_owned();
        for address in addresses {
            match fqdn(pod, domain) {
                Some(full) => text.push_str(&format!("{address}\t{full}\t{}\n", hostname(pod))),
                None => text.push_str(&format!("{address}\t{}\n", hostname(pod))),
            }
        }
        text
    };
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            text.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    text
}
