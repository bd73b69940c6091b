//! Exec, attach and port-forward: the request is passed to the runtime's streaming server, and after the upgrade bytes are
//! copied both ways. The kubelet does not read them.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Answer, Context, plain, text};

/// `url` is the runtime's answer to a streaming call.
pub async fn join(context: &Arc<Context>, url: cri::Result<String>, request: http::Request<Incoming>) -> Answer {
    let url = match url {
        Ok(url) => url,
        Err(error) if error.code == cri::Code::NotFound => return plain(404, &error.to_string()),
        Err(error) => return plain(500, &error.to_string()),
    };
    match forward(context, &url, request).await {
        Ok(answer) => answer,
        Err(why) => text(500, &format!("cannot reach the container runtime's streaming server: {why}")),
    }
}

async fn forward(context: &Arc<Context>, url: &str, mut request: http::Request<Incoming>) -> Result<Answer, String> {
    let uri: http::Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
    let host = uri.authority().map(ToString::to_string).ok_or_else(|| format!("{url:?} names no host"))?;
    let stream = TcpStream::connect(&host).await.map_err(|error| format!("{host}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let stopping = context.stopping.clone();
    context.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            ended = connection.with_upgrades() => if let Err(error) = ended {
                tracing::debug!("the connection to the streaming server broke: {error}");
            },
        }
    });
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut passed = http::Request::builder().method(request.method().clone()).uri(path);
    for (name, value) in request.headers() {
        if name != http::header::HOST {
            passed = passed.header(name, value);
        }
    }
    let passed = passed.header("host", &host).body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let mut answer = sender.send_request(passed).await.map_err(|error| error.to_string())?;
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer.map(|body| body.map_err(std::io::Error::other).boxed()));
    }
    let (ours, theirs) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
    let stopping = context.stopping.clone();
    context.tasks.spawn(async move {
        let copy = async {
            let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            // Whoever ends first ends the other; an error is an end too.
            drop(tokio::io::copy_bidirectional(&mut ours, &mut theirs).await);
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = copy => {}
        }
    });
    let (head, _) = answer.into_parts();
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    Ok(http::Response::from_parts(head, body))
}
