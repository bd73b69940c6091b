//! Measures answers a second over loopback: `dns_bench [SECONDS]`; 10,000 services, 16 clients that wait for each answer.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // A measurement reads the machine's clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Key;
use api::typed::{EndpointSlice, Service, Typed};
use dns::compile::compile;
use dns::server::Server;
use dns::{Config, Listeners};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const SERVICES: usize = 10_000;

#[tokio::main]
async fn main() {
    let secs = std::env::args().nth(1).map_or(3, |secs| secs.parse().unwrap());
    let server = Arc::new(Server::new(Config::default(), stdx::Rng::seeded(1)));
    let before = Instant::now();
    for i in 0..SERVICES {
        let address = format!("10.{}.{}.{}", 96 + i / 65_536, i / 256 % 256, i % 256);
        let service = format!(r#"{{"metadata":{{}},"spec":{{"clusterIP":"{address}","ports":[{{"port":80}}]}}}}"#);
        let slice = format!(
            r#"{{"addressType":"IPv4","metadata":{{}},"ports":[{{"port":80}}],"endpoints":[{{"addresses":["10.244.{}.{}"]}}]}}"#,
            i / 256,
            i % 256
        );
        let service = Service::decode(service.as_bytes()).unwrap();
        let slice = EndpointSlice::decode(slice.as_bytes()).unwrap();
        server.zone_mut().put(&Key::new("ns", &format!("service-{i}")), Some(compile(&service, &[slice])));
    }
    server.zone_mut().set_complete();
    println!("{SERVICES} services compiled in {} ms", before.elapsed().as_millis());
    let listeners = Listeners::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).await.unwrap();
    let address = listeners.udp[0].local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(listeners));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..16 {
        clients.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(address).await.unwrap();
            let (mut latencies, mut buffer) = (Vec::new(), [0; 512]);
            while start.elapsed() < Duration::from_secs(secs) {
                let mut query = Message::new(1, MessageType::Query, OpCode::Query);
                let name = format!("service-{}.ns.svc.cluster.local.", (client * 631 + latencies.len()) % SERVICES);
                query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
                let asked = Instant::now();
                socket.send(&query.to_vec().unwrap()).await.unwrap();
                socket.recv(&mut buffer).await.unwrap();
                latencies.push(asked.elapsed().as_micros());
            }
            latencies
        });
    }
    let mut latencies: Vec<u128> = clients.join_all().await.into_iter().flatten().collect();
    latencies.sort_unstable();
    let per_sec = latencies.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "{per_sec:.0} answers/s  p50 {} us  p99 {} us",
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100]
    );
}
