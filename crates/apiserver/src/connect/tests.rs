//! The proxy against a backend on loopback, which no pod's address could name.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use expect_test::{Expect, expect};
use http::header::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http::body::Payload;
use crate::http::listen::Peer;
use crate::request::RequestInfo;
use crate::user::User;
use crate::verbs::Params;
use backend::Backend;
use hyper_util::rt::TokioIo;

/// Says what it was asked; its paths choose what else it does.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut headers: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    let body = body.collect().await.unwrap().to_bytes();
    let asked = format!("{} {}{}\n{}", parts.method, parts.uri, headers.concat(), String::from_utf8_lossy(&body));
    let answer = Response::builder();
    let answer = match parts.uri.path() {
        "/page" => answer.header("content-type", "text/html; charset=utf-8").body("<a href=/next>".into()),
        "/moved" => answer.status(302).header("location", "/there/").body(Full::default()),
        "/cors" => answer
            .header("access-control-allow-origin", "*")
            .header("connection", "x-own")
            .header("x-own", "1")
            .header("x-kept", "2")
            .body("ok".into()),
        "/refuse" => answer.status(418).body("no tea".into()),
        _ => answer.body(asked.into()),
    };
    Ok(answer.unwrap())
}

async fn backend() -> Backend {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
    Backend { tls: None, host: "127.0.0.1".to_owned(), port }
}

fn request(method: Method, url: &str, body: &'static str) -> Authorized {
    let builder = Request::builder()
        .method(method)
        .uri(url)
        .header("host", "example.org")
        .header("authorization", "Bearer secret")
        .header("impersonate-user", "jane")
        .header("te", "trailers")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-mine", "1");
    let (mut parts, ()) = builder.body(()).unwrap().into_parts();
    parts.extensions.insert(Peer("192.0.2.7:1234".parse().unwrap()));
    let params = Params::parse(parts.uri.query().unwrap_or_default());
    let Some(RequestInfo::Resource(info)) = RequestInfo::parse(&parts.method, parts.uri.path(), &params) else {
        panic!("a resource")
    };
    Authorized {
        parts,
        payload: Payload::Whole(Bytes::from_static(body.as_bytes())),
        params,
        info,
        user: User::default(),
    }
}

async fn ask(backend: Backend, request: Authorized) -> String {
    let port = backend.port.to_string();
    let stopping = CancellationToken::new();
    let answer = match proxy::pass(backend, request, &stopping).await {
        Ok(answer) => answer,
        Err(status) => {
            return format!("{} {} {}", status.code, status.reason, status.message).replace(&port, "PORT");
        }
    };
    let (head, body) = answer.into_parts();
    let mut headers = told(&head.headers);
    headers.sort();
    let body = body.collect().await.unwrap().to_bytes();
    format!("{}{}\n\n{}", head.status.as_u16(), headers.concat(), String::from_utf8_lossy(&body)).replace(&port, "PORT")
}

fn told(headers: &HeaderMap) -> Vec<String> {
    let kept = headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"));
    kept.map(|(name, value)| format!("\n{name}: {}", value.to_str().unwrap())).collect()
}

async fn check(method: Method, path: &str, expected: &Expect) {
    let url = format!("/api/v1/namespaces/n/pods/http:p:80/proxy{path}");
    expected.assert_eq(&ask(backend().await, request(method, &url, "")).await);
}

