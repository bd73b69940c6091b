//! The proxy subresource: a request is passed to a pod, a service's pod or a node, and the answer back, with the links
//! in it turned so that they lead through the proxy again.
//!
//! Headers, redirects and failures are upstream's (apimachinery's `UpgradeAwareHandler`).

use std::net::IpAddr;

use api::Status;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Uri};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, streamed};
use super::links::{self, Links};
use super::location::unreachable;
use super::{options, own_headers, upgraded_or_refused};
use crate::filters::Authorized;
use crate::http::body::{self, Body};
use crate::http::listen::Peer;
use crate::request::ResourceRequest;

/// Headers that concern one connection (RFC 9110, 7.6.1).
const HOP_HEADERS: &[HeaderName] = &[
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const HOP_NAMES: &[&str] = &["keep-alive", "proxy-connection"];

/// A backend may not speak for the API server's origin.
const CORS_HEADERS: &[HeaderName] = &[
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

pub async fn pass(
    backend: Backend,
    request: Authorized,
    stopping: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let Authorized { parts, payload, info, .. } = request;
    let path = path(&info.tail, parts.uri.path());
    if path.is_empty() && !is_upgrade(&parts.headers) && matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(to_the_root(&parts.uri));
    }
    let prefix = prefix(&info);
    let host = host(&parts);
    let links = Links { prefix: &prefix, backend: &backend.authority(), host: &host };
    let target = target(&path, parts.uri.query());
    let mut headers = own_headers(&parts.headers);
    forwarded_for(&mut headers, &parts);
    if let Ok(host) = HeaderValue::from_str(&host) {
        headers.insert(header::HOST, host);
    }
    if is_upgrade(&parts.headers) {
        let request = head(&parts.method, &target, headers)?.map(|()| body::empty());
        let answer = backend.ask(request).await.map_err(|why| super::not_dialed(&why))?;
        return upgraded_or_refused(parts, answer, stopping);
    }
    without_hop_headers(&mut headers);
    if let Ok(uri) = HeaderValue::from_bytes(format!("{prefix}{path}").as_bytes()) {
        headers.insert("x-forwarded-uri", uri);
    }
    let request = head(&parts.method, &target, headers)?.map(|()| payload.into_body());
    let answer = backend.ask(request).await.map_err(|why| unreachable(&why))?;
    let (mut head, answer) = answer.into_parts();
    without_hop_headers(&mut head.headers);
    CORS_HEADERS.iter().for_each(|name| drop(head.headers.remove(name)));
    let answer = streamed(answer, stopping);
    if let Some(location) = head.headers.get(header::LOCATION).and_then(|location| location.to_str().ok()) {
        let location = HeaderValue::from_str(&links.turned(location)).ok();
        location.into_iter().for_each(|location| drop(head.headers.insert(header::LOCATION, location)));
        return Ok(Response::from_parts(head, answer));
    }
    if parts.method == Method::HEAD || !links::is_html(&head.headers) {
        return Ok(Response::from_parts(head, answer));
    }
    let answer = links::turn_page(&mut head.headers, answer, &links).await.map_err(|why| unreachable(&why))?;
    Ok(Response::from_parts(head, answer))
}

pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// What a backend is asked for: the path after `proxy`, without its dots, with the slash that the request ends with.
/// Empty where the request ends with `proxy`.
fn path(tail: &str, whole: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in tail.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
    if whole.ends_with('/') {
        path.push('/');
    }
    path
}

/// The path of the request up to `proxy`, which links must begin with.
fn prefix(info: &ResourceRequest) -> String {
    let version = &info.version;
    match info.namespace.as_str() {
        "" => format!("/api/{version}/{}/{}/proxy", info.resource, info.name),
        namespace => format!("/api/{version}/namespaces/{namespace}/{}/{}/proxy", info.resource, info.name),
    }
}

fn target(path: &str, query: Option<&str>) -> String {
    let path = if path.is_empty() { "/" } else { path };
    let path = options::escape_path(path);
    query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
}

/// A page's relative links need the slash at the end of its own address.
fn to_the_root(uri: &Uri) -> Response<Body> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(body::empty());
    *response.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The host that the client asked for; HTTP/2 has it in the URI.
fn host(parts: &Parts) -> String {
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    named.or_else(|| parts.uri.authority().map(ToString::to_string)).unwrap_or_default()
}

fn forwarded_for(headers: &mut HeaderMap, parts: &Parts) {
    let Some(Peer(peer)) = parts.extensions.get() else { return };
    let ip: IpAddr = peer.ip().to_canonical();
    let name = HeaderName::from_static("x-forwarded-for");
    let before: Vec<&str> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
    let all = before.into_iter().map(str::to_owned).chain([ip.to_string()]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(name, value);
    }
}

pub fn without_hop_headers(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed.iter().chain(HOP_HEADERS) {
        headers.remove(name);
    }
    HOP_NAMES.iter().for_each(|name| drop(headers.remove(*name)));
}

fn head(method: &Method, target: &str, headers: HeaderMap) -> Result<Request<()>, Status> {
    let mut request = Request::builder().method(method).uri(target).body(());
    if let Ok(request) = &mut request {
        *request.headers_mut() = headers;
    }
    request.map_err(|error| Status::bad_request(error.to_string()))
}
