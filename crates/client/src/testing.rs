//! An API of canned answers for this crate's own tests: each path answers from a script, watches are fed by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;

use crate::transport::{Body, Transport, TransportError};

type Frames = mpsc::UnboundedReceiver<Result<String, TransportError>>;

/// Answers `METHOD path` (without the query; `*` stands for a last part) from queues; what was asked is kept.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<BTreeMap<String, Vec<Answer>>>,
    pub asked: Mutex<Vec<String>>,
}

pub(crate) enum Answer {
    Json(u16, String),
    Watch(Frames),
    Lost,
}

/// The sending end of a watch.
pub(crate) type Feed = mpsc::UnboundedSender<Result<String, TransportError>>;

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn answer(&self, ask: &str, code: u16, json: &str) {
        self.push(ask, Answer::Json(code, json.to_owned()));
    }

    pub(crate) fn lose(&self, ask: &str) {
        self.push(ask, Answer::Lost);
    }

    pub(crate) fn watch(&self, ask: &str) -> Feed {
        let (feed, frames) = mpsc::unbounded_channel();
        self.push(ask, Answer::Watch(frames));
        feed
    }

    fn push(&self, ask: &str, answer: Answer) {
        self.answers.lock().unwrap().entry(ask.to_owned()).or_default().push(answer);
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let verb = if is_watch { "WATCH".to_owned() } else { request.method().to_string() };
        let ask = format!("{verb} {}", request.uri().path());
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let query = request.uri().query().unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{ask}?{query} {body}"));
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            let any = format!("{}/*", ask.rsplit_once('/').map_or("", |(parent, _)| parent));
            let script = if answers.contains_key(&ask) { ask } else { any };
            answers.get_mut(&script).filter(|list| !list.is_empty()).map(|list| list.remove(0))
        };
        match answer {
            Some(Answer::Json(code, json)) => {
                let body = Full::new(Bytes::from(json)).map_err(|never| match never {}).boxed();
                Ok(Response::builder().status(code).body(body).unwrap())
            }
            Some(Answer::Watch(frames)) => {
                let stream = futures::stream::unfold(frames, |mut frames| async {
                    let next = frames.recv().await?;
                    Some((next.map(|text| http_body::Frame::data(Bytes::from(text))), frames))
                });
                Ok(Response::new(BodyExt::boxed(StreamBody::new(stream))))
            }
            Some(Answer::Lost) => Err(TransportError::Timeout),
            None => std::future::pending().await,
        }
    }
}
