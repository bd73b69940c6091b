//! Answers over UDP and TCP.
//!
//! Names of the cluster are answered by the receiving task itself; who waits for a resolver outside has a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use stdx::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::Config;
use crate::answer::{Answer, answer, reply_to};
use crate::upstream::{self, Transport};
use crate::wire::{TCP_BYTES_MAX, encode, format_error, udp_bytes_max};
use crate::zone::Zone;

/// How many datagrams may wait for resolvers outside; the next ones get a SERVFAIL at once.
const FORWARDS_MAX: usize = 512;
const CONNECTIONS_MAX: usize = 256;
/// How long a TCP connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when a socket cannot be used for a moment (as with no file descriptors left).
const SOCKET_PAUSE: Duration = Duration::from_millis(100);

/// The sockets to serve on.
pub struct Listeners {
    pub udp: Vec<UdpSocket>,
    pub tcp: Vec<TcpListener>,
}

impl Listeners {
    /// Opens UDP and TCP on each address. With port 0 both get the same free port.
    pub async fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut listeners = Self { udp: Vec::new(), tcp: Vec::new() };
        let named = |address: SocketAddr, error: io::Error| {
            io::Error::new(error.kind(), format!("cannot serve DNS on {address}: {error}"))
        };
        for address in addresses {
            let tcp = TcpListener::bind(address).await.map_err(|error| named(*address, error))?;
            let address = tcp.local_addr()?;
            listeners.udp.push(UdpSocket::bind(address).await.map_err(|error| named(address, error))?);
            listeners.tcp.push(tcp);
        }
        Ok(listeners)
    }
}

/// What all sockets share.
pub struct Server {
    pub config: Config,
    zone: RwLock<Zone>,
    turn: AtomicUsize,
    rng: Rng,
}

impl Server {
    pub fn new(mut config: Config, rng: Rng) -> Self {
        // A node whose resolv.conf names this server would have it ask itself for ever.
        config.upstreams.retain(|upstream| !config.addresses.contains(&upstream.ip()));
        Self { config, zone: RwLock::default(), turn: AtomicUsize::new(0), rng }
    }

    pub fn zone(&self) -> RwLockReadGuard<'_, Zone> {
        self.zone.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn zone_mut(&self) -> RwLockWriteGuard<'_, Zone> {
        self.zone.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, listeners: Listeners) {
        let mut tasks = JoinSet::new();
        for socket in listeners.udp {
            tasks.spawn(self.clone().serve_udp(Arc::new(socket)));
        }
        for listener in listeners.tcp {
            tasks.spawn(self.clone().serve_tcp(listener));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a DNS socket's task panicked: {error}");
            }
        }
    }

    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut forwards = JoinSet::new();
        let mut buffer = vec![0; TCP_BYTES_MAX];
        loop {
            let (len, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "a DNS datagram was not received");
                    tokio::time::sleep(SOCKET_PAUSE).await;
                    continue;
                }
            };
            while forwards.try_join_next().is_some() {}
            let (query, decided) = match self.decide(&buffer[..len]) {
                Decision::None => continue,
                Decision::Bytes(bytes) => {
                    send(&socket, &bytes, client).await;
                    continue;
                }
                Decision::Answer(decided) => *decided,
            };
            let bytes_max = udp_bytes_max(&query);
            let reply = match decided {
                Answer::Reply(reply) => encode(reply, bytes_max),
                Answer::Forward | Answer::Chase(..) if forwards.len() >= FORWARDS_MAX => {
                    encode(failure(&query), bytes_max)
                }
                open => {
                    let (server, socket) = (self.clone(), socket.clone());
                    forwards.spawn(async move {
                        let reply = server.complete(&query, open, Transport::Udp).await;
                        if let Some(bytes) = encode(reply, bytes_max) {
                            send(&socket, &bytes, client).await;
                        }
                    });
                    continue;
                }
            };
            if let Some(bytes) = reply {
                send(&socket, &bytes, client).await;
            }
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    // A client that breaks off is no failure of ours.
                    connections.spawn(async move { server.serve_connection(stream).await.ok() });
                }
                Err(error) => {
                    tracing::debug!(%error, "a DNS connection was not accepted");
                    tokio::time::sleep(SOCKET_PAUSE).await;
                }
            }
        }
    }

    async fn serve_connection(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let read = async {
                let len = stream.read_u16().await?;
                buffer.resize(usize::from(len), 0);
                stream.read_exact(&mut buffer).await
            };
            tokio::time::timeout(IDLE_TIMEOUT, read).await??;
            let reply = match self.decide(&buffer) {
                Decision::None => return Ok(()),
                Decision::Bytes(bytes) => Some(bytes),
                Decision::Answer(decided) => {
                    let (query, open) = *decided;
                    encode(self.complete(&query, open, Transport::Tcp).await, TCP_BYTES_MAX)
                }
            };
            let Some(bytes) = reply else { return Ok(()) };
            let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
            stream.write_all(&[&len.to_be_bytes()[..], &bytes].concat()).await?;
        }
    }

    fn decide(&self, bytes: &[u8]) -> Decision {
        let Ok(query) = Message::from_vec(bytes) else {
            return format_error(bytes).map_or(Decision::None, Decision::Bytes);
        };
        if query.metadata.message_type != MessageType::Query {
            return Decision::None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let decided = answer(&self.zone(), &self.config, &query, turn);
        Decision::Answer(Box::new((query, decided)))
    }

    /// Asks outside for what the cluster does not know.
    async fn complete(&self, query: &Message, open: Answer, transport: Transport) -> Message {
        let upstreams = &self.config.upstreams;
        let result = match open {
            Answer::Reply(reply) => return reply,
            Answer::Forward => upstream::ask(upstreams, transport, query, &self.rng).await,
            Answer::Chase(mut reply, question) => {
                let mut further = query.clone();
                further.queries = vec![question];
                upstream::ask(upstreams, transport, &further, &self.rng).await.map(|found| {
                    reply.metadata.response_code = found.metadata.response_code;
                    reply.metadata.truncation |= found.metadata.truncation;
                    reply.metadata.recursion_available = true;
                    reply.add_answers(found.answers);
                    reply
                })
            }
        };
        result.unwrap_or_else(|error| {
            tracing::debug!(%error, "no resolver outside the cluster answered");
            failure(query)
        })
    }
}

enum Decision {
    /// To be ignored.
    None,
    Bytes(Vec<u8>),
    Answer(Box<(Message, Answer)>),
}

fn failure(query: &Message) -> Message {
    let mut reply = reply_to(query);
    reply.metadata.response_code = ResponseCode::ServFail;
    reply
}

async fn send(socket: &UdpSocket, bytes: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, client).await {
        tracing::debug!(%error, %client, "a DNS answer was not sent");
    }
}
