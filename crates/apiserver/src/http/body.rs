//! Bodies: what comes in, read up to a bound, and what goes out, whole or as it arises.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use api::Status;
use bytes::Bytes;
use futures::Stream;
use http_body::{Body as _, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited, StreamBody};
use tokio_util::sync::CancellationToken;

use crate::verbs::AnswerStream;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type Body = BoxBody<Bytes, BoxError>;

/// Upstream's bound of a request's body.
pub const BODY_LEN_MAX: usize = 3 << 20;

/// What of a body is read only to throw it away; Go's bound.
const DISCARDED_LEN_MAX: usize = 256 << 10;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Frames of a stream that are joined.
const JOINED_MAX: usize = 32;

/// The body of a request.
pub enum Payload {
    Whole(Bytes),
    Wire(hyper::body::Incoming),
}

impl Payload {
    pub async fn read(self) -> Result<Bytes, Status> {
        let wire = match self {
            Self::Whole(bytes) if bytes.len() <= BODY_LEN_MAX => return Ok(bytes),
            Self::Whole(_) => return Err(too_large()),
            Self::Wire(wire) => wire,
        };
        // Who says that too much will come is refused before it comes.
        if wire.size_hint().lower() > BODY_LEN_MAX as u64 {
            return Err(too_large());
        }
        match Limited::new(wire, BODY_LEN_MAX).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => Err(Status::bad_request(format!("cannot read the body of the request: {error}"))),
        }
    }

    /// Reads what nobody will, as long as it is little and comes soon: a body that is left behind ends its connection.
    pub async fn discard(self) {
        let Self::Wire(wire) = self else { return };
        let small = http_body::Body::size_hint(&wire).upper().is_none_or(|len| len <= DISCARDED_LEN_MAX as u64);
        if small {
            let read = Limited::new(wire, DISCARDED_LEN_MAX).collect();
            tokio::time::timeout(DISCARD_TIMEOUT, read).await.ok();
        }
    }

    /// To be passed on as it comes in.
    pub fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes) => whole(bytes),
            Self::Wire(wire) => wire.map_err(BoxError::from).boxed(),
        }
    }
}

fn too_large() -> Status {
    let message = format!("Request entity too large: limit is {BODY_LEN_MAX}");
    Status::failure(413, "RequestEntityTooLarge", message)
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// The body, which keeps something until it ends or is dropped.
pub fn with<T: Send + Sync + 'static>(body: Body, kept: T) -> Body {
    // What is at hand is sent at once; only what arises with time is worth the box.
    if body.size_hint().exact().is_some() {
        return body;
    }
    body.map_frame(move |frame| {
        let _until_the_body_ends = &kept;
        frame
    })
    .boxed()
}

/// Frames that are ready at the same time, as one: they cost one write.
pub fn joined(stream: AnswerStream) -> AnswerStream {
    Box::pin(futures::StreamExt::map(futures::StreamExt::ready_chunks(stream, JOINED_MAX), |frames| {
        match frames.as_slice() {
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }))
}

/// A body that ends with its stream, or when the server stops.
pub fn streamed(stream: AnswerStream, stopping: &CancellationToken) -> Body {
    let frames = futures::StreamExt::map(exclusive(stream), |bytes| Ok(Frame::data(bytes)));
    let stop = stopping.clone().cancelled_owned();
    let frames = futures::StreamExt::take_until(frames, exclusive(Box::pin(stop)));
    StreamBody::new(frames).boxed()
}

/// A future or stream made `Sync`, as bodies must be.
pub fn exclusive<T: Unpin>(inner: T) -> Shared<T> {
    Shared(Mutex::new(inner))
}

/// Lets something be polled that is not `Sync` itself: it is reached by its only owner alone, so the lock is never
/// waited for.
pub struct Shared<T>(Mutex<T>);

impl<S: Stream + Unpin> Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(self.0.get_mut().unwrap_or_else(PoisonError::into_inner)).poll_next(context)
    }
}

impl<F: Future + Unpin> Future for Shared<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(self.0.get_mut().unwrap_or_else(PoisonError::into_inner)).poll(context)
    }
}
