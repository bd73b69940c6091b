//! Where a proxied request goes: from the name in its path (`[http:|https:]NAME[:PORT]`) to an address, by what the API
//! knows. Nothing is connected here.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use api::{Gvr, Status};
use serde_json::Value;
use tokio_rustls::TlsConnector;

use super::backend::Backend;
use super::{NODES, PODS, node_address, object};
use crate::http::Server;
use crate::request::ResourceRequest;

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");

/// The three parts of a name; a part that is not given is empty.
struct Name<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Name<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
        known.then_some(Self { scheme, name, port })
    }

    fn backend(&self, host: &str, port: u16) -> Backend {
        let tls = || TlsConnector::from(Arc::new(pki::trusting_client_config()));
        Backend { tls: (self.scheme == "https").then(tls), host: host.to_owned(), port }
    }

    /// A port by number; the scheme's own where none is given.
    fn number(&self, port: &str) -> Result<u16, Status> {
        match port {
            "" if self.scheme == "https" => Ok(443),
            "" => Ok(80),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| unreachable(&format!("dial tcp: address {digits}: invalid port")))
            }
            name => Err(unreachable(&format!("dial tcp: lookup tcp/{name}: unknown port"))),
        }
    }
}

pub fn of(server: &Server, info: &ResourceRequest) -> Result<Backend, Status> {
    let singular = info.resource.trim_end_matches('s');
    let name = Name::parse(&info.name);
    let name = name.ok_or_else(|| Status::bad_request(format!("invalid {singular} request {:?}", info.name)))?;
    match info.resource.as_str() {
        "nodes" => of_node(server, &name),
        "services" => of_service(server, &info.namespace, &info.name, &name),
        _ => of_pod(server, &info.namespace, &name),
    }
}

/// The kubelet, or another port of its node.
fn of_node(server: &Server, name: &Name<'_>) -> Result<Backend, Status> {
    let kubelet = node_address(&object(server, &NODES, "", name.name)?)?;
    if name.port.is_empty() || name.port == kubelet.port.to_string() {
        return server.kubelets.backend(kubelet);
    }
    may_be_reached(&kubelet.host)?;
    Ok(name.backend(&kubelet.host, name.number(name.port)?))
}

fn of_pod(server: &Server, namespace: &str, name: &Name<'_>) -> Result<Backend, Status> {
    let pod = object(server, &PODS, namespace, name.name)?;
    let address = pod["status"]["podIPs"][0]["ip"].as_str().unwrap_or_default();
    may_be_reached(address)?;
    let first = || {
        let mut containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let port = containers.find_map(|container| container["ports"][0]["containerPort"].as_u64());
        port.map(|port| port.to_string()).unwrap_or_default()
    };
    let port = if name.port.is_empty() { first() } else { name.port.to_owned() };
    Ok(name.backend(address, name.number(&port)?))
}

/// One of the service's ready addresses whose pod is there, at random.
fn of_service(server: &Server, namespace: &str, id: &str, name: &Name<'_>) -> Result<Backend, Status> {
    let none = |of: &str| unavailable(format!("no endpoints available for service {of:?}"));
    let mut port = name.port.to_owned();
    if let Ok(number) = name.port.parse::<i64>() {
        let service = object(server, &SERVICES, namespace, name.name)?;
        let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
        let found = ports
            .find(|port| port["port"].as_i64() == Some(number))
            .ok_or_else(|| unavailable(format!("no service port {number} found for service {:?}", name.name)))?;
        found["name"].as_str().unwrap_or_default().clone_into(&mut port);
    }
    let endpoints = object(server, &ENDPOINTS, namespace, name.name)?;
    let subsets = endpoints["subsets"].as_array().filter(|subsets| !subsets.is_empty());
    let subsets = subsets.ok_or_else(|| none(name.name))?;
    for subset in shuffled(server, subsets) {
        let mut ports = subset["ports"].as_array().into_iter().flatten();
        let Some(found) = ports.find(|found| found["name"].as_str().unwrap_or_default() == port) else { continue };
        let number = found["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let addresses = subset["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let address = shuffled(server, addresses).find(|address| is_pods(server, namespace, address));
        if let (Some(number), Some(ip)) = (number, address.and_then(|address| address["ip"].as_str())) {
            return Ok(name.backend(ip, number));
        }
    }
    Err(none(id))
}

/// The items, each once, from a random one on.
fn shuffled<'a>(server: &Server, items: &'a [Value]) -> impl Iterator<Item = &'a Value> + use<'a> {
    let first = server.engine.rng().below(items.len() as u64);
    let first = usize::try_from(first).unwrap_or_default();
    items[first..].iter().chain(&items[..first])
}

/// Whether an address is its pod's: anybody may write Endpoints, and the API server reaches more than they.
fn is_pods(server: &Server, namespace: &str, address: &Value) -> bool {
    let target = &address["targetRef"];
    let name = target["name"].as_str().unwrap_or_default();
    if target["namespace"] != namespace {
        return false;
    }
    let pod = object(server, &PODS, namespace, name);
    pod.is_ok_and(|pod| pod["status"]["podIPs"].as_array().into_iter().flatten().any(|ip| ip["ip"] == address["ip"]))
}

/// Loopback and the like are the API server's own.
fn may_be_reached(address: &str) -> Result<(), Status> {
    let is_global = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => {
            !(ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip == Ipv4Addr::UNSPECIFIED)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified()),
    };
    let allowed = address.parse().is_ok_and(is_global);
    if allowed { Ok(()) } else { Err(Status::bad_request("address not allowed")) }
}

/// A backend that gives no answer.
pub fn unreachable(why: &str) -> Status {
    unavailable(format!("error trying to reach service: {why}"))
}

fn unavailable(why: String) -> Status {
    Status::failure(503, "ServiceUnavailable", why)
}
