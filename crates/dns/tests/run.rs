//! The whole way: what the API server tells over its lists and watches is what clients are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use client::transport::{Body, Transport, TransportError};
use client::{Client, Env, Hub};
use dns::{Config, Listeners};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use stdx::Rng;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

type Feed = mpsc::UnboundedSender<String>;

/// An API with lists of one item each, and watches that the test feeds.
#[derive(Default)]
struct Api {
    lists: BTreeMap<&'static str, Value>,
    watches: Mutex<BTreeMap<String, Feed>>,
    /// Lists are answered once it is open.
    is_open: tokio::sync::watch::Sender<bool>,
}

#[async_trait]
impl Transport for Api {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, TransportError> {
        let path = request.uri().path().to_owned();
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            let (feed, events) = mpsc::unbounded_channel::<String>();
            self.watches.lock().expect("lock").insert(path, feed);
            let stream = futures::stream::unfold(events, |mut events| async {
                let text = events.recv().await?;
                Some((Ok(http_body::Frame::data(Bytes::from(text))), events))
            });
            return Ok(http::Response::new(BodyExt::boxed(StreamBody::new(Box::pin(SyncStream(Mutex::new(
                Box::pin(stream),
            )))))));
        }
        self.is_open.subscribe().wait_for(|open| *open).await.expect("the sender lives");
        let item = &self.lists[path.as_str()];
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [item]});
        Ok(http::Response::new(Full::new(Bytes::from(list.to_string())).map_err(|never| match never {}).boxed()))
    }
}

impl Api {
    /// Sends an event, once somebody watches.
    async fn tell(&self, path: &str, kind: &str, object: Value) {
        let event = format!("{}\n", json!({"type": kind, "object": object}));
        loop {
            if let Some(feed) = self.watches.lock().expect("lock").get(path) {
                feed.send(event).expect("it works");
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A body must be `Sync`, which the stream over a channel is not.
struct SyncStream<S>(Mutex<std::pin::Pin<Box<S>>>);

impl<S: futures::Stream> futures::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.lock().expect("lock").as_mut().poll_next(cx)
    }
}

fn service(address: &str, revision: u64) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": revision.to_string()},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    })
}

fn slice(revision: u64) -> Value {
    let labels = json!({"kubernetes.io/service-name": "web"});
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": "web-1", "namespace": "shop", "resourceVersion": revision.to_string(), "labels": labels},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": ["10.244.0.5"]}],
    })
}

async fn ask(server: SocketAddr, name: &str) -> String {
    let mut query = Message::new(1, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(Name::from_ascii(name).expect("it works"), RecordType::A));
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("it works");
    socket.send_to(&query.to_vec().expect("it works"), server).await.expect("it works");
    let mut buffer = [0; 1024];
    let len = socket.recv(&mut buffer).await.expect("it works");
    let reply = Message::from_vec(&buffer[..len]).expect("it works");
    reply.answers.first().map_or_else(|| reply.metadata.response_code.to_string(), |record| record.data.to_string())
}

/// Asks until the answer is the expected one: changes arrive in their own time.
async fn becomes(server: SocketAddr, name: &str, expected: &str) {
    let asking = async {
        while ask(server, name).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking)
        .await
        .unwrap_or_else(|_| panic!("{name} never is {expected}"));
}

#[tokio::test]
async fn answers_follow_the_cluster() {
    let namespace = json!({"metadata": {"name": "shop", "resourceVersion": "2"}});
    let lists = [
        ("/api/v1/services", service("10.96.0.7", 3)),
        ("/apis/discovery.k8s.io/v1/endpointslices", slice(4)),
        ("/api/v1/namespaces", namespace),
    ];
    let api = Arc::new(Api { lists: lists.into(), ..Api::default() });
    let hub = dns::follow(Hub::builder(Client::new(api.clone(), "kube-dns"))).start(&Env::system());
    let listeners = Listeners::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))]).await.expect("it works");
    let server = listeners.udp[0].local_addr().expect("it works");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(dns::run(Config::default(), hub, listeners, Rng::seeded(1)));
    becomes(server, "web.shop.svc.cluster.local.", "Server Failure").await;
    api.is_open.send_replace(true);
    becomes(server, "web.shop.svc.cluster.local.", "10.96.0.7").await;
    becomes(server, "10-244-0-5.web.shop.svc.cluster.local.", "10.244.0.5").await;
    becomes(server, "10-1-2-3.shop.pod.cluster.local.", "10.1.2.3").await;
    api.tell("/api/v1/services", "MODIFIED", service("None", 6)).await;
    becomes(server, "web.shop.svc.cluster.local.", "10.244.0.5").await;
    api.tell("/apis/discovery.k8s.io/v1/endpointslices", "DELETED", slice(7)).await;
    becomes(server, "web.shop.svc.cluster.local.", "Non-Existent Domain").await;
}
