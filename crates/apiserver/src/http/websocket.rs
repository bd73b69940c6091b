//! Watches over WebSocket: each event is a message, text or (protobuf) binary; the end of the watch closes the connection.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use crate::filters::authn::WEBSOCKET_TOKEN;
use crate::verbs::{Answer, AnswerBody, AnswerStream};

pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let says = |name, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    says(CONNECTION, "upgrade") && says(UPGRADE, "websocket") && headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// Agrees to the upgrade and sends what the answer streams once the client has switched.
pub fn answer(parts: Parts, answer: Answer, stopping: CancellationToken) -> Response<Body> {
    let AnswerBody::Stream(events) = answer.body else { return Response::new(body::empty()) };
    let is_text = answer.content_type.starts_with("application/json");
    let accept = derive_accept_key(parts.headers[SEC_WEBSOCKET_KEY].as_bytes());
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(value) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    if let Some(protocol) = protocol(&parts.headers) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let upgraded = hyper::upgrade::on(Request::from_parts(parts, ()));
    tokio::spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "a watch was not upgraded"),
        };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = send(socket, events, is_text) => {}
        }
    });
    response
}

/// The one protocol that the client speaks besides its token.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let mut spoken = values.flat_map(|value| value.split(',')).map(str::trim);
    spoken.find(|one| !one.starts_with(WEBSOCKET_TOKEN)).and_then(|one| HeaderValue::from_str(one).ok())
}

async fn send<S>(socket: WebSocketStream<S>, mut events: AnswerStream, is_text: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut out, mut incoming) = socket.split();
    loop {
        tokio::select! {
            biased;
            // Reading answers pings; a client that closes, or says anything wrong, ends its watch.
            message = incoming.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            event = events.next() => {
                let Some(event) = event else { break };
                if out.send(message(event, is_text)).await.is_err() {
                    return;
                }
            }
        }
    }
    out.close().await.ok();
}

fn message(event: Bytes, is_text: bool) -> Message {
    match String::from_utf8(event.to_vec()) {
        Ok(text) if is_text => Message::text(text),
        _ => Message::binary(event),
    }
}
