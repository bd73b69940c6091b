//! From answers and Statuses to HTTP.

use api::Status;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use tokio_util::sync::CancellationToken;

use super::body::{self, Body};
use super::gzip;
use crate::output;
use crate::verbs::{Answer, AnswerBody};

/// The answer of a verb. With `compress`, one that is long is compressed.
pub async fn answer(answer: Answer, compress: bool, stopping: &CancellationToken) -> Response<Body> {
    let (body, is_compressed) = if compress { gzip::long(answer.body).await } else { (answer.body, false) };
    let body = match body {
        AnswerBody::Whole(bytes) => body::whole(bytes),
        AnswerBody::Stream(stream) => body::streamed(stream, stopping),
    };
    let mut response = with(answer.code, answer.content_type, body);
    if is_compressed {
        gzip::mark(response.headers_mut());
    }
    for text in warnings(answer.warnings) {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// All warnings together are no longer than this; when they would be, each is cut, and what still has no room is left out.
const WARNINGS_LEN_MAX: usize = 4 << 10;
const WARNING_LEN_MAX: usize = 256;

/// Each warning once, bounded as upstream bounds them.
fn warnings(texts: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !text.is_empty() && !kept.contains(&text) {
            kept.push(text);
        }
    }
    let chars = |text: &String| text.chars().count();
    if kept.iter().map(chars).sum::<usize>() > WARNINGS_LEN_MAX {
        let mut left = WARNINGS_LEN_MAX;
        kept = kept.iter().map(|text| text.chars().take(WARNING_LEN_MAX).collect()).collect();
        kept.retain(|text| {
            let fits = chars(text) <= left;
            left -= if fits { chars(text) } else { left };
            fits
        });
    }
    kept
}

/// A failure, in the medium that the request's headers and query ask for.
pub fn status(status: &Status, reader: &Reader) -> Response<Body> {
    let Reader { accept, pretty, user_agent } = reader;
    let (content_type, bytes) = output::status(accept, pretty.as_deref(), user_agent, status);
    let mut response = with(status.code, content_type, body::whole(bytes));
    if let Some(seconds) = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|s| *s > 0) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

pub fn json(value: &serde_json::Value) -> Response<Body> {
    with(200, "application/json", body::whole(value.to_string()))
}

/// JSON for people: what upstream always indents.
pub fn pretty(value: &serde_json::Value) -> Response<Body> {
    with(200, "application/json", body::whole(format!("{value:#}")))
}

pub fn text(code: u16, text: impl Into<String>) -> Response<Body> {
    with(code, "text/plain; charset=utf-8", body::whole(text.into()))
}

/// What a request says about how its answer is read.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    pub accept: String,
    pub pretty: Option<String>,
    pub user_agent: String,
}

/// What is no path of ours, as Go's mux says it.
pub fn page_not_found() -> Response<Body> {
    let mut response = text(404, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub fn with(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn warnings_are_told_once_and_do_not_grow_without_end() {
        let told = warnings(vec!["a".to_owned(), String::new(), "b".to_owned(), "a".to_owned()]);
        assert_eq!(told, ["a", "b"]);
        let many = warnings((0..100).map(|i| format!("{i:03}{}", "x".repeat(1000))).collect());
        assert_eq!((many.len(), many[0].len()), (16, WARNING_LEN_MAX));
        let answer = Answer { warnings: vec!["a\n\"b\" \u{e9}".to_owned()], ..Answer::json(200, Default::default()) };
        let response = super::answer(answer, false, &CancellationToken::new()).await;
        assert_eq!(response.headers()[WARNING].as_bytes(), "299 - \"a \\\"b\\\" \u{e9}\"".as_bytes());
    }
}
