//! The front as clients meet it: TLS on loopback, identities, and paths that are no resources.
#![allow(clippy::unwrap_used)]

mod support;

use apiserver::user::User;
use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use pki::Request;
use support::{Cluster, message};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn check(found: &str, expected: &Expect) {
    expected.assert_eq(found);
}

#[tokio::test]
async fn certificates_tokens_and_nobody_are_told_apart() {
    let cluster = Cluster::start().await;
    let path = "/apis/none/v1/things";
    let jane = || Some(Request::client("jane", &["devs"]));
    check(
        &cluster.get(jane(), path, &[]).await,
        &expect![[
            r#"403 things.none is forbidden: User "jane" cannot list resource "things" in API group "none" at the cluster scope"#
        ]],
    );
    check(
        &cluster.get(None, path, &[]).await,
        &expect![[
            r#"403 things.none is forbidden: User "system:anonymous" cannot list resource "things" in API group "none" at the cluster scope"#
        ]],
    );
    check(&cluster.get(None, path, &[("authorization", "Bearer wrong")]).await, &expect!["401 Unauthorized"]);
    let root = ("authorization", "Bearer secret");
    check(
        &cluster.get(None, path, &[root]).await,
        &expect![[r#"
        404 404 page not found
    "#]],
    );
    check(
        &cluster.get(Some(Request::client("admin", &["x", "system:masters"])), path, &[]).await,
        &expect![[r#"
            404 404 page not found
        "#]],
    );
    check(
        &cluster.get(None, path, &[root, ("impersonate-user", "bob")]).await,
        &expect![[
            r#"403 things.none is forbidden: User "bob" cannot list resource "things" in API group "none" at the cluster scope"#
        ]],
    );
    check(
        &cluster.get(jane(), path, &[("impersonate-user", "bob")]).await,
        &expect![[
            r#"403 users "bob" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope"#
        ]],
    );
    cluster.stop().await;
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let cluster = Cluster::start().await;
    let root = [("authorization", "Bearer secret")];
    check(&cluster.get(None, "/readyz", &root).await, &expect!["200 ok"]);
    check(
        &cluster.get(None, "/readyz?verbose", &root).await,
        &expect![[r#"
            200 [+]ping ok
            [+]store ok
            [+]shutdown ok
            readyz check passed
        "#]],
    );
    check(&cluster.get(None, "/livez/ping", &root).await, &expect!["200 ok"]);
    check(
        &cluster.get(None, "/livez/none", &root).await,
        &expect![[r#"
        404 404 page not found
    "#]],
    );
    cluster.server.stop();
    check(
        &cluster.get(None, "/readyz", &root).await,
        &expect![[r#"
            500 [+]ping ok
            [+]store ok
            [-]shutdown failed: reason withheld
            readyz check failed
        "#]],
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_component_enters_with_its_own_identity() {
    let cluster = Cluster::start().await;
    let ask = async |path: &str, user: &User| {
        let request = http::Request::builder().uri(path).body(Bytes::new()).unwrap();
        let response = cluster.server.call(request, user.clone()).await;
        let code = response.status().as_u16();
        format!("{code} {}", message(&response.into_body().collect().await.unwrap().to_bytes()))
    };
    let scheduler = User::component("system:kube-scheduler", &[]);
    check(
        &ask("/apis/none/v1/things", &scheduler).await,
        &expect![[
            r#"403 things.none is forbidden: User "system:kube-scheduler" cannot list resource "things" in API group "none" at the cluster scope"#
        ]],
    );
    let root = User::component("root", &["system:masters"]);
    check(
        &ask("/nonsense", &root).await,
        &expect![[r#"
        404 404 page not found
    "#]],
    );
    cluster.stop().await;
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let cluster = Cluster::start().await;
    let stream = cluster.connect(Some(Request::client("admin", &["system:masters"])), "h2").await;
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder().uri("https://kubernetes/version").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let version: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
    drop(sender);
    cluster.stop().await;
}

#[tokio::test]
async fn a_watch_can_be_had_over_a_websocket_with_the_token_among_its_protocols() {
    let cluster = Cluster::start().await;
    let stream = cluster.connect(None, "http/1.1").await;
    let url = "wss://kubernetes/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Ddefault";
    let mut request = url.into_client_request().unwrap();
    // "secret" in base64.
    let protocols = "base64url.bearer.authorization.k8s.io.c2VjcmV0, events";
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "events");
    let first = socket.next().await.unwrap().unwrap();
    let event: serde_json::Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&"ADDED".into(), &"default".into()));
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    cluster.stop().await;
}

#[tokio::test]
async fn a_refused_request_does_not_cost_its_connection() {
    let cluster = Cluster::start().await;
    let stream = cluster.connect(None, "http/1.1").await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (path, token, code) in
        [("/api/v1/namespaces", "none", 401), ("/apis/none/v1/x", "secret", 404), ("/version", "secret", 405)]
    {
        let request = http::Request::post(path).header("host", "kubernetes");
        let request = request.header("authorization", format!("Bearer {token}"));
        sender.ready().await.unwrap();
        let body = http_body_util::Full::new(Bytes::from(vec![b'x'; 100_000]));
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), code, "{path}");
        response.into_body().collect().await.unwrap();
    }
    drop(sender);
    cluster.stop().await;
}
