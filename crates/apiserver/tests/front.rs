//! The front as clients meet it: TLS on loopback, identities, and paths that are no resources.
#![allow(clippy::unwrap_used)]

mod support;

use apiserver::user::User;
use bytes::Bytes;
use expect_test::{Expect, expect};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use pki::Request;
use support::{Cluster, message};

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
