//! An upgraded connection: the bytes of both sides, copied as they come, with each side's end passed on to the other.

use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::http::body::{self, Body};

/// Tells the client what the kubelet agreed to, and joins the two once both have switched.
pub fn join(client: Parts, mut kubelet: Response<Incoming>, stopping: CancellationToken) -> Response<Body> {
    let client_side = on(Request::from_parts(client, ()));
    let kubelet_side = on(&mut kubelet);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = copy(client_side, kubelet_side) => {}
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(kubelet.headers_mut());
    response
}

async fn copy(client: OnUpgrade, kubelet: OnUpgrade) {
    let (client, kubelet) = match futures::future::try_join(client, kubelet).await {
        Ok(both) => both,
        Err(error) => return tracing::debug!(%error, "a connection was not upgraded"),
    };
    let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut kubelet).await {
        tracing::debug!(%error, "a stream broke");
    }
    // A kubelet that drops its side without TLS' goodbye breaks the copying; the client still gets an orderly end.
    for side in [&mut client, &mut kubelet] {
        if let Err(error) = side.shutdown().await {
            tracing::trace!(%error, "a side was closed already");
        }
    }
}
