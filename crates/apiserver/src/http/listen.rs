//! Sockets: TLS, HTTP/1.1 and HTTP/2 on one port, bounds of what a client may send, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Server;
use super::body::{self, Payload};
use super::connections::{Connections, Place};
use crate::filters::authn::user_of_certificate;
use crate::filters::{self, Credentials, Incoming};
use crate::user::User;

/// All headers of a request together, as Go's server bounds them.
const HEADERS_LEN_MAX: usize = 1 << 20;
/// Streams of one HTTP/2 connection; upstream's bound.
const STREAMS_MAX: u32 = 1000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request, and so for an idle kept-alive HTTP/1.1 connection as well.
const HEADER_TIMEOUT: Duration = Duration::from_secs(90);
/// How often a silent HTTP/2 peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a connection is silent before the kernel asks, and between its questions; Go's.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What requests in flight get to finish after the server was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server without its store leaves connections to the others.
const STAND_BACK: Duration = Duration::from_millis(200);
/// What an idle connection that gives way gets to say goodbye.
const GIVE_WAY_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after accept failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Server {
    /// Serves bound sockets until `shutdown`, then ends watches, lets requests in flight finish, and returns.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Vec<StdListener>,
        tls: Arc<rustls::ServerConfig>,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let (places, connections) = (Connections::new(self.engine.rng().clone()), TaskTracker::new());
        let mut accepting = tokio::task::JoinSet::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let door = Door {
                server: self.clone(),
                tls: TlsAcceptor::from(tls.clone()),
                places: places.clone(),
                connections: connections.clone(),
                shutdown: shutdown.clone(),
            };
            accepting.spawn(door.accept(listener));
        }
        while accepting.join_next().await.is_some() {}
        self.stop();
        connections.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "gave up waiting for connections to end");
        }
        Ok(())
    }
}

struct Door {
    server: Arc<Server>,
    tls: TlsAcceptor,
    places: Arc<Connections>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Door {
    /// The next connection. Several servers may accept from one socket; one that does not reach the store takes what no
    /// other has taken for a moment, so that clients meet it only where all are like it, and never wait in vain.
    async fn next(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let engine = &self.server.engine;
        if engine.config().replica.is_none() {
            return listener.accept().await;
        }
        loop {
            tokio::select! {
                biased;
                () = engine.cut_off.wait_for(|cut_off| *cut_off) => {}
                accepted = listener.accept() => return accepted,
            }
            tokio::time::sleep(STAND_BACK).await;
            if let Some(accepted) = listener.accept().now_or_never() {
                return accepted;
            }
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                accepted = self.next(&listener) => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    let place = tokio::select! {
                        biased;
                        () = self.shutdown.cancelled() => return,
                        place = self.places.enter(accepted.1.ip()) => place,
                    };
                    let Some(place) = place else { return };
                    let shutdown = self.shutdown.clone();
                    let connection = serve(self.server.clone(), self.tls.clone(), accepted, place, shutdown);
                    self.connections.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    server: Arc<Server>,
    tls: TlsAcceptor,
    (stream, peer): (TcpStream, SocketAddr),
    place: Arc<Place>,
    shutdown: CancellationToken,
) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "cannot set the options of a connection");
    }
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    let stream = match place.evicted.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(%error, "TLS handshake failed"),
        Some(Err(_)) => return tracing::debug!("TLS handshake took too long"),
        None => return tracing::debug!("a connection gave way before its handshake ended"),
    };
    let chain = stream.get_ref().1.peer_certificates();
    let user: Option<Arc<User>> = chain.and_then(<[_]>::first).and_then(|der| user_of_certificate(der)).map(Arc::new);
    let (answering, evicted) = (place.clone(), place.evicted.clone());
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(Peer(peer));
        let credentials = Credentials::Connection(user.clone());
        let busy = answering.begin();
        let answered = filters::answer(server.clone(), Incoming { parts, payload: Payload::Wire(body), credentials });
        async move { Ok::<_, Infallible>(answered.await.map(|body| body::with(body, busy))) }
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = evicted.cancelled() => {
            // Who is waited for while all others are busy too cannot be let finish: a watch does not.
            if place.is_busy() {
                return tracing::debug!(%peer, "a connection gave way while it was busy");
            }
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GIVE_WAY_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Small messages go out at once, and a peer that vanished without a word is noticed: streams may idle for hours.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, TCP_KEEP_ALIVE)?;
    Ok(rustix::net::sockopt::set_tcp_keepintvl(stream, TCP_KEEP_ALIVE)?)
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADERS_LEN_MAX);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).keep_alive_interval(KEEP_ALIVE);
    http2.max_header_list_size(HEADERS_LEN_MAX as u32);
    builder
}
