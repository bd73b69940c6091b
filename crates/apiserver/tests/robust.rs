//! What clients may throw at the server: every answer is an answer, and the others are still answered.
#![allow(clippy::unwrap_used)]

mod support;
#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::time::Duration;

use apiserver::user::User;
use bytes::Bytes;
use expect_test::expect;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pki::Request;
use serde_json::json;
use stdx::Rng;
use support::{Cluster, message};
use targets::{SHAPES, Stand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

/// Cases of each kind; `FUZZ_CASES` asks for more, as CI does.
const CASES: u64 = 600;

/// Good inputs, from which bad ones are made.
const SEEDS: &[&str] = &[
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"100m"}},"env":[{"name":"A","value":"1"}]}],"tolerations":[{"operator":"Exists"}]}}"#,
    "apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\nspec:\n  containers:\n  - &c {name: c, image: i}\n  initContainers: [*c]\n",
    r#"{"apiVersion":"v1","kind":"Service","metadata":{"generateName":"s-"},"spec":{"ports":[{"port":80,"targetPort":"http"}],"selector":{"a":"b"}}}"#,
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept"},"data":{"a":"c"},"binaryData":{"b":"AAEC"}}"#,
    r#"[{"op":"replace","path":"/spec/replicas","value":3},{"op":"test","path":"/metadata/name","value":"kept"},{"op":"move","from":"/metadata/labels","path":"/metadata/annotations"}]"#,
    r#"{"spec":{"replicas":2,"template":{"spec":{"$setElementOrder/containers":[{"name":"d"}],"containers":[{"name":"d","image":"j"},{"$patch":"delete","name":"c"}]}}}}"#,
    r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"kept"},"spec":{"replicas":1}}"#,
    r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"preconditions":{"uid":"x"},"propagationPolicy":"Orphan"}"#,
    "k8s\u{0}\n\u{9}\n\u{2}v1\u{12}\u{3}Pod\u{12}\u{10}\n\u{6}\n\u{1}p\"\u{1}n\u{12}\u{6}\u{12}\u{4}\n\u{2}c1",
    "a in (b,c),!d,e notin (f),g=h,i!=j",
    "metadata.name=x,status.phase!=Running",
    "api/v1/namespaces/default/pods/p/log/../%2e%2e/%00/proxy/x",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/vnd.kubernetes.protobuf;q=0.5,*/*;q=x",
    "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJrIn0.AAAA",
    "labelSelector=a%3Db&limit=-1&resourceVersion=9999999999999999999999&watch=true&timeoutSeconds=1",
];

/// What is put in where it hurts.
const TOKENS: &[&[u8]] = &[
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    b"1e999999999",
    b"-99999999999999999999999999999999999999",
    b"0.0000000000000000000000000000000000001",
    b"\xff\xfe\xf0\x28\x8c\x28",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"\"\"",
    b"&a [*a,*a]",
    b"!!binary |",
    b"<<: *c",
    b"%00%ff%zz",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"$patch",
    b"{\"name\":null}",
    b"----\n---\n...",
    b"\t",
    b",",
    b"~1~0~2/-/-1/99999999999",
];

fn mutate(rng: &Rng) -> Vec<u8> {
    let pick = |len: usize| usize::try_from(rng.below(len as u64)).unwrap();
    let mut data = SEEDS[pick(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let at = pick(data.len() + 1);
        match rng.below(6) {
            0 if at < data.len() => data[at] = u8::try_from(rng.below(256)).unwrap(),
            1 => data.truncate(at),
            2 => drop(data.splice(at..at, TOKENS[pick(TOKENS.len())].iter().copied())),
            3 => {
                let end = at + pick(data.len() - at + 1);
                let part = data[at..end].to_vec();
                data.splice(at..at, part.repeat(1 + pick(20)));
            }
            4 => drop(data.drain(at..at + pick(data.len() - at + 1))),
            _ => {
                let other = SEEDS[pick(SEEDS.len())].as_bytes();
                data.splice(at.., other[pick(other.len())..].iter().copied());
            }
        }
    }
    data
}

fn cases() -> u64 {
    std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

#[test]
fn whatever_is_sent_gets_an_answer() {
    let (stand, rng) = (Stand::new(), Rng::seeded(7));
    for _ in 0..cases() {
        let data = mutate(&rng);
        let shape = usize::try_from(rng.below(SHAPES.len() as u64)).unwrap();
        stand.request(shape, &data);
    }
}

#[test]
fn whatever_is_decoded_ends() {
    let rng = Rng::seeded(8);
    for _ in 0..cases() * 2 {
        targets::decode(&mutate(&rng));
    }
}

/// Inputs that are known to have felled others.
#[test]
fn bombs_do_not_go_off() {
    let stand = Stand::new();
    let laughs = {
        let mut yaml = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            yaml.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        format!("apiVersion: v1\nkind: Pod\n{yaml}")
    };
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let pod = |spec: &str| format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{spec}}}"#);
    let operations = format!("[{}]", vec![r#"{"op":"add","path":"/metadata/labels/x","value":"y"}"#; 20_000].join(","));
    let doubling = {
        let copy = r#"{"op":"copy","from":"/metadata/annotations","path":"/metadata/annotations/x"}"#;
        let start = r#"{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}"#;
        format!("[{start},{}]", vec![copy; 200].join(","))
    };
    let bombs: &[(&str, &str, String)] = &[
        ("POST", "application/yaml", laughs),
        ("POST", "application/json", deep("[", "]")),
        ("POST", "application/json", pod(&deep("{\"a\":", "}"))),
        ("POST", "application/yaml", deep("[", "]")),
        ("POST", "application/yaml", "- ".repeat(100_000)),
        ("POST", "application/json", pod(&format!(r#"{{"activeDeadlineSeconds":{}}}"#, "9".repeat(100_000)))),
        ("POST", "application/json", pod(&format!(r#"{{"overhead":{{"cpu":"1e{}"}}}}"#, "9".repeat(1000)))),
        ("POST", "application/json", "x".repeat(4 << 20)),
        ("PATCH", "application/json-patch+json", operations),
        ("PATCH", "application/json-patch+json", doubling),
        ("PATCH", "application/strategic-merge-patch+json", deep(r#"{"spec":"#, "}")),
        ("PATCH", "application/merge-patch+json", deep(r#"{"data":"#, "}")),
    ];
    let mut seen = String::new();
    for (method, content_type, body) in bombs {
        let is = |shape: &&(&str, &str, targets::Part)| {
            shape.0 == *method && matches!(shape.2, targets::Part::Body(of) if of == *content_type)
        };
        let shape = SHAPES.iter().position(|shape| is(&shape)).unwrap();
        let code = stand.request(shape, body.as_bytes()).map_or("refused".to_owned(), |code| code.to_string());
        seen.push_str(&format!("{method} {content_type}: {code}\n"));
    }
    expect![[r#"
        POST application/yaml: 400
        POST application/json: 400
        POST application/json: 400
        POST application/yaml: 400
        POST application/yaml: 400
        POST application/json: 400
        POST application/json: 400
        POST application/json: 413
        PATCH application/json-patch+json: 413
        PATCH application/json-patch+json: 422
        PATCH application/strategic-merge-patch+json: 400
        PATCH application/merge-patch+json: 400
    "#]]
    .assert_eq(&seen);
}

fn admin() -> Option<Request> {
    Some(Request::client("admin", &["system:masters"]))
}

/// The first line of an answer.
async fn first_line<S: AsyncReadExt + Unpin>(stream: &mut S) -> String {
    let mut bytes = vec![0; 4096];
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut bytes));
    let len = reading.await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..len]).lines().next().unwrap_or_default().to_owned()
}

/// Sends a head, and then as much of `more` as the server takes.
async fn send(cluster: &Cluster, head: &str, more: usize) -> String {
    let stream = cluster.connect(admin(), "http/1.1").await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let head = head.to_owned();
    let writing = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await?;
        let block = vec![b'x'; 64 << 10];
        for _ in 0..more / block.len() {
            writer.write_all(&block).await?;
        }
        writer.flush().await
    });
    let line = first_line(&mut reader).await;
    writing.abort();
    line
}

#[tokio::test]
async fn too_much_is_refused_before_it_all_came() {
    let cluster = Cluster::start().await;
    let post = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n";
    let announced = send(&cluster, &format!("{post}content-length: 3221225472\r\n\r\n"), 0).await;
    assert_eq!(announced, "HTTP/1.1 413 Payload Too Large");
    let chunked = send(&cluster, &format!("{post}transfer-encoding: chunked\r\n\r\n500000\r\n"), 5 << 20).await;
    assert_eq!(chunked, "HTTP/1.1 413 Payload Too Large");
    let header = send(&cluster, "GET /version HTTP/1.1\r\nhost: k\r\na: ", 2 << 20).await;
    assert_eq!(header, "HTTP/1.1 431 Request Header Fields Too Large");
    let path = send(&cluster, &format!("GET /{} HTTP/1.1\r\nhost: k\r\n\r\n", "x".repeat(100_000)), 0).await;
    assert_eq!(path, "HTTP/1.1 414 URI Too Long");
    cluster.stop().await;
}

#[tokio::test]
async fn slow_and_silent_connections_hold_up_nobody() {
    let cluster = Cluster::start().await;
    let mut held: Vec<TlsStream<tokio::net::TcpStream>> = Vec::new();
    for number in 0..150 {
        let mut stream = cluster.connect(None, "http/1.1").await;
        match number % 3 {
            0 => stream.write_all(b"GET /version HTT").await.unwrap(),
            1 => {
                let head = "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nhost: k\r\nauthorization: Bearer secret\r\n\
                            content-length: 1000\r\n\r\n{";
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            _ => {}
        }
        held.push(stream);
    }
    let version = tokio::time::timeout(Duration::from_secs(10), cluster.get(admin(), "/version", &[])).await;
    assert!(version.expect("an answer in time").starts_with("200"));
    drop(held);
    cluster.stop().await;
}

/// The first event behind some hours in which nothing happened, over one protocol.
async fn event_after_idling(cluster: &Cluster, protocol: &str) -> String {
    const PATH: &str = "/api/v1/namespaces/default/configmaps";
    let stream = TokioIo::new(cluster.connect(admin(), protocol).await);
    let uri = format!("https://kubernetes{PATH}?watch=true&timeoutSeconds=86400&resourceVersion=0");
    let request = http::Request::builder().uri(uri).header("host", "kubernetes").body(Empty::<Bytes>::new()).unwrap();
    let response = match protocol {
        "h2" => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
        _ => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
    };
    // Every timer of the server and of the connection goes off meanwhile.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(20 * 3600)).await;
    tokio::time::resume();
    let name = format!("after-{}", protocol.len());
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    cluster.must("POST", PATH, object).await;
    let mut body = response.into_body();
    while let Some(frame) = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("an event") {
        let text = String::from_utf8_lossy(frame.unwrap().data_ref().unwrap()).into_owned();
        if text.contains(&format!("\"name\":\"{name}\"")) {
            return text.split(',').next().unwrap().to_owned();
        }
    }
    "the watch ended".to_owned()
}

#[tokio::test]
async fn a_watch_that_idles_for_hours_is_not_cut() {
    let cluster = Cluster::start().await;
    for protocol in ["http/1.1", "h2"] {
        assert_eq!(event_after_idling(&cluster, protocol).await, "{\"type\":\"ADDED\"", "{protocol}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_flood_of_reset_streams_holds_up_nobody() {
    let cluster = Cluster::start().await;
    let stream = cluster.connect(admin(), "h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3000 {
        let request =
            http::Request::builder().uri("https://kubernetes/api/v1/pods").body(Empty::<Bytes>::new()).unwrap();
        if sender.ready().await.is_err() {
            break;
        }
        // Dropping the answer before it comes resets the stream.
        drop(sender.send_request(request));
        tokio::task::yield_now().await;
    }
    let version = tokio::time::timeout(Duration::from_secs(10), cluster.get(admin(), "/version", &[])).await;
    assert!(version.expect("an answer in time").starts_with("200"));
    connection.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn metrics_count_requests_watches_objects_and_the_store() {
    let cluster = Cluster::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    cluster.must("POST", path, object("a")).await;
    cluster.must("POST", &format!("{path}?dryRun=All"), object("b")).await;
    cluster.must("GET", &format!("{path}/a"), json!(null)).await;
    cluster.must("GET", "/api/v1/configmaps", json!(null)).await;
    let jane = User::component("jane", &[]);
    assert_eq!(cluster.ask(&jane, "DELETE", &format!("{path}/a"), &json!(null)).await.0, 403);
    let page = cluster.get(admin(), "/metrics", &[]).await;
    let page = message(page.as_bytes());
    let wanted =
        ["request_total{", "current_inflight", "resource_objects{", "duration_seconds_count{", "process_max_fds "];
    let is_wanted = |line: &&str| {
        !line.starts_with("#")
            && wanted.iter().any(|part| line.contains(part))
            && (!line.contains("resource=") || line.contains("\"configmaps\""))
    };
    // The number of descriptors is the machine's.
    let mut lines: Vec<&str> = page.lines().filter(is_wanted).map(|l| l.split("fds").next().unwrap()).collect();
    lines.sort_unstable();
    expect![[r#"
        apiserver_current_inflight_requests{request_kind="mutating"} 0
        apiserver_current_inflight_requests{request_kind="readOnly"} 1
        apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 1
        apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="DELETE",version="v1"} 1
        apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1
        apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
        apiserver_request_duration_seconds_count{component="apiserver",dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
        apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1"} 1
        apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1
        apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
        apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1
        apiserver_request_total{code="403",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="DELETE",version="v1"} 1
        apiserver_resource_objects{group="",resource="configmaps"} 1
        etcd_request_duration_seconds_count{group="",operation="create",resource="configmaps"} 1
        etcd_request_duration_seconds_count{group="",operation="get",resource="configmaps"} 2
        process_max_"#]].assert_eq(&lines.join("\n"));
    cluster.stop().await;
}
