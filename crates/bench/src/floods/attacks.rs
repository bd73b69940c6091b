//! The floods themselves, from this process over loopback.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Target;
use crate::api_rows::connection::{Ask, Connection};
use crate::api_rows::stand::NAMESPACE;

/// Connections that are being opened at once.
const OPENERS: usize = 64;
/// How long a flood that only waits is kept up.
const HOLD: Duration = Duration::from_secs(8);
/// What one end waits for the other in a flood.
const PATIENCE: Duration = Duration::from_secs(15);
const BODY_LEN: u64 = 3 << 30;
const HOST: &str = "host: localhost\r\ncontent-type: application/json\r\n";

async fn tls(target: &Target) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port)).await?;
    Ok(TlsConnector::from(target.http1.clone()).connect(ServerName::try_from("localhost")?, stream).await?)
}

/// `count` times the same, a few at once; what succeeded within patience.
async fn many<T, F>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (mut running, mut made) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if running.len() >= OPENERS {
            made.extend(running.join_next().await);
        }
        running.spawn(tokio::time::timeout(PATIENCE, make(number)));
    }
    while let Some(done) = running.join_next().await {
        made.push(done);
    }
    made.into_iter().filter_map(|done| done.ok()?.ok()?.ok()).collect()
}

pub async fn silent(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let held = many(count, |_| {
        let target = target.clone();
        async move { tls(&target).await }
    });
    let held = held.await;
    tokio::time::sleep(HOLD).await;
    Ok(format!("{} opened", held.len()))
}

pub async fn half_open(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let plain = many(count / 2, |_| {
        let port = target.port;
        async move { Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?) }
    });
    let plain = plain.await;
    let begun = many(count / 2, |number| {
        let target = target.clone();
        async move {
            let mut stream = tls(&target).await?;
            let part = match number % 2 {
                0 => "GET /api/v1/namesp".to_owned(),
                _ => format!(
                    "POST /api/v1/namespaces/{NAMESPACE}/configmaps HTTP/1.1\r\n{HOST}content-length: 9\r\n\r\n{{"
                ),
            };
            stream.write_all(part.as_bytes()).await?;
            Ok(stream)
        }
    });
    let begun = begun.await;
    tokio::time::sleep(HOLD).await;
    Ok(format!("{} opened", plain.len() + begun.len()))
}

pub async fn watches(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let held = many(count, |_| {
        let target = target.clone();
        async move {
            let mut connection = Connection::open(target.port, &target.http1).await?;
            let (code, body) = connection.start(Ask::get(watch_path())).await?;
            ensure!(code == 200, "{code}");
            Ok((connection, body))
        }
    });
    let held = held.await;
    tokio::time::sleep(HOLD).await;
    Ok(format!("{} begun", held.len()))
}

fn watch_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true")
}

async fn http2(target: &Target) -> Result<http2::SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port)).await?;
    let stream = TlsConnector::from(target.http2.clone()).connect(ServerName::try_from("localhost")?, stream).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

fn get(path: &str) -> Result<Request<Empty<Bytes>>> {
    Ok(Request::builder().uri(format!("https://localhost{path}")).body(Empty::new())?)
}

pub async fn streams(target: Target, connections: usize, streams: usize) -> Result<String> {
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut sender = http2(&target).await?;
        for _ in 0..streams {
            sender.ready().await?;
            let response = sender.send_request(get(&watch_path())?).await?;
            ensure!(response.status() == 200, "{}", response.status());
            // Nobody reads them: what the server may send ahead is bounded by the protocol.
            held.push(response);
        }
    }
    tokio::time::sleep(HOLD).await;
    Ok(format!("{} begun", held.len()))
}

/// Sends as much of each body as the server takes.
pub async fn bodies(target: Target, count: usize, announced: bool) -> Result<String> {
    let (target, sent) = (Arc::new(target), Arc::new(AtomicUsize::new(0)));
    let answers = many(count, |_| {
        let (target, sent) = (target.clone(), sent.clone());
        async move {
            let (mut reader, mut writer) = tokio::io::split(tls(&target).await?);
            let length = match announced {
                true => format!("content-length: {BODY_LEN}"),
                false => format!("transfer-encoding: chunked\r\n\r\n{BODY_LEN:x}"),
            };
            let end = if announced { "\r\n\r\n" } else { "\r\n" };
            let head = format!("POST /api/v1/namespaces/{NAMESPACE}/configmaps HTTP/1.1\r\n{HOST}{length}{end}");
            let writing = tokio::spawn(async move {
                writer.write_all(head.as_bytes()).await?;
                let block = vec![b' '; 64 << 10];
                for _ in 0..BODY_LEN / block.len() as u64 {
                    writer.write_all(&block).await?;
                    sent.fetch_add(block.len(), Ordering::Relaxed);
                }
                writer.flush().await
            });
            let mut line = vec![0; 256];
            let len = reader.read(&mut line).await?;
            writing.abort();
            Ok(String::from_utf8_lossy(&line[..len]).lines().next().unwrap_or_default().to_owned())
        }
    });
    let answers = answers.await;
    let refused = answers.iter().filter(|line| line.contains("413")).count();
    Ok(format!("{refused} answered 413 after {} MiB", sent.load(Ordering::Relaxed) >> 20))
}

