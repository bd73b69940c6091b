//! The way of a request from socket (or component) to what answers it, as one function that reads top down.

pub mod authn;
pub mod authz;
pub mod impersonate;
mod timeout;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use api::status::About;
use api::{Status, protobuf};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response};

use crate::connect;
use crate::http::body::{Body, Payload};
use crate::http::{Server, gzip, respond};
use crate::request::{RequestInfo, ResourceRequest, Verb};
use crate::resource::Subresource;
use crate::user::User;
use crate::verbs::{Params, RequestContext, media_type, no_such_resource};
use crate::wellknown;

/// A request as it came in.
pub struct Incoming {
    pub parts: Parts,
    pub payload: Payload,
    pub credentials: Credentials,
}

/// By what a request may be known.
pub enum Credentials {
    /// The user of the connection's client certificate; the request's headers may tell as well.
    Connection(Option<Arc<User>>),
    /// A component in this process.
    Component(User),
}

/// Answers any request. A panic costs its request only.
pub fn answer(server: Arc<Server>, incoming: Incoming) -> BoxFuture<'static, Response<Body>> {
    let measured = server.metrics.begin();
    let path = incoming.parts.uri.path().to_owned();
    let reader = reader(&incoming.parts);
    let label = Arc::new(OnceLock::new());
    let passed = AssertUnwindSafe(pass(server.clone(), incoming, label.clone())).catch_unwind();
    let answered = passed.map(move |result| {
        let response = match result {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => respond::status(&status, &reader),
            Err(_) => {
                tracing::error!(path, "a request made the API server panic");
                let why = "this request caused apiserver to panic; look in the logs for details";
                respond::status(&Status::internal(why), &reader)
            }
        };
        server.metrics.end(measured, label.get(), response.status().as_u16());
        response
    });
    answered.boxed()
}

fn reader(parts: &Parts) -> respond::Reader {
    let params = Params::parse(parts.uri.query().unwrap_or_default());
    respond::Reader {
        accept: header(&parts.headers, &ACCEPT),
        pretty: params.get("pretty").map(str::to_owned),
        user_agent: header(&parts.headers, &USER_AGENT),
    }
}

/// What a request is counted as.
pub struct Label {
    pub info: ResourceRequest,
}

async fn pass(server: Arc<Server>, incoming: Incoming, label: Arc<OnceLock<Label>>) -> Result<Response<Body>, Status> {
    let Incoming { parts, payload, credentials } = incoming;
    let params = Params::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), &params);
    let info = info.ok_or_else(|| Status::method_not_allowed(About { group: "", resource: "", name: "" }))?;
    let user = match credentials {
        Credentials::Component(user) => user,
        Credentials::Connection(certificate) => {
            server.authenticator.authenticate(authn::bearer(&parts.headers), certificate).await?
        }
    };
    let user = impersonate::apply(&server.rbac, user, &parts.headers)?;
    authz::check(&server.rbac, &user, &info, &params)?;
    match info {
        RequestInfo::NonResource { path, .. } => wellknown::answer(server, parts, path, params).await,
        RequestInfo::Resource(info) => {
            let request = Authorized { parts, payload, params, info, user };
            resource(server, request, label).await
        }
    }
}

/// A request for a resource that may be answered.
pub struct Authorized {
    pub parts: Parts,
    pub payload: Payload,
    pub params: Params,
    pub info: ResourceRequest,
    pub user: User,
}

async fn resource(
    server: Arc<Server>,
    request: Authorized,
    label: Arc<OnceLock<Label>>,
) -> Result<Response<Body>, Status> {
    let info = &request.info;
    let found = server.engine.registry().find(&info.group, &info.version, &info.resource);
    let resource = found.ok_or_else(no_such_resource)?;
    label.get_or_init(|| Label { info: info.clone() });
    let connect = resource.subresources.iter().any(|subresource| match subresource {
        Subresource::Connect(path) => *path == info.subresource,
        _ => false,
    });
    if connect {
        return connect::answer(server, request).await;
    }
    let is_watch = info.verb == Verb::Watch;
    let timeout = timeout::of(&request.params, is_watch)?;
    let headers = &request.parts.headers;
    let compress = !is_watch && gzip::accepted(headers);
    let (content_type, accept) = (header(headers, &CONTENT_TYPE), header(headers, &ACCEPT));
    let user_agent = header(headers, &USER_AGENT);
    let (body, content_type) = readable(request.payload.read().await?, content_type)?;
    let Authorized { info, user, params, .. } = request;
    let context = RequestContext { info, user, params, content_type, accept, user_agent, body };
    let dispatched = server.engine.dispatch(context);
    let answer = if is_watch {
        dispatched.await?
    } else {
        let timely = tokio::time::timeout(timeout, dispatched).await;
        timely.map_err(|_| timed_out())??
    };
    Ok(respond::answer(answer, compress, &server.stopping).await)
}

/// The body in a form that the engine reads: protobuf, which typed clients send, becomes JSON.
fn readable(body: Bytes, content_type: String) -> Result<(Bytes, String), Status> {
    if media_type(&content_type) != protobuf::CONTENT_TYPE {
        return Ok((body, content_type));
    }
    let json = "application/json".to_owned();
    if body.is_empty() {
        return Ok((body, json));
    }
    let tree = protobuf::decode(&body).map_err(|why| Status::bad_request(why.to_string()))?;
    Ok((tree.to_string().into(), json))
}

fn timed_out() -> Status {
    Status::failure(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
}

/// All values of a header, joined as RFC 9110 allows.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}
