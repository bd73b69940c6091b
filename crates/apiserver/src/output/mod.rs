//! How answers look: plain JSON, YAML, a Table for `kubectl get`, or metadata alone, as the Accept header asks.

pub mod age;
mod table;

use api::Status;
use bytes::Bytes;
use serde_json::Value;

use crate::storage;
use crate::tree;
use crate::verbs::{Answer, AnswerBody, Call};
pub(crate) use table::Rows;

/// What goes into the `object` of a Table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Yaml,
    /// PartialObjectMetadata.
    Partial,
    Table(Include),
}

impl Form {
    /// The first form of the Accept header that can be served. Protobuf is passed over.
    pub fn negotiate(accept: &str) -> Result<Self, Status> {
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let mut wants_unknown_form = false;
        for clause in accept.split(',') {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let param = |name: &str| {
                clause
                    .split(';')
                    .filter_map(|part| part.trim().split_once('='))
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value)
            };
            let plain = match media {
                "application/json" | "*/*" | "application/*" => Self::Json,
                "application/yaml" => Self::Yaml,
                _ => continue,
            };
            match (param("as"), param("g"), param("v")) {
                (None, ..) => return Ok(plain),
                (Some("Table"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => {
                    return Ok(Self::Table(Include::Metadata));
                }
                (
                    Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                    Some("meta.k8s.io"),
                    Some("v1" | "v1beta1"),
                ) => {
                    return Ok(Self::Partial);
                }
                _ => wants_unknown_form = true,
            }
        }
        Err(not_acceptable(wants_unknown_form))
    }

    /// With `includeObject` of the query.
    pub fn with_include(self, include: Option<&str>) -> Result<Self, Status> {
        match (self, include) {
            (Self::Table(_), Some("None")) => Ok(Self::Table(Include::None)),
            (Self::Table(_), Some("Object")) => Ok(Self::Table(Include::Object)),
            (Self::Table(_), Some("Metadata") | None) => Ok(Self::Table(Include::Metadata)),
            (Self::Table(_), Some(other)) => {
                Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}")))
            }
            (form, _) => Ok(form),
        }
    }
}

fn not_acceptable(unknown_form: bool) -> Status {
    if unknown_form {
        let message = "only the following media types are accepted: application/json, application/yaml, \
                       application/vnd.kubernetes.protobuf";
        return Status::failure(406, "NotAcceptable", message);
    }
    let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                   application/vnd.kubernetes.protobuf, application/json;stream=watch, \
                   application/vnd.kubernetes.protobuf;stream=watch";
    Status::failure(406, "NotAcceptable", message).with_details(api::status::Details::default())
}

impl Answer {
    pub(crate) fn json(code: u16, json: Bytes) -> Self {
        Self { code, content_type: "application/json", body: AnswerBody::Whole(json), warnings: Vec::new() }
    }
}

/// One object as the answer.
pub(crate) fn object(call: Call, code: u16, json: Bytes) -> Result<Answer, Status> {
    let shown = match call.form {
        Form::Json | Form::Yaml => json,
        Form::Partial => partial(&json),
        Form::Table(include) => Rows::new(&call, include).table_of(&json),
    };
    let mut answer = whole(&call.form, code, shown)?;
    answer.warnings = call.warnings;
    Ok(answer)
}

/// JSON that is at hand in one piece, as JSON or as YAML.
pub(crate) fn whole(form: &Form, code: u16, json: Bytes) -> Result<Answer, Status> {
    if !matches!(form, Form::Yaml) {
        return Ok(Answer::json(code, json));
    }
    let tree: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
    let yaml = api::yaml::print(&tree).map_err(Status::internal)?;
    Ok(Answer { content_type: "application/yaml", ..Answer::json(code, yaml.into()) })
}

/// PartialObjectMetadata of an object.
pub(crate) fn partial(json: &[u8]) -> Bytes {
    let tree: Value = serde_json::from_slice(json).unwrap_or_default();
    partial_tree(&tree).to_string().into()
}

pub(crate) fn partial_tree(tree: &Value) -> Value {
    let meta = tree::at(tree, "metadata").cloned().unwrap_or_default();
    serde_json::json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta })
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
