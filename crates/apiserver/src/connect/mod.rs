//! Subresources that somebody else answers: logs, exec, attach and port-forward by a kubelet, and the proxies by what
//! listens in a pod or on a node.
//!
//! The API server decides whether and where, then carries bytes: after a backend's `101 Switching Protocols` it copies
//! both ways and knows nothing of WebSocket or SPDY.
//!
//! ```text
//! log, exec, attach, portforward --options--> kubelet's path --+
//! proxy --location--> pod, service's pod, node ----------------+--backend--> answer, or tunnel after 101
//! ```

mod backend;
mod kubelet;
mod links;
mod location;
mod options;
mod proxy;
#[cfg(test)]
mod tests;
mod tunnel;

use std::sync::Arc;

use api::status::About;
use api::{Gvr, Key, Status};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use kubelet::Kubelets;

use crate::filters::Authorized;
use crate::filters::authz::forbidden;
use crate::http::body::{self, Body};
use crate::http::{Server, respond};
use crate::request::ResourceRequest;
use crate::seams::Access;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const KUBELET_PORT: u16 = 10250;

/// Headers that concern the client's connection or identity, and are not passed on.
const OWN_HEADERS: &[HeaderName] = &[header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH];

/// Where a kubelet listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletAddress {
    pub host: String,
    pub port: u16,
}

/// Answers an authorized request for a connect subresource.
pub async fn answer(server: Arc<Server>, request: Authorized) -> Result<Response<Body>, Status> {
    let info = &request.info;
    let methods: &[Method] = match info.subresource.as_str() {
        "log" => &[Method::GET, Method::HEAD],
        "proxy" => PROXY_METHODS,
        _ => &[Method::GET, Method::POST],
    };
    if !methods.contains(&request.parts.method) {
        let about = About { group: "", resource: &info.resource, name: &info.name };
        return Err(Status::method_not_allowed(about));
    }
    if info.subresource != "log" && request.params.all("dryRun").next().is_some() {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    match info.subresource.as_str() {
        "log" => log(&server, &request).await,
        "proxy" => {
            let backend = location::of(&server, info)?;
            proxy::pass(backend, request, &server.stopping).await
        }
        _ => stream(&server, request).await,
    }
}

const PROXY_METHODS: &[Method] =
    &[Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

async fn log(server: &Server, request: &Authorized) -> Result<Response<Body>, Status> {
    let info = &request.info;
    let pod = object(server, &PODS, &info.namespace, &info.name)?;
    let path = options::path(request, &pod)?;
    // A log that nobody writes yet is empty.
    let Some(node) = node_of(&pod) else { return Ok(respond::text(200, "")) };
    let backend = server.kubelets.backend(node_address(&node_of_pod(server, node)?)?)?;
    let answer = backend.ask(get(&path, HeaderMap::new())?).await;
    let url = format!("https://{}{path}", backend.authority());
    let answer = answer.map_err(|why| unknown(format!("Get {url:?}: {why}")))?;
    let (mut head, body) = answer.into_parts();
    proxy::without_hop_headers(&mut head.headers);
    let answer = Response::from_parts(head, backend::streamed(body, &server.stopping));
    kubelet::log_answer(answer, &info.name).await
}

async fn stream(server: &Server, request: Authorized) -> Result<Response<Body>, Status> {
    may_stream(server, &request)?;
    let info = &request.info;
    let pod = object(server, &PODS, &info.namespace, &info.name)?;
    let path = options::path(&request, &pod)?;
    let node = node_of(&pod);
    let node = node.ok_or_else(|| Status::bad_request(format!("pod {} does not have a host assigned", info.name)))?;
    let backend = server.kubelets.backend(node_address(&node_of_pod(server, node)?)?)?;
    let asked = Request::builder().method(&request.parts.method).uri(path).body(body::empty());
    let mut asked = asked.map_err(|error| Status::bad_request(error.to_string()))?;
    *asked.headers_mut() = own_headers(&request.parts.headers);
    if let Ok(host) = backend.authority().parse() {
        asked.headers_mut().insert(header::HOST, host);
    }
    let answer = backend.ask(asked).await.map_err(|why| not_dialed(&why))?;
    upgraded_or_refused(request.parts, answer, &server.stopping)
}

fn get(path: &str, headers: HeaderMap) -> Result<Request<Body>, Status> {
    let mut request = Request::get(path).body(body::empty()).map_err(|error| Status::bad_request(error.to_string()))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("kubelet"));
    Ok(request)
}

fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty())
}

fn own_headers(headers: &HeaderMap) -> HeaderMap {
    let passed =
        headers.iter().filter(|(name, _)| !OWN_HEADERS.contains(name) && !name.as_str().starts_with("impersonate-"));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Joins the client with a backend that switched protocols; passes on a refusal as it is.
fn upgraded_or_refused(
    client: Parts,
    answer: Response<Incoming>,
    stopping: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let code = answer.status();
    if code == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(tunnel::join(client, answer, stopping.clone()));
    }
    if code.as_u16() < 400 {
        return Err(unknown(format!("invalid upgrade response: status code {}", code.as_u16())));
    }
    let (mut head, body) = answer.into_parts();
    proxy::without_hop_headers(&mut head.headers);
    Ok(Response::from_parts(head, backend::streamed(body, stopping)))
}

fn not_dialed(why: &str) -> Status {
    unknown(format!("error dialing backend: {why}"))
}

/// A failure that upstream has no reason for.
fn unknown(message: String) -> Status {
    Status::failure(500, "", message)
}

/// A WebSocket begins with GET, which asks for less than it does: it needs the right to create as well, as upstream's
/// gate AuthorizePodWebsocketUpgradeCreatePermission has it.
fn may_stream(server: &Server, request: &Authorized) -> Result<(), Status> {
    if !proxy::is_upgrade(&request.parts.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let access = access(&request.info);
    if server.rbac.allows(&request.user, &access) { Ok(()) } else { Err(forbidden(&request.user, &access)) }
}

fn access(info: &ResourceRequest) -> Access {
    Access {
        verb: "create".to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: None,
    }
}

fn object(server: &Server, gvr: &Gvr, namespace: &str, name: &str) -> Result<Value, Status> {
    let found = server.engine.table(gvr).and_then(|table| table.get(&Key::new(namespace, name)).cloned());
    let found = found.ok_or_else(|| Status::not_found(About { group: "", resource: &gvr.resource, name }))?;
    found.tree().map_err(Status::internal)
}

/// As upstream does, a missing node is told of as if it were a pod: the request is for a pod.
fn node_of_pod(server: &Server, name: &str) -> Result<Value, Status> {
    let missing = |_| Status::not_found(About { group: "", resource: "pods", name });
    object(server, &NODES, "", name).map_err(missing)
}

fn node_address(node: &Value) -> Result<KubeletAddress, Status> {
    let addresses = node["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |kind: &str| {
        addresses.iter().find(|address| address["type"] == kind).and_then(|found| found["address"].as_str())
    };
    let host = ["InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname"].into_iter().find_map(of);
    let host = host.ok_or_else(|| unknown("no preferred addresses found; known addresses: []".to_owned()))?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
    Ok(KubeletAddress { host: host.to_owned(), port })
}
