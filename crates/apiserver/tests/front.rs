//! The front as clients meet it: TLS on loopback, identities, and paths that are no resources.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use apiserver::user::User;
use bytes::Bytes;
use expect_test::{Expect, expect};
use futures::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use pki::Request;
use serde_json::{Value, json};
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

/// What a watch from `since` tells of the ConfigMaps of a namespace until `last`, applied up to `revision`.
async fn watched(cluster: &Cluster, since: &str, revision: u64, last: u64) -> BTreeMap<String, Value> {
    let path = format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={since}");
    let request = http::Request::builder().uri(path).body(Bytes::new()).unwrap();
    let mut body = cluster.server.call(request, root()).await.into_body();
    let (mut seen, mut text, mut at) = (BTreeMap::new(), Vec::new(), 0);
    while at < last {
        text.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).unwrap();
            let (name, object) = (event["object"]["metadata"]["name"].as_str().unwrap().to_owned(), &event["object"]);
            at = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            match event["type"].as_str() {
                _ if at > revision => None,
                Some("DELETED") => seen.remove(&name),
                _ => seen.insert(name, object.clone()),
            };
        }
    }
    seen
}

fn root() -> User {
    User::component("root", &["system:masters"])
}

#[tokio::test]
async fn a_backup_is_what_watchers_had_seen_at_its_revision_though_others_write_meanwhile() {
    let cluster = Cluster::start().await;
    let configmaps = "/api/v1/namespaces/default/configmaps";
    let object = |name: String, turn: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"turn": turn.to_string()}});
    let since = cluster.must("GET", configmaps, Value::Null).await["metadata"]["resourceVersion"].clone();
    for i in 0..600 {
        cluster.must("POST", configmaps, object(format!("c{i}"), 0)).await;
    }
    let request = http::Request::builder().uri("/ironclad/store/backup").body(Bytes::new()).unwrap();
    let mut body = cluster.server.call(request, root()).await.into_body();
    let (mut bytes, mut turn, mut last) = (Vec::new(), 0, Value::Null);
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        for _ in 0..20 {
            turn += 1;
            cluster.must("DELETE", &format!("{configmaps}/c{}", 600 - turn), Value::Null).await;
            cluster.must("PUT", &format!("{configmaps}/c{}", turn % 40), object(format!("c{}", turn % 40), turn)).await;
            last = cluster.must("POST", configmaps, object(format!("a{turn}"), turn)).await;
        }
    }
    let reader = store::BackupReader::open(&*bytes).unwrap();
    let (revision, mut saved) = (reader.revision().0, BTreeMap::new());
    let keep = |entries: Vec<store::Entry>| {
        for entry in entries {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            if let Some(name) = key.strip_prefix("/registry/core/configmaps/default/") {
                saved.insert(name.to_owned(), serde_json::from_slice::<Value>(&entry.value).unwrap());
            }
        }
        Ok(())
    };
    reader.read(keep).unwrap();
    let last = last["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(turn >= 60 && last > revision, "writes happened behind revision {revision}");
    assert_eq!(saved, watched(&cluster, since.as_str().unwrap(), revision, last).await);
}

#[tokio::test]
async fn the_store_answers_to_administrators_only() {
    let cluster = Cluster::start().await;
    let jane = User::component("jane", &["system:authenticated"]);
    let mut told = Vec::new();
    for (user, method, path) in [
        (&jane, "GET", "/ironclad/store/backup"),
        (&jane, "POST", "/ironclad/store/compact?olderThan=0"),
        (&root(), "POST", "/ironclad/store/backup"),
        (&root(), "POST", "/ironclad/store/compact"),
        (&root(), "POST", "/ironclad/store/compact?revision=x"),
        (&root(), "POST", "/ironclad/store/compact?revision=9999999"),
    ] {
        let (code, answer) = cluster.ask(user, method, path, &Value::Null).await;
        let message = answer["message"].as_str().unwrap_or_default();
        told.push(format!("{code} {}", message.split(';').next().unwrap_or_default()));
    }
    check(
        &told.join("\n"),
        &expect![[r#"
        403 forbidden: User "jane" cannot get path "/ironclad/store/backup"
        403 forbidden: User "jane" cannot post path "/ironclad/store/compact"
        405 the server does not allow this method on the requested resource
        400 either revision or olderThan must be given
        400 revision must be a whole number and not "x"
        400 revision 9999999 is in the future"#]],
    );
    let stats = cluster.must("GET", "/ironclad/store/stats", Value::Null).await;
    let revision = stats["revision"].as_u64().unwrap();
    let compacted = cluster.must("POST", &format!("/ironclad/store/compact?revision={revision}"), Value::Null).await;
    assert_eq!((compacted["oldestRevision"].as_u64(), &compacted["keys"]), (Some(revision), &stats["keys"]));
}
