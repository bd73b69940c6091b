//! An upgraded connection: the bytes of both sides, copied as they come, with each side's end passed on to the other.

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::http::body::{self, Body};

/// Tells the client what the backend agreed to, and joins the two once both have switched.
pub fn join(client: Parts, mut backend: Response<Incoming>, stopping: CancellationToken) -> Response<Body> {
    let client_side = on(Request::from_parts(client, ()));
    let backend_side = on(&mut backend);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = copy(client_side, backend_side) => {}
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(backend.headers_mut());
    response
}

async fn copy(client: OnUpgrade, backend: OnUpgrade) {
    let (client, backend) = match futures::future::try_join(client, backend).await {
        Ok(both) => both,
        Err(error) => return tracing::debug!(%error, "a connection was not upgraded"),
    };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "a stream broke");
    }
    // A backend that drops its side without TLS' goodbye breaks the copying; the client still gets an orderly end.
    for side in [&mut client, &mut backend] {
        if let Err(error) = side.shutdown().await {
            tracing::trace!(%error, "a side was closed already");
        }
    }
}
