//! Subresources that a kubelet answers: logs, exec, attach, port-forward, and the kubelet's own paths.
//!
//! The API server decides whether and where, then carries bytes: after a kubelet's `101 Switching Protocols` it copies
//! both ways and knows nothing of WebSocket or SPDY.

mod kubelet;
mod options;
mod tunnel;

use std::sync::Arc;

use api::status::About;
use api::{Gvr, Key, Object, Status};
use http::Response;
use http::header::UPGRADE;
use serde_json::Value;

pub use kubelet::Kubelets;

use crate::filters::Authorized;
use crate::filters::authz::forbidden;
use crate::http::body::Body;
use crate::http::{Server, respond};
use crate::request::ResourceRequest;
use crate::seams::Access;
use crate::verbs::no_such_resource;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const KUBELET_PORT: u16 = 10250;

/// Where a kubelet listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletAddress {
    pub host: String,
    pub port: u16,
}

/// Answers an authorized request for a connect subresource.
pub async fn answer(server: Arc<Server>, request: Authorized) -> Result<Response<Body>, Status> {
    let info = &request.info;
    let is_stream = matches!(info.subresource.as_str(), "exec" | "attach" | "portforward");
    if is_stream {
        may_stream(&server, &request)?;
    }
    let (node, path) = match (info.resource.as_str(), info.subresource.as_str()) {
        ("pods", "log" | "exec" | "attach" | "portforward") => {
            let pod = object(&server, &PODS, "pods", &info.namespace, &info.name)?.tree().map_err(Status::internal)?;
            let path = options::path(&request, &pod)?;
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
            if node.is_empty() {
                return unassigned(info);
            }
            (node, path)
        }
        ("nodes", "proxy") => (info.name.clone(), options::with_query(&format!("/{}", info.tail), &request)),
        _ => return Err(no_such_resource()),
    };
    let node = object(&server, &NODES, "nodes", "", &node)?.tree().map_err(Status::internal)?;
    let address = address(&node)?;
    let is_log = info.subresource == "log";
    let response = server.kubelets.send(address, path, request.parts, request.payload, &server.stopping).await?;
    if is_log { kubelet::log_answer(response).await } else { Ok(response) }
}

/// A log that nobody writes yet is empty; everything else needs a node.
fn unassigned(info: &ResourceRequest) -> Result<Response<Body>, Status> {
    if info.subresource == "log" {
        return Ok(respond::text(200, ""));
    }
    Err(Status::bad_request(format!("pod {} does not have a host assigned", info.name)))
}

/// A WebSocket begins with GET, which asks for less than it does: it needs the right to create as well, as upstream's
/// gate AuthorizePodWebsocketUpgradeCreatePermission has it.
fn may_stream(server: &Server, request: &Authorized) -> Result<(), Status> {
    if !request.parts.headers.contains_key(UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let info = &request.info;
    let access = Access {
        verb: "create".to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: None,
    };
    if server.rbac.allows(&request.user, &access) { Ok(()) } else { Err(forbidden(&request.user, &access)) }
}

fn object(server: &Server, gvr: &Gvr, resource: &str, namespace: &str, name: &str) -> Result<Object, Status> {
    let found = server.engine.table(gvr).and_then(|table| table.get(&Key::new(namespace, name)).cloned());
    found.ok_or_else(|| Status::not_found(About { group: "", resource, name }))
}

fn address(node: &Value) -> Result<KubeletAddress, Status> {
    let addresses = node["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |kind: &str| {
        addresses.iter().find(|address| address["type"] == kind).and_then(|found| found["address"].as_str())
    };
    let host = ["InternalIP", "ExternalIP", "InternalDNS", "Hostname"].into_iter().find_map(of);
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let host = host.ok_or_else(|| Status::internal(format!("no preferred addresses found for node {name:?}")))?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok(KubeletAddress { host: host.to_owned(), port })
}
