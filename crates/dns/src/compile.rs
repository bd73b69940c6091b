//! From a Service and its EndpointSlices to what DNS needs of them. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::typed::k8s_openapi::api::discovery::v1::Endpoint as SliceEndpoint;
use api::typed::{EndpointSlice, Service};

/// A port that an SRV record can name. Names and protocols are lowercase.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    pub name: Box<str>,
    pub protocol: Box<str>,
    pub number: u16,
}

/// A ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its label under the service's name: its hostname, or its address with dashes.
    pub label: Box<str>,
    pub address: IpAddr,
    pub ports: Box<[Port]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has addresses of its own.
    Cluster {
        addresses: Box<[IpAddr]>,
        ports: Box<[Port]>,
    },
    Headless,
    /// Another name for a name.
    External(Box<str>),
}

/// One service as DNS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    pub kind: Kind,
    /// In the order of their addresses, each once a hostname.
    pub endpoints: Box<[Endpoint]>,
}

pub fn compile(service: &Service, slices: &[EndpointSlice]) -> Records {
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Records {
            kind: Kind::External(spec.external_name.unwrap_or_default().into()),
            endpoints: Box::default(),
        };
    }
    let listed = spec.cluster_ips.unwrap_or_default();
    let first = spec.cluster_ip.into_iter().filter(|_| listed.is_empty());
    let texts: Vec<String> = listed.iter().cloned().chain(first).collect();
    let addresses: Box<[IpAddr]> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let kind = if texts.iter().any(|text| text == "None") {
        Kind::Headless
    } else {
        let ports = spec.ports.unwrap_or_default();
        let ports = ports.iter().map(|port| self::port(port.name.as_deref(), port.protocol.as_deref(), port.port));
        Kind::Cluster { addresses, ports: ports.collect() }
    };
    Records { kind, endpoints: endpoints(slices) }
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Port {
    Port {
        name: name.unwrap_or_default().to_ascii_lowercase().into(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase().into(),
        number: u16::try_from(number).unwrap_or_default(),
    }
}

/// An endpoint may be in several slices for a moment; a set makes it one.
fn endpoints(slices: &[EndpointSlice]) -> Box<[Endpoint]> {
    let mut found: BTreeSet<(IpAddr, Endpoint)> = BTreeSet::new();
    for slice in slices {
        let ports = slice.ports.as_deref().unwrap_or_default();
        let ports = ports.iter().map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port.unwrap_or_default()));
        let ports: Box<[Port]> = ports.collect();
        for endpoint in slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint)) {
            for address in endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
                let label =
                    endpoint.hostname.as_ref().map_or_else(|| dashed(address), |name| name.to_ascii_lowercase());
                found.insert((address, Endpoint { label: label.into(), address, ports: ports.clone() }));
            }
        }
    }
    found.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// An unknown state counts as ready (KEP-752). The EndpointSlice controller minds publishNotReadyAddresses.
fn is_ready(endpoint: &SliceEndpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
