//! The gRPC health check (grpc.health.v1.Health/Check) over plain HTTP/2: two messages and one call.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use stdx::{authority, dial_error};
use tokio::net::TcpStream;

const ANSWER_LEN_MAX: usize = 64 << 10;
const SERVING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    /// 0 unknown, 1 serving, 2 not serving, 3 service unknown.
    #[prost(int32, tag = "1")]
    status: i32,
}

pub async fn check(host: &str, port: u16, service: &str) -> Result<(), String> {
    let to = authority(host, port);
    let stream = TcpStream::connect(&to).await.map_err(|error| dial_error(&to, &error))?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("http://{to}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(&HealthCheckRequest { service: service.to_owned() })))
        .map_err(|error| error.to_string())?;
    let ask = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let early = grpc_failure(answer.headers());
        let body =
            Limited::new(answer.into_body(), ANSWER_LEN_MAX).collect().await.map_err(|error| error.to_string())?;
        let late = body.trailers().and_then(grpc_failure);
        if let Some(failure) = early.or(late) {
            return Err(failure);
        }
        let bytes = body.to_bytes();
        let message = bytes.get(5..).ok_or_else(|| "the answer is too short".to_owned())?;
        let status = HealthCheckResponse::decode(message).map_err(|error| error.to_string())?.status;
        if status == SERVING { Ok(()) } else { Err(format!("service unhealthy (responded with {:?})", word(status))) }
    };
    let drive = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        answer = ask => answer,
        () = drive => Err("the connection ended".to_owned()),
    }
}

/// A message with gRPC's prefix: not compressed, its length.
fn frame(message: &HealthCheckRequest) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn grpc_failure(headers: &http::HeaderMap) -> Option<String> {
    let code = headers.get("grpc-status")?.to_str().ok()?;
    if code == "0" {
        return None;
    }
    if code == "12" {
        return Some("this server does not implement the grpc health protocol (grpc.health.v1.Health)".to_owned());
    }
    let message = headers.get("grpc-message").and_then(|message| message.to_str().ok()).unwrap_or_default();
    Some(format!("health rpc probe failed: rpc error: code = {code} desc = {message}"))
}

fn word(status: i32) -> &'static str {
    match status {
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "",
    }
}
