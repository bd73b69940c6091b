//! The streaming server: exec, attach and port-forward by the one-time URLs that CRI's calls answer with.
//!
//! It listens on the node's loopback; a URL's token is 128 random bits, is good for one request and for a minute. The
//! wire protocols are the room `streaming`'s.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cri::{Code, Result, RuntimeError, v1};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::attend;
use crate::core::Core;

/// As containerd's limits: requests that wait for their client, and for how long.
const WAITING_MAX: usize = 1000;
const WAITING: Duration = Duration::from_secs(60);

/// What a URL stands for.
#[derive(Clone, Debug)]
pub enum Wanted {
    Exec(v1::ExecRequest),
    Attach(v1::AttachRequest),
    PortForward(v1::PortForwardRequest),
}

type Waiting = Arc<Mutex<HashMap<String, (Wanted, Instant)>>>;

pub struct Server {
    address: SocketAddr,
    waiting: Waiting,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(core: Arc<Core>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let waiting = Waiting::default();
        let task = tokio::spawn(serve(listener, core, waiting.clone()));
        Ok(Self { address, waiting, task })
    }

    /// The URL at which the client finds its stream.
    pub fn url(&self, wanted: Wanted) -> Result<String> {
        let token = token().map_err(RuntimeError::internal)?;
        let path = match wanted {
            Wanted::Exec(_) => "exec",
            Wanted::Attach(_) => "attach",
            Wanted::PortForward(_) => "portforward",
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        waiting.retain(|_, (_, until)| *until > now);
        if waiting.len() >= WAITING_MAX {
            return Err(RuntimeError::new(Code::Unavailable, "maximum number of in-flight requests exceeded"));
        }
        let url = format!("http://{}/{path}/{token}", self.address);
        waiting.insert(token, (wanted, now + WAITING));
        Ok(url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn token() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn serve(listener: TcpListener, core: Arc<Core>, waiting: Waiting) {
    let mut clients = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(clients.spawn(client(stream, core.clone(), waiting.clone()))),
                Err(error) => {
                    // Out of descriptors, most likely: let others finish first.
                    tracing::warn!(%error, "cannot accept a streaming client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn client(stream: TcpStream, core: Arc<Core>, waiting: Waiting) {
    // The session runs here, so that it ends with the server; hyper hands the connection over by the channel.
    let (hand_over, mut session) = tokio::sync::mpsc::channel(1);
    let service = hyper::service::service_fn(|request| {
        let (waiting, hand_over) = (waiting.clone(), hand_over.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, &waiting, &hand_over).await) }
    });
    // A client that ends the connection early is no error of ours.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    let Ok((upgrade, protocol, wanted)) = session.try_recv() else { return };
    let upgrade: hyper::upgrade::OnUpgrade = upgrade;
    let Ok(io) = upgrade.await else { return };
    let io = TokioIo::new(io);
    let done = match wanted {
        Wanted::Exec(request) => attend::exec(&core, request, io, protocol).await,
        Wanted::Attach(request) => attend::attach(&core, request, io, protocol).await,
        Wanted::PortForward(request) => attend::port_forward(&core, request, io, protocol).await,
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a stream ended");
    }
}

type HandOver = tokio::sync::mpsc::Sender<(hyper::upgrade::OnUpgrade, ::streaming::Protocol, Wanted)>;

async fn answer(mut request: Request<Incoming>, waiting: &Waiting, hand_over: &HandOver) -> Response<Full<Bytes>> {
    let token = request.uri().path().rsplit('/').next().unwrap_or_default();
    let found = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    let Some((wanted, _)) = found.filter(|(_, until)| *until > Instant::now()) else {
        return plain(StatusCode::NOT_FOUND, "no such request, or it was made already\n".to_owned());
    };
    let purpose = match wanted {
        Wanted::Exec(_) | Wanted::Attach(_) => ::streaming::Purpose::Exec,
        Wanted::PortForward(_) => ::streaming::Purpose::PortForward,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    match ::streaming::negotiate(&parts, purpose) {
        Ok(accepted) => {
            let protocol = accepted.protocol;
            if hand_over.send((upgrade, protocol, wanted)).await.is_err() {
                return plain(StatusCode::SERVICE_UNAVAILABLE, String::new());
            }
            accepted.response().map(|()| Full::default())
        }
        Err(refusal) => {
            let mut response = plain(refusal.status, refusal.to_string());
            response.headers_mut().extend(refusal.headers);
            response
        }
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
