//! How answers look: JSON, YAML or protobuf, of whole objects, a Table for `kubectl get`, or metadata alone.
//!
//! Verbs answer in JSON; [`finish`] writes it down in the medium that was asked for. Only lists and watches, which are
//! made piece by piece, know about media themselves.

pub mod age;
mod negotiate;
pub(crate) mod table;

use api::{Status, protobuf};
use bytes::Bytes;
use serde_json::Value;

use crate::storage;
use crate::tree;
use crate::verbs::{Answer, AnswerBody, Call};
pub use negotiate::{Form, Include, Media, Offer, View, best, refused};
pub(crate) use table::Rows;

impl Answer {
    pub(crate) fn json(code: u16, json: Bytes) -> Self {
        Self { code, content_type: "application/json", body: AnswerBody::Whole(json), warnings: Vec::new() }
    }
}

/// One object as the answer.
pub(crate) fn object(call: Call, code: u16, json: Bytes) -> Result<Answer, Status> {
    let shown = match call.form.view {
        View::Object => json,
        View::Partial { list: false } => partial(&json, call.form.meta_version),
        View::Partial { list: true } => {
            return Err(refused(format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
                go_type(&call.resource.kind)
            )));
        }
        View::Table(include) => Rows::new(&call, include).table_of(&json),
    };
    Ok(Answer { warnings: call.warnings, ..Answer::json(code, shown) })
}

/// A kind's type as upstream's messages name it.
pub(crate) fn go_type(kind: &api::Gvk) -> String {
    let group = kind.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    format!("*{group}.{}", kind.kind)
}

/// Writes an answer's JSON down in the medium asked for. What is no JSON, or comes as a stream, stays as it is.
pub(crate) fn finish(media: Media, answer: Answer) -> Result<Answer, Status> {
    let AnswerBody::Whole(json) = &answer.body else { return Ok(answer) };
    if answer.content_type != "application/json" {
        return Ok(answer);
    }
    let (content_type, bytes) = written(media, json)?;
    Ok(Answer { content_type, body: AnswerBody::Whole(bytes), ..answer })
}

/// JSON in another medium, with that medium's name.
pub(crate) fn written(media: Media, json: &Bytes) -> Result<(&'static str, Bytes), Status> {
    Ok(match media {
        Media::Json { pretty: false } => ("application/json", json.clone()),
        Media::Json { pretty: true } => {
            let tree: Value = serde_json::from_slice(json).map_err(Status::internal)?;
            ("application/json", serde_json::to_vec_pretty(&tree).map_err(Status::internal)?.into())
        }
        Media::Yaml => {
            let tree: Value = serde_json::from_slice(json).map_err(Status::internal)?;
            ("application/yaml", api::yaml::print(&tree).map_err(Status::internal)?.into())
        }
        Media::Protobuf => {
            let kind = protobuf::Kind::of_json(json).ok_or_else(|| {
                refused("the object does not implement the protobuf marshalling interface".to_owned())
            })?;
            (protobuf::CONTENT_TYPE, kind.encode(json).map_err(Status::internal)?)
        }
    })
}

/// A failure in the medium that the client reads; JSON where that cannot be told.
pub fn status(accept: &str, pretty: Option<&str>, user_agent: &str, status: &Status) -> (&'static str, Bytes) {
    let json = Bytes::from(status.to_json());
    let form = Form::negotiate(accept, Offer { routed: false, ..Offer::PLAIN });
    let media = form.map_or(Media::Json { pretty: false }, |form| form.prettified(pretty, user_agent).media);
    written(media, &json).unwrap_or(("application/json", json))
}

/// PartialObjectMetadata of an object.
pub(crate) fn partial(json: &[u8], meta_version: &str) -> Bytes {
    let tree: Value = serde_json::from_slice(json).unwrap_or_default();
    partial_tree(&tree, meta_version).to_string().into()
}

pub(crate) fn partial_tree(tree: &Value, meta_version: &str) -> Value {
    let meta = tree::at(tree, "metadata").cloned().unwrap_or_default();
    serde_json::json!({ "kind": "PartialObjectMetadata", "apiVersion": meta_version, "metadata": meta })
}

/// JSON of a tree with its metadata first, so that watch frames and lists can be cut from it.
pub(crate) fn json_of(tree: &Value) -> Bytes {
    storage::encode(tree)
}

/// The present moment of the runtime's own timer, which a simulation pauses.
#[allow(clippy::disallowed_methods)] // Only for timers, never for timestamps.
pub(crate) fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
