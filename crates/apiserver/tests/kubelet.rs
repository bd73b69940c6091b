//! Logs and streams: the API server between a client and a kubelet.
#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pki::{Identity, Request, server_config, subject_of};
use serde_json::json;
use support::{Cluster, now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers logs with what was asked and by whom, and echoes every stream in capitals.
async fn kubelet(listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    while let Ok((stream, _)) = listener.accept().await {
        let stream = acceptor.accept(stream).await.unwrap();
        let client = subject_of(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap().common_name;
        let service = service_fn(move |request| answer(request, client.clone()));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades(),
        );
    }
}

async fn answer(request: http::Request<Incoming>, client: String) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let asked = format!("{client} asks {}", request.uri());
    if !request.headers().contains_key("upgrade") {
        let code = if asked.contains("previous") { 400 } else { 200 };
        return Ok(http::Response::builder().status(code).body(asked.into()).unwrap());
    }
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut buffer = [0; 64];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                // The client's end is passed on; what is said after it still arrives.
                0 => return stream.write_all(b"bye").await.unwrap(),
                count => stream.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap(),
            }
        }
    });
    let response = http::Response::builder().status(101).header("connection", "upgrade").header("upgrade", "SPDY/3.1");
    Ok(response.header("x-asked", asked).body(Full::default()).unwrap())
}

async fn cluster() -> Cluster {
    let cluster = Cluster::start().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = Request::kubelet_server("n1", &[Ipv4Addr::LOCALHOST.into()]);
    let identity = Identity::issued(&cluster.authority, request, now()).unwrap();
    let tls = server_config(identity, cluster.authority.certificate(), &["http/1.1"]).unwrap();
    tokio::spawn(kubelet(listener, Arc::new(tls)));
    let status = json!({
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    });
    let node = json!({"metadata": {"name": "n1"}, "status": status});
    cluster.must("POST", "/api/v1/nodes", node.clone()).await;
    cluster.must("PUT", "/api/v1/nodes/n1/status", node).await;
    cluster.must("POST", "/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
    cluster.must("POST", "/api/v1/namespaces/default/pods", pod).await;
    cluster
}

const POD: &str = "/api/v1/namespaces/default/pods/p";

#[tokio::test]
async fn logs_come_from_the_pods_kubelet() {
    let cluster = cluster().await;
    let root = [("authorization", "Bearer secret")];
    let found = cluster.get(None, &format!("{POD}/log?tailLines=3"), &root).await;
    assert_eq!(found, "200 kube-apiserver-kubelet-client asks /containerLogs/default/p/c?tailLines=3");
    let refused = cluster.get(None, &format!("{POD}/log?previous=1"), &root).await;
    assert_eq!(refused, "400 kube-apiserver-kubelet-client asks /containerLogs/default/p/c?previous=true");
    let missing = cluster.get(None, "/api/v1/namespaces/default/pods/none/log", &root).await;
    assert_eq!(missing, "404 pods \"none\" not found");
    cluster.stop().await;
}

/// An exec that echoes in capitals.
async fn exec(cluster: &Cluster) -> TokioIo<hyper::upgrade::Upgraded> {
    let stream = cluster.connect(Some(Request::client("root", &["system:masters"])), "http/1.1").await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = http::Request::builder().method("POST").uri(format!("{POD}/exec?command=cat&stdin=1&stdout=1"));
    let request = request.header("host", "kubernetes").header("connection", "upgrade").header("upgrade", "SPDY/3.1");
    let mut response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 101);
    let asked = response.headers()["x-asked"].to_str().unwrap();
    assert_eq!(asked, "kube-apiserver-kubelet-client asks /exec/default/p/c?command=cat&input=1&output=1");
    TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())
}

async fn echoes(stream: &mut TokioIo<hyper::upgrade::Upgraded>) {
    stream.write_all(b"hello").await.unwrap();
    let mut found = [0; 5];
    stream.read_exact(&mut found).await.unwrap();
    assert_eq!(&found, b"HELLO");
}

#[tokio::test]
async fn a_stream_that_idles_for_days_is_not_cut() {
    let cluster = cluster().await;
    let mut stream = exec(&cluster).await;
    echoes(&mut stream).await;
    // Every timer of the server and of the connections on the way goes off meanwhile.
    tokio::time::pause();
    tokio::time::sleep(std::time::Duration::from_secs(3 * 24 * 3600)).await;
    tokio::time::resume();
    echoes(&mut stream).await;
    drop(stream);
    cluster.stop().await;
}

