//! The way of a request from socket (or component) to what answers it, as one function that reads top down.

pub mod authn;
pub mod authz;
pub mod impersonate;
mod inflight;
mod timeout;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use api::Status;
use api::status::About;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Response};

use crate::connect;
use crate::http::body::{self, Body, Payload};
use crate::http::{Server, gzip, respond, websocket};
use crate::metrics::{self, Labels};
use crate::request::{RequestInfo, ResourceRequest, Verb};
use crate::resource::{Resource, Subresource};
use crate::user::User;
use crate::verbs::{Answer, AnswerBody, AnswerStream, Params, RequestContext, no_such_resource};
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
    let begun = metrics::now();
    let path = incoming.parts.uri.path().to_owned();
    let reader = reader(&incoming.parts);
    let labels = Arc::new(OnceLock::new());
    let passed = AssertUnwindSafe(pass(server.clone(), incoming, labels.clone())).catch_unwind();
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
        if let Some(labels) = labels.get() {
            server.engine.metrics().answered(labels.clone(), response.status().as_u16(), begun);
        }
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

async fn pass(
    server: Arc<Server>,
    incoming: Incoming,
    labels: Arc<OnceLock<Labels>>,
) -> Result<Response<Body>, Status> {
    let Incoming { parts, payload, credentials } = incoming;
    let mut payload = Some(payload);
    let answered = route(server, parts, credentials, &mut payload, labels).await;
    if let Some(unread) = payload {
        // What stays unread would cost the client its connection.
        unread.discard().await;
    }
    answered
}

/// Takes the payload only for who reads it.
async fn route(
    server: Arc<Server>,
    parts: Parts,
    credentials: Credentials,
    payload: &mut Option<Payload>,
    labels: Arc<OnceLock<Labels>>,
) -> Result<Response<Body>, Status> {
    let params = Params::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), &params);
    let info = info.ok_or_else(|| Status::method_not_allowed(About { group: "", resource: "", name: "" }))?;
    let found = found(&server, &info);
    let labels = labels.get_or_init(|| match (&info, &found) {
        (RequestInfo::Resource(info), Some(resource)) => Labels::of_resource(resource, info, &params, &parts.headers),
        (RequestInfo::Resource(_), None) => Labels::of_path(&parts.method, ""),
        (RequestInfo::NonResource { path, .. }, _) => Labels::of_path(&parts.method, path),
    });
    let is_component = matches!(credentials, Credentials::Component(_));
    let user = match credentials {
        Credentials::Component(user) => user,
        Credentials::Connection(certificate) => {
            server.authenticator.authenticate(authn::bearer(&parts.headers), certificate).await?
        }
    };
    let user = impersonate::apply(&server.rbac, user, &parts.headers)?;
    let connects = found.as_ref().is_some_and(|resource| is_connect(resource, &info));
    let _inflight = match is_component || connects {
        true => None,
        false => inflight::enter(server.engine.metrics(), &user, &info)?,
    };
    authz::check(&server.rbac, &user, &info, &params)?;
    match (info, found) {
        (RequestInfo::NonResource { path, .. }, _) => wellknown::answer(server, parts, path, params).await,
        // A group of ours knows what it does not have; one of nobody is no path at all.
        (RequestInfo::Resource(info), None) if wellknown::discovery::is_own_group(&info.group) => {
            Err(no_such_resource())
        }
        (RequestInfo::Resource(_), None) => Ok(respond::page_not_found()),
        (RequestInfo::Resource(info), Some(_)) => {
            let payload = payload.take().unwrap_or(Payload::Whole(Bytes::new()));
            let request = Authorized { parts, payload, params, info, user };
            if connects { connect::answer(server, request).await } else { resource(server, request, labels).await }
        }
    }
}

fn found(server: &Server, info: &RequestInfo) -> Option<Arc<Resource>> {
    let RequestInfo::Resource(info) = info else { return None };
    server.engine.registry().find(&info.group, &info.version, &info.resource).cloned()
}

/// Whether a node, not the engine, answers.
fn is_connect(resource: &Resource, info: &RequestInfo) -> bool {
    let RequestInfo::Resource(info) = info else { return false };
    resource.subresources.iter().any(|subresource| match subresource {
        Subresource::Connect(path) => *path == info.subresource,
        _ => false,
    })
}

/// A request for a resource that may be answered.
pub struct Authorized {
    pub parts: Parts,
    pub payload: Payload,
    pub params: Params,
    pub info: ResourceRequest,
    pub user: User,
}

async fn resource(server: Arc<Server>, request: Authorized, labels: &Labels) -> Result<Response<Body>, Status> {
    // A watch goes on after its head; whatever else is slow, a body that trickles in among it, gets no longer.
    let is_watch = request.info.verb == Verb::Watch;
    let compress = !is_watch && gzip::accepted(&request.parts.headers);
    let timeout = timeout::of(&request.params, is_watch)?;
    let socket = (is_watch && websocket::is_asked_for(&request.parts.headers)).then(|| request.parts.clone());
    let timely = tokio::time::timeout(timeout, dispatch(&server, request)).await;
    let mut answer = timely.map_err(|_| timed_out())??;
    if is_watch && let AnswerBody::Stream(stream) = answer.body {
        let running = server.engine.metrics().long_running(labels.clone());
        let stream: AnswerStream = Box::pin(stream.inspect(move |_| {
            let _until_the_stream_ends = &running;
        }));
        // Over a WebSocket each frame is a message of its own.
        answer.body = AnswerBody::Stream(if socket.is_some() { stream } else { body::joined(stream) });
    }
    if let Some(parts) = socket {
        return Ok(websocket::answer(parts, answer, server.stopping.clone()));
    }
    Ok(respond::answer(answer, compress, &server.stopping).await)
}

async fn dispatch(server: &Server, request: Authorized) -> Result<Answer, Status> {
    let headers = &request.parts.headers;
    let (content_type, accept) = (header(headers, &CONTENT_TYPE), header(headers, &ACCEPT));
    let user_agent = header(headers, &USER_AGENT);
    let body = request.payload.read().await?;
    let Authorized { info, user, params, .. } = request;
    let context = RequestContext { info, user, params, content_type, accept, user_agent, body };
    server.engine.dispatch(context).await
}

fn timed_out() -> Status {
    Status::failure(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
}

/// All values of a header, joined as RFC 9110 allows.
fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(", ")
}