pub async fn slow_bodies(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let held = many(count, |_| {
        let target = target.clone();
        async move {
            let mut stream = tls(&target).await?;
            let head =
                format!("POST /api/v1/namespaces/{NAMESPACE}/configmaps HTTP/1.1\r\n{HOST}content-length: 9\r\n\r\n{{");
            stream.write_all(head.as_bytes()).await?;
            Ok(stream)
        }
    });
    let held = held.await;
    tokio::time::sleep(HOLD).await;
    Ok(format!("{} begun", held.len()))
}

pub async fn resets(target: Target, connections: usize, streams: usize) -> Result<String> {
    let target = Arc::new(target);
    let sent = many(connections, |_| {
        let target = target.clone();
        async move {
            let mut sender = http2(&target).await?;
            let mut sent = 0;
            while sent < streams && sender.ready().await.is_ok() {
                let answer = sender.send_request(get("/api/v1/pods")?);
                sent += 1;
                // Dropping the answer before it comes, but not before the request went out, resets the stream.
                tokio::select! {
                    biased;
                    _ = answer => {}
                    () = tokio::task::yield_now() => {}
                }
            }
            Ok(sent)
        }
    });
    Ok(format!("{} reset", sent.await.iter().sum::<usize>()))
}

const MALFORMED: &[&str] = &[
    "",
    "{",
    "null",
    "[]",
    "\u{0}",
    "{\"metadata\":{\"name\":\"A B\"}}",
    "{\"kind\":\"Pod\"}",
    "{\"data\":[1,2]}",
    "{\"metadata\":{\"name\":1e999}}",
    "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
];

pub async fn malformed(target: Target, clients: usize, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let each = count / clients;
    let refused = many(clients, |_| {
        let target = target.clone();
        async move {
            let mut connection = Connection::open(target.port, &target.http1).await?;
            let mut refused = 0;
            for number in 0..each {
                let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
                let (code, _) = connection.call(Ask::post(collection, MALFORMED[number % MALFORMED.len()])).await?;
                refused += usize::from((400..500).contains(&code));
            }
            Ok(refused)
        }
    });
    Ok(format!("{} refused", refused.await.iter().sum::<usize>()))
}

const NONSENSE: &[&str] = &[
    "\r\n\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "\u{0}\u{0}\u{0}\u{0}\u{0}",
    "GET /api/v1/pods HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    "GET /api/v1/pods HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u{0}\u{0}\u{1}\u{9}\u{9}\u{9}\u{9}\u{9}",
];

pub async fn nonsense(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let answered = many(count, |number| {
        let target = target.clone();
        async move {
            let mut stream = tls(&target).await?;
            stream.write_all(NONSENSE[number % NONSENSE.len()].as_bytes()).await?;
            stream.shutdown().await?;
            let mut line = [0; 64];
            drop(stream.read(&mut line).await);
            Ok(())
        }
    });
    Ok(format!("{} sent", answered.await.len()))
}

/// Readers that ask for a long list and leave it where it is.
pub async fn unread(target: Target, count: usize) -> Result<String> {
    let target = Arc::new(target);
    let maker = Connection::open(target.port, &target.http1);
    let (mut maker, data) = (maker.await?, "x".repeat(1 << 20));
    for number in 0..24 {
        let object = format!(r#"{{"metadata":{{"name":"large-{number}"}},"data":{{"a":"{data}"}}}}"#);
        maker.must(Ask::post(format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), object)).await?;
    }
    let held = many(count, |_| {
        let target = target.clone();
        async move {
            let mut stream = tls(&target).await?;
            let head = format!("GET /api/v1/namespaces/{NAMESPACE}/configmaps HTTP/1.1\r\n{HOST}\r\n");
            stream.write_all(head.as_bytes()).await?;
            Ok(stream)
        }
    });
    let held = held.await;
    tokio::time::sleep(HOLD).await;
    let mut all = maker.start(Ask::get(format!("/api/v1/namespaces/{NAMESPACE}/configmaps"))).await?.1;
    while all.frame().await.is_some() {}
    Ok(format!("{} held", held.len()))
}
