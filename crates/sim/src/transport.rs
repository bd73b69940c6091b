//! The in-process way to the API server, with faults: requests and answers that are late or lost, watches that break.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::Server;
use apiserver::user::User;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Body, Transport, TransportError};
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use stdx::Rng;

use crate::trace::Trace;

/// How often what goes wrong, of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The longest delay of a request.
    pub delay_ms_max: u64,
    /// The request never arrives.
    pub request_lost: u64,
    /// The server does what was asked, but its answer never arrives.
    pub answer_lost: u64,
    /// A watch breaks at an event.
    pub watch_break: u64,
}

impl Faults {
    /// A bad network.
    pub const BAD: Self = Self { delay_ms_max: 40, request_lost: 20, answer_lost: 20, watch_break: 10 };
}

/// What all transports of a cluster share.
#[derive(Clone)]
pub(crate) struct Network {
    pub server: Arc<Server>,
    pub faults: Arc<Mutex<Faults>>,
    pub rng: Rng,
    pub trace: Trace,
}

impl Network {
    /// A transport of one identity; `perfect` ones have no faults.
    pub fn transport(&self, user: &str, groups: &[&str], perfect: bool) -> Arc<dyn Transport> {
        Arc::new(Wire { network: self.clone(), user: User::component(user, groups), perfect })
    }

    fn faults(&self) -> Faults {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strikes(&self, of_thousand: u64) -> bool {
        of_thousand > 0 && self.rng.below(1000) < of_thousand
    }
}

struct Wire {
    network: Network,
    user: User,
    perfect: bool,
}

fn broken() -> TransportError {
    TransportError::Broken(Arc::new(std::io::Error::other("the simulated network lost it")))
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let network = &self.network;
        let faults = if self.perfect { Faults::default() } else { network.faults() };
        if faults.delay_ms_max > 0 {
            tokio::time::sleep(Duration::from_millis(network.rng.below(faults.delay_ms_max))).await;
        }
        if network.strikes(faults.request_lost) {
            return Err(broken());
        }
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let what = format!("{} {} {}", self.user.name, request.method(), request.uri().path());
        let is_write = *request.method() != Method::GET;
        let answer = network.server.call(request, self.user.clone()).await;
        if is_write {
            network.trace.add(format!("{what} -> {}", answer.status().as_u16()));
        }
        let answer = answer.map(|body| body.map_err(|error| TransportError::Broken(error.into())).boxed());
        if is_watch {
            return Ok(answer.map(|body| self.breaking(body, faults.watch_break)));
        }
        if network.strikes(faults.answer_lost) {
            return Err(broken());
        }
        Ok(answer)
    }
}

impl Wire {
    /// The body of a watch, until it breaks.
    fn breaking(&self, body: Body, of_thousand: u64) -> Body {
        if of_thousand == 0 {
            return body;
        }
        let network = self.network.clone();
        let frames =
            BodyStream::new(body).map(move |frame| if network.strikes(of_thousand) { Err(broken()) } else { frame });
        // Nothing comes after the break.
        let mut over = false;
        let frames = frames.take_while(move |frame| {
            let go_on = !over;
            over |= frame.is_err();
            futures::future::ready(go_on)
        });
        BodyExt::boxed(StreamBody::new(frames))
    }
}
