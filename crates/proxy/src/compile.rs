//! One service and its endpoint slices -> its rules. Pure.
//!
//! Which endpoints take traffic follows upstream: the ready ones, or, when none is, those that still serve while they
//! terminate (KEP-1669); the traffic policies `Local` keep to endpoints of this node (KEP-2086).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::typed::k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use api::typed::{EndpointSlice, Service};

use crate::rule::{Backend, Choice, Front, Key, Protocol, Route, Rules, Value};

/// How long a client keeps its endpoint when the service does not say.
const AFFINITY_SECS: u32 = 10_800;

/// What the rules of every service depend on.
#[derive(Clone, Debug)]
pub struct Facts {
    pub node_name: String,
    /// Service addresses that this node answers itself (cluster DNS); the proxy leaves them alone.
    pub local_vips: Vec<Ipv4Addr>,
}

/// An endpoint that takes traffic for one service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    backend: Backend,
    is_local: bool,
}

pub fn compile(service: &Service, slices: &[EndpointSlice], facts: &Facts) -> Rules {
    let mut rules = Rules::new();
    let Some(spec) = &service.spec else { return rules };
    if spec.type_.as_deref() == Some("ExternalName") {
        return rules;
    }
    let cluster_ips: Vec<Ipv4Addr> = addresses(spec.cluster_ips.as_deref().unwrap_or_default());
    if cluster_ips.is_empty() || cluster_ips.iter().any(|ip| facts.local_vips.contains(ip)) {
        return rules;
    }
    let external_ips = external_addresses(service, spec);
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else { continue };
        let candidates = candidates(port, protocol, slices, &facts.node_name);
        add_port(&mut rules, spec, port, protocol, &candidates, &cluster_ips, &external_ips);
    }
    rules
}

fn add_port(
    rules: &mut Rules,
    spec: &ServiceSpec,
    port: &ServicePort,
    protocol: Protocol,
    candidates: &[Candidate],
    cluster_ips: &[Ipv4Addr],
    external_ips: &[Ipv4Addr],
) {
    let Ok(number) = u16::try_from(port.port) else { return };
    let inside_is_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let outside_is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    for ip in cluster_ips {
        let front = Front::Address { ip: *ip, protocol, port: number };
        add_front(rules, front, candidates, inside_is_local, false, spec);
    }
    for ip in external_ips {
        let front = Front::Address { ip: *ip, protocol, port: number };
        add_front(rules, front, candidates, outside_is_local, !outside_is_local, spec);
    }
    if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0) {
        let front = Front::NodePort { protocol, port: node_port };
        add_front(rules, front, candidates, outside_is_local, !outside_is_local, spec);
    }
}

fn add_front(
    rules: &mut Rules,
    front: Front,
    candidates: &[Candidate],
    local_only: bool,
    masquerade: bool,
    spec: &ServiceSpec,
) {
    let chosen: Vec<Backend> = candidates
        .iter()
        .filter(|candidate| candidate.is_local || !local_only)
        .map(|candidate| candidate.backend)
        .collect();
    if chosen.is_empty() {
        // A front without any endpoint is left out: the guard rejects its address, nothing listens on its node port.
        if local_only && !candidates.is_empty() {
            rules.insert(Key::Front(front), Value::Route(Route { choice: Choice::Drop, masquerade: false }));
        }
        return;
    }
    for backend in &chosen {
        rules.insert(Key::Hairpin(backend.ip), Value::Present);
    }
    let choice = match affinity_secs(spec) {
        Some(timeout_secs) => Choice::Sticky { backends: chosen, timeout_secs },
        None => {
            for (position, backend) in chosen.iter().enumerate() {
                let key = Key::Endpoint { front, endpoint_count: chosen.len(), position };
                rules.insert(key, Value::Backend(*backend));
            }
            Choice::Pick { endpoint_count: chosen.len() }
        }
    };
    rules.insert(Key::Front(front), Value::Route(Route { choice, masquerade }));
}

fn affinity_secs(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let configured =
        spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    Some(configured.and_then(|secs| u32::try_from(secs).ok()).unwrap_or(AFFINITY_SECS))
}

/// The endpoints that take traffic for a port: sorted and without duplicates, so that the same input gives the same rules.
fn candidates(port: &ServicePort, protocol: Protocol, slices: &[EndpointSlice], node_name: &str) -> Vec<Candidate> {
    let (mut ready, mut draining) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let Some(number) = slice_port(slice, port, protocol) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let is_ready = conditions.ready.unwrap_or(true);
            let is_draining = conditions.serving.unwrap_or(is_ready) && conditions.terminating.unwrap_or(false);
            let is_local = endpoint.node_name.as_deref() == Some(node_name);
            let ips = endpoint.addresses.iter().take(1).filter_map(|address| address.parse().ok());
            let found = ips.map(|ip| Candidate { backend: Backend { ip, port: number }, is_local });
            if is_ready {
                ready.extend(found);
            } else if is_draining {
                draining.extend(found);
            }
        }
    }
    if ready.is_empty() { draining.into_iter().collect() } else { ready.into_iter().collect() }
}

fn slice_port(slice: &EndpointSlice, port: &ServicePort, protocol: Protocol) -> Option<u16> {
    let wanted = port.name.as_deref().unwrap_or_default();
    let same = slice.ports.iter().flatten().find(|candidate| {
        candidate.name.as_deref().unwrap_or_default() == wanted
            && Protocol::parse(candidate.protocol.as_deref()) == Some(protocol)
    });
    u16::try_from(same?.port?).ok()
}

fn external_addresses(service: &Service, spec: &ServiceSpec) -> Vec<Ipv4Addr> {
    let mut found = addresses(spec.external_ips.as_deref().unwrap_or_default());
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    for ingress in balancer.into_iter().flatten() {
        if ingress.ip_mode.as_deref() != Some("Proxy") {
            found.extend(ingress.ip.iter().filter_map(|ip| ip.parse::<Ipv4Addr>().ok()));
        }
    }
    found
}

/// `None` (headless) and IPv6 addresses are skipped.
fn addresses(texts: &[String]) -> Vec<Ipv4Addr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
