//! gRPC over one HTTP/2 connection: unary calls and one kind of stream, no more than etcd's API needs.
//!
//! A message is five bytes (a flag, the length) and protobuf; how a call ended stands in the trailers `grpc-status` and
//! `grpc-message`. Every call says `hasleader: true`: a member that has lost its leader answers so instead of waiting.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::endpoint::{Endpoint, EtcdTls};

const HEAD_LEN: usize = 5;
/// A larger message is refused. etcd's own bounds (1.5 MiB a request) keep pages and events far below.
const MESSAGE_LEN_MAX: usize = 512 << 20;
/// Requests of a stream that wait to be sent.
const REQUESTS_MAX: usize = 16;
/// etcd ends connections that ping more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(6);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// It never left this process.
    NotSent(String),
    /// The connection broke or time ran out: etcd may or may not have done it.
    Broken(String),
    /// etcd's answer.
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: Code,
    pub message: String,
}

/// gRPC's status codes that are told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    OutOfRange,
    Unavailable,
    DataLoss,
    Unauthenticated,
    Other(u32),
}

impl Code {
    fn of(number: u32) -> Self {
        match number {
            3 => Self::InvalidArgument,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            11 => Self::OutOfRange,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            other => Self::Other(other),
        }
    }
}

/// A request's body: one message, and for a stream those that follow.
struct Upload {
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut this.rest {
            None => Poll::Ready(None),
            Some(rest) => rest.poll_recv(context).map(|message| message.map(|message| Ok(Frame::data(message)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }
}

/// A connection to one member.
pub(super) struct Connection {
    sender: http2::SendRequest<Upload>,
    origin: String,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    pub async fn open(endpoint: &Endpoint, tls: &EtcdTls) -> Result<Self, String> {
        let stream = endpoint.open(tls).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_TIMEOUT);
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
        let task = tokio::spawn(async { drop(connection.await) }).abort_handle();
        Ok(Self { sender, origin: endpoint.origin(), task })
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends it, with every call that is under way.
    pub fn close(&self) {
        self.task.abort();
    }

    /// One request, one answer.
    pub async fn unary<A: Message, B: Message + Default>(
        &self,
        path: &str,
        request: &A,
        timeout: Duration,
    ) -> Result<B, CallError> {
        let call = async {
            let body = Upload { first: Some(framed(request)), rest: None };
            let mut messages = self.send(path, body, Some(timeout)).await?;
            let message: B = messages.next().await?.ok_or_else(|| CallError::Broken("no answer".into()))?;
            // How the call ended is only known from what follows the message.
            match messages.next::<B>().await? {
                None => Ok(message),
                Some(_) => Err(CallError::Broken("more than one answer".into())),
            }
        };
        let timed_out = || CallError::Broken(format!("no answer within {timeout:?}"));
        tokio::time::timeout(timeout, call).await.map_err(|_| timed_out())?
    }

    /// Messages both ways, until either end is dropped.
    pub async fn stream<A: Message>(
        &self,
        path: &str,
        first: &A,
        timeout: Duration,
    ) -> Result<(Requests, Messages), CallError> {
        let (requests, rest) = mpsc::channel(REQUESTS_MAX);
        let body = Upload { first: Some(framed(first)), rest: Some(rest) };
        let opened = tokio::time::timeout(timeout, self.send(path, body, None)).await;
        let messages = opened.map_err(|_| CallError::Broken(format!("no answer within {timeout:?}")))??;
        Ok((Requests(requests), messages))
    }

    async fn send(&self, path: &str, body: Upload, timeout: Option<Duration>) -> Result<Messages, CallError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.origin))
            .version(Version::HTTP_2)
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("hasleader", "true");
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", format!("{}m", timeout.as_millis()));
        }
        let request = request.body(body).map_err(|error| CallError::NotSent(error.to_string()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|error| CallError::NotSent(chain(&error)))?;
        let response = sender.send_request(request).await.map_err(|error| match error.is_canceled() {
            true => CallError::NotSent(chain(&error)),
            false => CallError::Broken(chain(&error)),
        })?;
        if response.status() != http::StatusCode::OK {
            let message = format!("{} answered HTTP {}; is it etcd?", self.origin, response.status());
            return Err(CallError::Refused(Refusal { code: Code::Unavailable, message }));
        }
        let (parts, body) = response.into_parts();
        // A call without any message may have its trailers in the place of the head.
        if let Some(ended) = outcome(&parts.headers) {
            ended?;
        }
        Ok(Messages { body, buffer: BytesMut::new() })
    }
}

/// The sending half of a stream.
pub(super) struct Requests(mpsc::Sender<Bytes>);

impl Requests {
    /// Drops the message where too many wait already.
    pub fn send<A: Message>(&self, message: &A) {
        drop(self.0.try_send(framed(message)));
    }
}

/// The receiving half of a call.
pub(super) struct Messages {
    body: Incoming,
    buffer: BytesMut,
}

impl Messages {
    /// `None` at the good end of the call. Cancel safe.
    pub async fn next<B: Message + Default>(&mut self) -> Result<Option<B>, CallError> {
        loop {
            if let Some(message) = self.take()? {
                let message = B::decode(message).map_err(|error| CallError::Broken(format!("bad message: {error}")))?;
                return Ok(Some(message));
            }
            let frame = match self.body.frame().await {
                Some(frame) => frame.map_err(|error| CallError::Broken(chain(&error)))?,
                None => return Err(CallError::Broken("the answer broke off".into())),
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let ended = outcome(&trailers);
                    return ended.unwrap_or_else(|| Err(CallError::Broken("no grpc-status".into()))).map(|()| None);
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        let Some(head) = self.buffer.first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if head[0] != 0 || len > MESSAGE_LEN_MAX {
            return Err(CallError::Broken(format!("a message of {len} bytes, flag {}", head[0])));
        }
        if self.buffer.len() < HEAD_LEN + len {
            self.buffer.reserve(HEAD_LEN + len - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEAD_LEN);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

fn framed<A: Message>(message: &A) -> Bytes {
    let len = message.encoded_len();
    let mut out = BytesMut::with_capacity(HEAD_LEN + len);
    out.put_u8(0);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode(&mut out).expect("invariant: the buffer grows with what is written");
    out.freeze()
}

/// How the call ended, where that is said.
fn outcome(headers: &HeaderMap) -> Option<Result<(), CallError>> {
    let code: u32 = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    if code == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(http::HeaderValue::as_bytes).unwrap_or_default();
    Some(Err(CallError::Refused(Refusal { code: Code::of(code), message: percent_decoded(message) })))
}

fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The error with its sources: hyper's own words say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_trailers() {
        let mut headers = HeaderMap::new();
        assert_eq!(outcome(&headers), None);
        headers.insert("grpc-status", http::HeaderValue::from_static("14"));
        headers.insert("grpc-message", http::HeaderValue::from_static("etcdserver: no leader%21 100%"));
        let refusal = Refusal { code: Code::Unavailable, message: "etcdserver: no leader! 100%".into() };
        assert_eq!(outcome(&headers), Some(Err(CallError::Refused(refusal))));
        headers.insert("grpc-status", http::HeaderValue::from_static("0"));
        assert_eq!(outcome(&headers), Some(Ok(())));
    }
}
