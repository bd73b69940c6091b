//! From a request's head to the protocol that both sides speak, and the head of the 101 response.
//!
//! What a client may ask for, and the answers, are those of upstream's kubelet streaming server.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Response, StatusCode, request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::Protocol;

pub(crate) const SPDY: &str = "SPDY/3.1";
pub(crate) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// exec and attach.
    Exec,
    PortForward,
}

impl Purpose {
    fn websocket(self) -> &'static [(&'static str, Protocol)] {
        match self {
            Self::Exec => &[
                ("v5.channel.k8s.io", Protocol::WebSocketV5),
                ("v4.channel.k8s.io", Protocol::WebSocketV4),
                ("channel.k8s.io", Protocol::WebSocketV1),
            ],
            Self::PortForward => &[
                ("SPDY/3.1+portforward.k8s.io", Protocol::SpdyOverWebSocket),
                ("v4.channel.k8s.io", Protocol::WebSocketV4),
            ],
        }
    }

    fn spdy(self) -> &'static str {
        match self {
            Self::Exec => "v4.channel.k8s.io",
            Self::PortForward => "portforward.k8s.io",
        }
    }
}

/// What was agreed on.
#[derive(Debug)]
pub struct Accepted {
    pub protocol: Protocol,
    /// Of the 101 response.
    pub headers: HeaderMap,
}

impl Accepted {
    pub fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Why a request is not upgraded.
#[derive(Debug, thiserror::Error)]
#[error("unable to upgrade: {message}")]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
    /// Of the response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), headers: Vec::new() }
    }
}

/// The values of a header that may be repeated and may hold lists.
fn tokens(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|token| token.trim().to_owned()).filter(|t| !t.is_empty()).collect()
}

/// Decides how a request's streams will be carried.
pub fn negotiate(parts: &request::Parts, purpose: Purpose) -> Result<Accepted, Refusal> {
    let connection = tokens(&parts.headers, &CONNECTION);
    let upgrade = tokens(&parts.headers, &UPGRADE);
    if connection.iter().any(|token| token.eq_ignore_ascii_case("upgrade")) {
        if upgrade.iter().any(|token| token.eq_ignore_ascii_case("websocket")) {
            return websocket(&parts.headers, purpose);
        }
        if upgrade.iter().any(|token| token.eq_ignore_ascii_case(SPDY)) {
            return spdy(&parts.headers, purpose);
        }
    }
    Err(Refusal::bad_request("missing upgrade headers in request: ask for a WebSocket or SPDY/3.1"))
}

fn websocket(headers: &HeaderMap, purpose: Purpose) -> Result<Accepted, Refusal> {
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(Refusal::bad_request("the request has no Sec-WebSocket-Key"));
    };
    let asked = tokens(headers, &SEC_WEBSOCKET_PROTOCOL);
    let offered = purpose.websocket();
    let found = asked.iter().find_map(|name| offered.iter().find(|(offer, _)| offer == name));
    let mut answer = HeaderMap::new();
    let protocol = match (found, purpose) {
        (Some((name, protocol)), _) => {
            answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
            *protocol
        }
        (None, Purpose::Exec) if asked.is_empty() => Protocol::WebSocketV1,
        (None, Purpose::Exec | Purpose::PortForward) => {
            let names: Vec<&str> = offered.iter().map(|(name, _)| *name).collect();
            return Err(mismatch(&asked, &names));
        }
    };
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|error| Refusal::bad_request(error.to_string()))?);
    Ok(Accepted { protocol, headers: answer })
}

fn spdy(headers: &HeaderMap, purpose: Purpose) -> Result<Accepted, Refusal> {
    let asked = tokens(headers, &STREAM_PROTOCOL);
    let offer = purpose.spdy();
    if !asked.iter().any(|name| name == offer) {
        return Err(mismatch(&asked, &[offer]));
    }
    let mut answer = HeaderMap::new();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static(SPDY));
    answer.insert(STREAM_PROTOCOL, HeaderValue::from_static(offer));
    Ok(Accepted { protocol: Protocol::Spdy, headers: answer })
}

fn mismatch(asked: &[String], offered: &[&'static str]) -> Refusal {
    let headers = offered.iter().map(|name| (ACCEPTED_PROTOCOLS, HeaderValue::from_static(name))).collect();
    let message = format!(
        "unable to negotiate protocol: client supports [{}], server accepts [{}]",
        asked.join(" "),
        offered.join(" ")
    );
    Refusal { status: StatusCode::FORBIDDEN, message, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(purpose: Purpose, headers: &[(&str, &str)], expected: &str) {
        let mut request = http::Request::builder().uri("/exec");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("request").into_parts();
        let shown = match negotiate(&parts, purpose) {
            Ok(accepted) => format!("{:?} {:?}", accepted.protocol, accepted.headers.get(SEC_WEBSOCKET_PROTOCOL)),
            Err(refusal) => format!("{} {refusal}", refusal.status.as_u16()),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_clients_first_known_protocol_is_taken() {
        let ws = |protocols| {
            [
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", protocols),
            ]
        };
        check(Purpose::Exec, &ws("v5.channel.k8s.io, v4.channel.k8s.io"), r#"WebSocketV5 Some("v5.channel.k8s.io")"#);
        check(Purpose::Exec, &ws("v9, v4.channel.k8s.io"), r#"WebSocketV4 Some("v4.channel.k8s.io")"#);
        check(Purpose::Exec, &ws(""), "WebSocketV1 None");
        check(
            Purpose::PortForward,
            &ws("SPDY/3.1+portforward.k8s.io"),
            r#"SpdyOverWebSocket Some("SPDY/3.1+portforward.k8s.io")"#,
        );
        check(
            Purpose::Exec,
            &ws("v9"),
            "403 unable to upgrade: unable to negotiate protocol: client supports [v9], server accepts \
             [v5.channel.k8s.io v4.channel.k8s.io channel.k8s.io]",
        );
        let spdy =
            |version| [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", version)];
        check(Purpose::Exec, &spdy("v4.channel.k8s.io"), "Spdy None");
        check(Purpose::PortForward, &spdy("portforward.k8s.io"), "Spdy None");
        check(
            Purpose::PortForward,
            &spdy("v1"),
            "403 unable to upgrade: unable to negotiate protocol: client supports [v1], server accepts \
             [portforward.k8s.io]",
        );
        check(
            Purpose::Exec,
            &[],
            "400 unable to upgrade: missing upgrade headers in request: ask for a WebSocket or SPDY/3.1",
        );
    }
}
