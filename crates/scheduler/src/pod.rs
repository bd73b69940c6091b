//! What the scheduler keeps of a pod: the parts that decide its place, decoded once.

use api::object::DecodeError;
use api::typed::Pod;
use api::typed::k8s_openapi::api::core::v1::{NodeAffinity, PodSpec, Toleration};
use api::{Key, Object};
use jiff::Timestamp;

use crate::affinity::{PodAffinities, Spread};
use crate::resources::{Resources, pod_requests, pod_requests_for_scoring};

#[derive(Clone, Debug)]
pub struct PodInfo {
    pub object: Object,
    pub key: Key,
    pub uid: Box<str>,
    /// Empty until it is bound.
    pub node_name: Box<str>,
    pub scheduler_name: Box<str>,
    pub priority: i32,
    pub requests: Resources,
    pub requests_for_scoring: Resources,
    pub node_selector: Vec<(Box<str>, Box<str>)>,
    pub node_affinity: Option<NodeAffinity>,
    pub tolerations: Vec<Toleration>,
    pub host_ports: Vec<HostPort>,
    /// Where other pods are or are not to be; nothing for most pods.
    pub affinity: Option<Box<PodAffinities>>,
    pub spread: Vec<Spread>,
    /// Succeeded and Failed pods use nothing any more.
    pub is_terminal: bool,
    pub is_gated: bool,
    pub never_preempts: bool,
    /// The node that others were told to leave for it; mostly empty.
    pub nominated_node: Box<str>,
    pub start_time: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub protocol: Box<str>,
    /// `0.0.0.0` for all.
    pub ip: Box<str>,
    pub port: i32,
}

impl PodInfo {
    pub fn decode(object: &Object) -> Result<Self, DecodeError> {
        let pod: Pod = object.typed()?;
        let status = pod.status.unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        let spec = pod.spec.unwrap_or_default();
        Ok(Self {
            object: object.clone(),
            key: object.key(),
            uid: object.uid().into(),
            priority: spec.priority.unwrap_or(0),
            requests: pod_requests(&spec),
            requests_for_scoring: pod_requests_for_scoring(&spec),
            host_ports: host_ports(&spec),
            is_terminal: matches!(phase.as_str(), "Succeeded" | "Failed"),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            nominated_node: status.nominated_node_name.unwrap_or_default().into(),
            start_time: status.start_time.map(|time| time.0),
            is_gated: spec.scheduling_gates.is_some_and(|gates| !gates.is_empty()),
            node_name: spec.node_name.unwrap_or_default().into(),
            scheduler_name: spec.scheduler_name.unwrap_or_else(|| crate::DEFAULT_SCHEDULER.to_owned()).into(),
            node_selector: pairs(spec.node_selector.unwrap_or_default()),
            affinity: PodAffinities::read(object, spec.affinity.as_ref()),
            spread: spec.topology_spread_constraints.iter().flatten().map(|one| Spread::read(object, one)).collect(),
            node_affinity: spec.affinity.and_then(|affinity| affinity.node_affinity),
            tolerations: spec.tolerations.unwrap_or_default(),
        })
    }
}

fn pairs(map: std::collections::BTreeMap<String, String>) -> Vec<(Box<str>, Box<str>)> {
    map.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let wanted = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0");
        Some(HostPort { protocol: port.protocol.as_deref().unwrap_or("TCP").into(), ip: ip.into(), port: number })
    });
    wanted.collect()
}