#[tokio::test]
async fn a_backend_is_asked_what_the_client_asked_and_told_by_whom() {
    let url = "/api/v1/namespaces/n/pods/p/proxy/a/./x/../b%20c/?q=1&r=%2F";
    let found = ask(backend().await, request(Method::POST, url, "a body")).await;
    expect![[r#"
        200

        POST /a/b%20c/?q=1&r=%2F
        content-length: 6
        host: example.org
        x-forwarded-for: 192.0.2.1, 192.0.2.7
        x-forwarded-uri: /api/v1/namespaces/n/pods/p/proxy/a/b c/
        x-mine: 1
        a body"#]]
    .assert_eq(&found);
}

#[tokio::test]
async fn every_method_is_passed_and_a_page_without_its_slash_is_redirected() {
    check(
        Method::GET,
        "?q=1",
        &expect![[r#"
        301
        location: /api/v1/namespaces/n/pods/http:p:80/proxy/?q=1

    "#]],
    )
    .await;
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let url = "/api/v1/namespaces/n/services/s/proxy?method=x";
        let found = ask(backend().await, request(method.clone(), url, "")).await;
        assert!(found.contains(&format!("\n\n{method} /?method=x\n")), "{found}");
    }
    let head = ask(backend().await, request(Method::HEAD, "/api/v1/nodes/n:80/proxy/page", "")).await;
    assert!(head.starts_with("200\ncontent-type: text/html"), "{head}");
}

#[tokio::test]
async fn links_are_turned_and_headers_of_one_connection_stay_behind() {
    check(
        Method::GET,
        "/page",
        &expect![[r#"
        200
        content-type: text/html; charset=utf-8

        <a href=/api/v1/namespaces/n/pods/http:p:80/proxy/next>"#]],
    )
    .await;
    check(
        Method::GET,
        "/moved",
        &expect![[r#"
        302
        location: /api/v1/namespaces/n/pods/http:p:80/proxy/there/

    "#]],
    )
    .await;
    check(
        Method::GET,
        "/cors",
        &expect![[r#"
        200
        x-kept: 2

        ok"#]],
    )
    .await;
    check(
        Method::GET,
        "/refuse",
        &expect![[r#"
        418

        no tea"#]],
    )
    .await;
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_told_as_upstream_tells_it() {
    let url = "/api/v1/namespaces/n/pods/p/proxy/";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let nobody = || Backend { tls: None, host: "127.0.0.1".to_owned(), port };
    let hangs_up = tokio::spawn(async move { drop(listener.accept().await) });
    expect!["503 ServiceUnavailable error trying to reach service: EOF"]
        .assert_eq(&ask(nobody(), request(Method::GET, url, "")).await);
    hangs_up.await.unwrap();
    expect![
        "503 ServiceUnavailable error trying to reach service: dial tcp 127.0.0.1:PORT: connect: connection refused"
    ]
    .assert_eq(&ask(nobody(), request(Method::GET, url, "")).await);
    let upgrade = || {
        let mut request = request(Method::GET, url, "");
        request.parts.headers.insert("connection", "Upgrade".parse().unwrap());
        request.parts.headers.insert("upgrade", "websocket".parse().unwrap());
        request
    };
    expect!["500  error dialing backend: dial tcp 127.0.0.1:PORT: connect: connection refused"]
        .assert_eq(&ask(nobody(), upgrade()).await);
    expect!["500  invalid upgrade response: status code 200"].assert_eq(&ask(backend().await, upgrade()).await);
}

#[tokio::test]
async fn an_upgraded_connection_is_carried_both_ways() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let websocket = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        (String::from_utf8(head).unwrap(), said)
    });
    let (near, far) = tokio::io::duplex(4096);
    let pass = service_fn(move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let params = Params::default();
        let Some(RequestInfo::Resource(info)) = RequestInfo::parse(&parts.method, parts.uri.path(), &params) else {
            panic!("a resource")
        };
        let request = Authorized { parts, payload: Payload::Wire(body), params, info, user: User::default() };
        let backend = Backend { tls: None, host: "127.0.0.1".to_owned(), port };
        let answer = proxy::pass(backend, request, &CancellationToken::new()).await;
        Ok::<_, Infallible>(answer.unwrap())
    });
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), pass).with_upgrades());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get("/api/v1/namespaces/n/pods/p/proxy/ws?x=1").header("host", "example.org");
    let request = request.header("connection", "Upgrade").header("upgrade", "websocket").body(body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    stream.write_all(b"and back").await.unwrap();
    stream.shutdown().await.unwrap();
    let (head, said) = websocket.await.unwrap();
    assert_eq!((&hello, said.as_str()), (b"hello", "and back"));
    assert!(head.starts_with("GET /ws?x=1 HTTP/1.1\r\n") && head.contains("upgrade: websocket"), "{head}");
}
