//! The kubelet's server on :10250: logs, exec, attach, port-forward, pods, stats. TLS with client certificates.
//!
//! ```text
//! API server --TLS--> authenticate by certificate --> authorize --> route --> logs | CRI streaming URL | pods | stats
//! ```
//! Who may ask: the API server's kubelet client and system:masters; everybody else as the API server's authorizer says.

mod auth;
mod route;
mod stats;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pod::PodRef;
use crate::shared::Shared;

/// Connections at a time; streams that were upgraded (exec, port-forward) do not count.
const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A streamed answer.
pub type Answer = http::Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>;

/// What every request sees.
pub(crate) struct Context {
    pub shared: Arc<Shared>,
    pub pods: watch::Receiver<Vec<PodRef>>,
    /// The tasks that outlive their request: log readers and upgraded connections.
    pub tasks: TaskTracker,
    pub stopping: CancellationToken,
}

/// A kubelet's server, before it listens.
pub struct Server(Arc<Context>);

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, pods: watch::Receiver<Vec<PodRef>>) -> Self {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        Self(Arc::new(Context { shared, pods, tasks, stopping }))
    }

    /// Serves until it is dropped; its connections end with it. `tls` must ask for client certificates of the cluster's
    /// authority.
    pub async fn serve(self, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        let _end = self.0.stopping.clone().drop_guard();
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // At the bound, newcomers wait in the kernel's queue.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (context, acceptor) = (Arc::clone(&self.0), acceptor.clone());
                    let stopping = context.stopping.clone();
                    let connection = async move {
                        connection(&context, &acceptor, stream).await;
                        drop(permit);
                    };
                    self.0.tasks.spawn(async move {
                        tokio::select! {
                            biased;
                            () = stopping.cancelled() => {}
                            () = connection => {}
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: give connections time to end.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(context: &Arc<Context>, acceptor: &tokio_rustls::TlsAcceptor, stream: TcpStream) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    let user = certificate.and_then(|certificate| pki::subject_of(&certificate).ok());
    let user = Arc::new(user);
    let service = service_fn(|request| {
        let (context, user) = (Arc::clone(context), Arc::clone(&user));
        async move { Ok::<_, std::convert::Infallible>(answer(&context, user.as_ref().as_ref(), request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the kubelet broke: {error}");
    }
}

async fn answer(
    context: &Arc<Context>,
    user: Option<&pki::Subject>,
    request: http::Request<hyper::body::Incoming>,
) -> Answer {
    let Some(user) = user else { return text(401, "Unauthorized") };
    let allowed = auth::allows(&context.shared, user, request.method(), request.uri().path()).await;
    match allowed {
        Ok(()) => route::route(context, request).await,
        Err(why) => text(403, &why),
    }
}

pub(crate) fn text(code: u16, text: &str) -> Answer {
    whole(code, "text/plain; charset=utf-8", Bytes::from(format!("{text}\n")))
}

/// Without the line end that Go's `http.Error` adds.
pub(crate) fn plain(code: u16, text: &str) -> Answer {
    whole(code, "text/plain; charset=utf-8", Bytes::from(text.to_owned()))
}

pub(crate) fn whole(code: u16, kind: &str, bytes: Bytes) -> Answer {
    let body = Full::new(bytes).map_err(|never| match never {}).boxed();
    let answer = http::Response::builder().status(code).header("content-type", kind).body(body);
    answer.expect("invariant: a known status and content type make an answer")
}

#[cfg(test)]
mod tests;
