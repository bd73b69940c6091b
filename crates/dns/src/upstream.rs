//! Asks the resolvers outside, over the transport that the client used.
//!
//! Each query goes out from a socket and with an ID of its own, and only an answer to it from the resolver that was
//! asked is taken.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use stdx::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long one resolver may take before the next one is asked.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The first resolver's answer, under the query's own ID.
pub(crate) async fn ask(
    upstreams: &[SocketAddr],
    transport: Transport,
    query: &Message,
    rng: &Rng,
) -> Result<Message, String> {
    let mut failures = Vec::new();
    for upstream in upstreams {
        let mut outgoing = query.clone();
        outgoing.metadata.id = u16::try_from(rng.below(1 << 16)).unwrap_or_default();
        let asked = async {
            match transport {
                Transport::Udp => over_udp(*upstream, &outgoing).await,
                Transport::Tcp => over_tcp(*upstream, &outgoing).await,
            }
        };
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(mut reply)) => {
                reply.metadata.id = query.metadata.id;
                return Ok(reply);
            }
            Ok(Err(error)) => failures.push(format!("{upstream}: {error}")),
            Err(_) => failures.push(format!("{upstream}: no answer within {} s", TIMEOUT.as_secs())),
        }
    }
    Err(failures.join("; "))
}

fn is_answer(reply: &Message, query: &Message) -> bool {
    reply.metadata.id == query.metadata.id
        && reply.metadata.message_type == MessageType::Response
        && reply.queries == query.queries
}

async fn over_udp(upstream: SocketAddr, query: &Message) -> io::Result<Message> {
    let any: SocketAddr = if upstream.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    socket.send(&query.to_vec().map_err(io::Error::other)?).await?;
    let mut buffer = vec![0; 65_535];
    loop {
        let len = socket.recv(&mut buffer).await?;
        // Anything else is an attempt to slip in an answer, or an old one.
        if let Ok(reply) = Message::from_vec(&buffer[..len])
            && is_answer(&reply, query)
        {
            return Ok(reply);
        }
    }
}

async fn over_tcp(upstream: SocketAddr, query: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(upstream).await?;
    let bytes = query.to_vec().map_err(io::Error::other)?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], &bytes].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    let reply = Message::from_vec(&reply).map_err(io::Error::other)?;
    if is_answer(&reply, query) { Ok(reply) } else { Err(io::Error::other("the answer is to another question")) }
}
