//! The kubelet's server over real TLS on loopback.

use std::sync::Arc;

use bytes::Bytes;
use cri::fake::FakeRuntime;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use pki::{Authority, Identity, Request};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::testing::{FakeApi, Stage, TempDir, TokioClock};
use crate::{Config, Deps, Kubelet};

struct World {
    port: u16,
    authority: Arc<Authority>,
    _dir: TempDir,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

fn now() -> Timestamp {
    stdx::Clock::now(&stdx::SystemClock)
}

/// A kubelet with one running pod `p` whose container `c` has written a line.
async fn world() -> World {
    let dir = TempDir::new("server");
    let api = FakeApi::new();
    let runtime = FakeRuntime::new(TokioClock::new());
    runtime.serve_every_image();
    let mut config = Config::new("n1", "127.0.0.1");
    config.root = dir.0.join("kubelet");
    config.logs = dir.0.join("logs");
    let logs = config.pod_log_dir("d", "p", "u").join("c");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("0.log"), "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
    api.put("/api/v1/namespaces/d/pods/p", pod);
    let deps = Deps {
        runtime: Arc::new(runtime),
        transport: api.clone(),
        clock: TokioClock::new(),
        rng: stdx::Rng::seeded(1),
        cgroups: Arc::new(Stage),
        mounts: Arc::new(Stage),
        machine: Arc::new(Stage),
    };
    let kubelet = Kubelet::new(config, deps).unwrap();
    let authority = Arc::new(Authority::ephemeral(now()));
    let identity = Request::kubelet_server("n1", &["127.0.0.1".parse().unwrap()]);
    let identity = Identity::issued(&authority, identity, now()).unwrap();
    let tls = pki::server_config(identity, authority.certificate(), &["http/1.1"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = AbortOnDropHandle::new(tokio::spawn(kubelet.server().serve(listener, Arc::new(tls))));
    let kubelet = AbortOnDropHandle::new(tokio::spawn(kubelet.run()));
    let ready = |pod: Option<&serde_json::Value>| pod.is_some_and(|pod| pod["status"]["phase"] == "Running");
    api.until("/api/v1/namespaces/d/pods/p", ready).await;
    World { port, authority, _dir: dir, _tasks: vec![server, kubelet] }
}

impl World {
    async fn get(&self, user: Option<Request>, path: &str) -> String {
        let identity = user.map(|user| Identity::issued(&self.authority, user, now()).unwrap());
        let config = pki::client_config(self.authority.certificate(), identity, &["http/1.1"]).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let _connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let request = http::Request::builder().uri(path).header("host", "n1").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        format!("{code} {}", String::from_utf8_lossy(&body).trim())
    }
}

#[tokio::test]
async fn the_api_server_reads_logs_and_strangers_do_not() {
    let world = world().await;
    let api_server = || Some(Request::client("kube-apiserver-kubelet-client", &[]));
    let logs = "/containerLogs/d/p/c?tailLines=1";
    assert_eq!(world.get(api_server(), logs).await, "200 hello");
    assert_eq!(world.get(Some(Request::client("root", &["system:masters"])), logs).await, "200 hello");
    assert_eq!(world.get(None, logs).await, "401 Unauthorized");
    let stranger = world.get(Some(Request::client("bob", &["dev"])), logs).await;
    assert!(stranger.starts_with("403 "), "{stranger}");
    assert_eq!(world.get(api_server(), "/containerLogs/d/p/x").await, "404 container \"x\" not found in pod \"p\"");
    assert_eq!(world.get(api_server(), "/containerLogs/d/q/c").await, "404 pod \"q\" does not exist");
    assert_eq!(
        world.get(api_server(), "/containerLogs/d/p/c?previous=true").await,
        "400 previous terminated container \"c\" in pod \"p\" not found"
    );
    let pods: serde_json::Value = serde_json::from_str(&world.get(api_server(), "/pods").await[4..]).unwrap();
    assert_eq!(pods["items"][0]["metadata"]["name"], "p");
    let summary: serde_json::Value =
        serde_json::from_str(&world.get(api_server(), "/stats/summary").await[4..]).unwrap();
    assert_eq!(summary["pods"][0]["podRef"]["name"], "p");
}
