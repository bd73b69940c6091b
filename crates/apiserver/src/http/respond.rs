//! From answers and Statuses to HTTP.

use api::Status;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use crate::verbs::{Answer, AnswerBody};

/// The answer of a verb.
pub fn answer(answer: Answer, stopping: &CancellationToken) -> Response<Body> {
    let body = match answer.body {
        AnswerBody::Whole(bytes) => body::whole(bytes),
        AnswerBody::Stream(stream) => body::streamed(stream, stopping),
    };
    let mut response = with(answer.code, answer.content_type, body);
    for text in &answer.warnings {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

pub fn status(status: &Status) -> Response<Body> {
    let mut response = with(status.code, "application/json", body::whole(status.to_json()));
    if let Some(seconds) = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|s| *s > 0) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

pub fn json(value: &serde_json::Value) -> Response<Body> {
    with(200, "application/json", body::whole(value.to_string()))
}

pub fn text(code: u16, text: impl Into<String>) -> Response<Body> {
    with(code, "text/plain; charset=utf-8", body::whole(text.into()))
}

/// What is no path of ours, as Go's mux says it.
pub fn page_not_found() -> Response<Body> {
    text(404, "404 page not found\n")
}

pub fn with(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