#[tokio::test]
async fn a_stream_is_carried_both_ways_to_its_end() {
    let cluster = cluster().await;
    let mut stream = exec(&cluster).await;
    echoes(&mut stream).await;
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
    cluster.stop().await;
}

#[tokio::test]
async fn a_stream_needs_an_upgrade_and_the_right_to_create() {
    let cluster = cluster().await;
    let path = format!("{POD}/exec?command=cat&stdout=1");
    let found = cluster.get(None, &path, &[("authorization", "Bearer secret")]).await;
    assert_eq!(found, "400 Upgrade request required");
    let role = json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]});
    cluster.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", role).await;
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    cluster.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding).await;
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    let found = cluster.get(Some(Request::client("jane", &[])), &path, &upgrade).await;
    assert_eq!(
        found,
        "403 pods \"p\" is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\""
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_is_proxied_to_its_kubelet() {
    let cluster = cluster().await;
    let root = [("authorization", "Bearer secret")];
    let found = cluster.get(None, "/api/v1/nodes/n1/proxy/stats/summary?only=cpu", &root).await;
    assert_eq!(found, "200 kube-apiserver-kubelet-client asks /stats/summary?only=cpu");
    let found = cluster.get(None, "/api/v1/nodes/n1:1234/proxy/", &root).await;
    assert_eq!(found, "400 address not allowed");
    let found = cluster.get(None, "/api/v1/nodes/none/proxy/", &root).await;
    assert_eq!(found, "404 nodes \"none\" not found");
    cluster.stop().await;
}

#[tokio::test]
async fn what_cannot_be_proxied_to_is_told_as_upstream_tells_it() {
    let cluster = cluster().await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}]}});
    cluster.must("POST", "/api/v1/namespaces/default/services", service).await;
    let status = json!({"metadata": {"name": "p"}, "status": {"podIPs": [{"ip": "10.0.0.9"}]}});
    cluster.must("PUT", "/api/v1/namespaces/default/pods/p/status", status).await;
    let cases = [
        ("pods/a:b:c/proxy/", "400 invalid pod request \"a:b:c\""),
        ("pods/http:/proxy/", "404 pods \"http\" not found"),
        ("pods/none/proxy/", "404 pods \"none\" not found"),
        ("pods/p:web/proxy/", "503 error trying to reach service: dial tcp: lookup tcp/web: unknown port"),
        ("pods/p:70000/proxy/", "503 error trying to reach service: dial tcp: address 70000: invalid port"),
        ("services/ftp:s:80/proxy/", "400 invalid service request \"ftp:s:80\""),
        ("services/none:80/proxy/", "404 services \"none\" not found"),
        ("services/s:81/proxy/", "503 no service port 81 found for service \"s\""),
        ("services/s/proxy/", "404 endpoints \"s\" not found"),
        ("pods/p/proxy/?dryRun=All", "400 dryRun is not supported"),
    ];
    let ask = async |path: &str| {
        let path = format!("/api/v1/namespaces/default/{path}");
        cluster.get(None, &path, &[("authorization", "Bearer secret")]).await
    };
    for (path, expected) in cases {
        assert_eq!(ask(path).await, expected, "{path}");
    }
    let endpoints = |address: serde_json::Value| {
        let subset = json!({"addresses": [address], "ports": [{"name": "web", "port": 8080}]});
        json!({"metadata": {"name": "s"}, "subsets": [subset]})
    };
    // Nobody's address, and another pod's: not ours to reach.
    cluster.must("POST", "/api/v1/namespaces/default/endpoints", endpoints(json!({"ip": "10.0.0.9"}))).await;
    assert_eq!(ask("services/s:80/proxy/").await, "503 no endpoints available for service \"s:80\"");
    let other = json!({"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "namespace": "default", "name": "p"}});
    cluster.must("PUT", "/api/v1/namespaces/default/endpoints/s", endpoints(other)).await;
    assert_eq!(ask("services/https:s:web/proxy/").await, "503 no endpoints available for service \"https:s:web\"");
    cluster.must("PUT", "/api/v1/namespaces/default/endpoints/s", json!({"metadata": {"name": "s"}})).await;
    assert_eq!(ask("services/s:80/proxy/").await, "503 no endpoints available for service \"s\"");
    cluster.stop().await;
}
