//! The server over loopback: both transports, sizes, and resolvers outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use api::typed::{EndpointSlice, Service, Typed};
use dns::compile::compile;
use dns::server::Server;
use dns::{Config, Listeners};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::json;
use stdx::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

const BIG: &str = "big.shop.svc.cluster.local";

async fn start(upstreams: Vec<SocketAddr>) -> (SocketAddr, JoinSet<()>) {
    let listeners = Listeners::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).await.expect("bind");
    let address = listeners.udp[0].local_addr().expect("address");
    let server = Arc::new(Server::new(Config { upstreams, ..Config::default() }, Rng::seeded(1)));
    let service = json!({"metadata": {}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}});
    let endpoints: Vec<_> = (0..100).map(|i| json!({"addresses": [format!("10.244.0.{i}")]})).collect();
    let slice = json!({"addressType": "IPv4", "metadata": {}, "ports": [{"port": 80}], "endpoints": endpoints});
    let service = Service::decode(service.to_string().as_bytes()).expect("service");
    let slice = EndpointSlice::decode(slice.to_string().as_bytes()).expect("slice");
    {
        let mut zone = server.zone_mut();
        zone.put_namespace("shop", true);
        zone.put(&Key::new("shop", "big"), Some(compile(&service, &[slice])));
        zone.set_complete();
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(listeners));
    (address, tasks)
}

fn query(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).expect("name"), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

async fn udp(server: SocketAddr, query: &[u8]) -> (usize, Message) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    socket.send_to(query, server).await.expect("send");
    let mut buffer = vec![0; 65_535];
    let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
    let len = received.await.expect("an answer").expect("receive");
    (len, Message::from_vec(&buffer[..len]).expect("message"))
}

async fn tcp(server: SocketAddr, queries: &[Message]) -> Vec<Message> {
    let mut stream = TcpStream::connect(server).await.expect("connect");
    let mut replies = Vec::new();
    for query in queries {
        let bytes = query.to_vec().expect("encode");
        stream.write_u16(u16::try_from(bytes.len()).expect("short")).await.expect("write");
        stream.write_all(&bytes).await.expect("write");
        let mut reply = vec![0; usize::from(stream.read_u16().await.expect("read"))];
        stream.read_exact(&mut reply).await.expect("read");
        replies.push(Message::from_vec(&reply).expect("message"));
    }
    replies
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_is_cut_and_comes_whole_over_tcp() {
    let (server, _tasks) = start(vec![]).await;
    for (payload, size_max, cut) in [(None, 512, true), (Some(1232), 1232, true), (Some(4096), 4096, false)] {
        let (len, reply) = udp(server, &query(BIG, RecordType::A, payload).to_vec().expect("encode")).await;
        assert!(len <= size_max && len > size_max / 3, "{len} of {size_max}");
        assert_eq!((reply.metadata.truncation, reply.edns.is_some()), (cut, payload.is_some()));
        assert_eq!(reply.answers.len() == 100, !cut);
    }
    let query = query(BIG, RecordType::A, None);
    for reply in tcp(server, &[query.clone(), query]).await {
        assert_eq!((reply.answers.len(), reply.metadata.truncation, reply.metadata.id), (100, false, 77));
    }
}

#[tokio::test]
async fn garbage_is_a_format_error_and_other_operations_are_not_implemented() {
    let (server, _tasks) = start(vec![]).await;
    let mut garbage = query(BIG, RecordType::A, None).to_vec().expect("encode");
    garbage.truncate(20);
    let (_, reply) = udp(server, &garbage).await;
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (77, ResponseCode::FormErr));
    let mut update = query(BIG, RecordType::A, None);
    update.metadata.op_code = OpCode::Notify;
    let (_, reply) = udp(server, &update.to_vec().expect("encode")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NotImp);
    let (_, reply) = udp(server, &query("example.com", RecordType::A, None).to_vec().expect("encode")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
}

/// Answers every A query with 192.0.2.9, after an answer that was not asked for.
async fn resolver() -> (SocketAddr, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let address = socket.local_addr().expect("address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..len]).expect("query");
            let mut reply = Message::new(query.metadata.id.wrapping_add(1), MessageType::Response, OpCode::Query);
            reply.queries = query.queries.clone();
            let name = query.queries[0].name().clone();
            reply.add_answer(Record::from_rdata(name, 60, RData::from(std::net::IpAddr::from([192, 0, 2, 9]))));
            for id in [query.metadata.id.wrapping_add(1), query.metadata.id] {
                reply.metadata.id = id;
                socket.send_to(&reply.to_vec().expect("encode"), client).await.expect("send");
            }
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn other_names_are_asked_of_the_resolvers_outside_in_turn() {
    let (good, _resolving) = resolver().await;
    // Nobody listens on the first one's port any more.
    let gone = UdpSocket::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let (server, _tasks) = start(vec![gone, good]).await;
    let (_, reply) = udp(server, &query("example.com", RecordType::A, None).to_vec().expect("encode")).await;
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (77, ResponseCode::NoError));
    assert_eq!(reply.answers[0].data.to_string(), "192.0.2.9");
    let (server, _tasks) = start(vec![gone]).await;
    let (_, reply) = udp(server, &query("example.com", RecordType::A, None).to_vec().expect("encode")).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
}
