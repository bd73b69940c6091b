//! PATCH: the four ways to change an object, applied to the newest one and tried again when others write.

use api::Status;
use api::patch::Patched;
use api::schema::{self, Validation};
use bytes::Bytes;
use serde_json::Value;

use super::{Answer, Call, WriteOptions, decode, managed, meta, update};
use crate::tree;

/// A patch by its content type, parsed.
pub(crate) enum Patch {
    Json(Bytes),
    Merge(Bytes),
    Strategic(Bytes),
    /// The configuration that is applied, in YAML or JSON.
    Apply(Bytes),
}

pub(super) async fn patch(mut call: Call) -> Result<Answer, Status> {
    let patch = Patch::read(&call)?;
    let options = WriteOptions::of_patch(&call, matches!(patch, Patch::Apply(_)))?;
    if let Patch::Apply(body) = patch {
        return apply(call, &body, &options).await;
    }
    let key = call.key();
    let make = |call: &mut Call, old: &Value| {
        let mut object = patch.patched(call, old, options.validation)?;
        meta::place(call, &mut object)?;
        Ok(object)
    };
    let json = update::replace(&mut call, &key, &options, managed::Tracking::Changes, make).await?;
    call.answer(200, json)
}

impl Patch {
    /// By the content type; a body is looked at only once the options are known to be good.
    pub(crate) fn read(call: &Call) -> Result<Self, Status> {
        let content_type = call.context.content_type.split(';').next().unwrap_or_default().trim();
        let body = call.context.body.clone();
        match content_type {
            "application/json-patch+json" => Ok(Self::Json(body)),
            "application/merge-patch+json" => Ok(Self::Merge(body)),
            // There are no merge keys for what is made at run time.
            "application/strategic-merge-patch+json" if call.resource.custom.is_some() => {
                Err(decode::unsupported_media_type(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ))
            }
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(body)),
            "application/apply-patch+yaml" => Ok(Self::Apply(body)),
            // Routes of built-in kinds refuse what they do not list, before anything looks at the request.
            _ if schema::builtin().lookup(&call.resource.schema).is_some() => {
                let refusal = decode::unsupported_media_type("415: Unsupported Media Type");
                Err(refusal.with_details(api::status::Details::default()))
            }
            _ => Err(decode::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }

    fn patched(&self, call: &mut Call, old: &Value, validation: Validation) -> Result<Value, Status> {
        let resource = call.resource.clone();
        let schema = decode::schema_of(&resource)?;
        let Patched { mut value, findings } = self.apply_to(old, schema)?;
        // Findings of the object are collected here; whether they refuse it is decided below.
        let collect = if validation == Validation::Ignore { Validation::Ignore } else { Validation::Warn };
        let findings = if validation == Validation::Ignore { Vec::new() } else { findings };
        let (decoded, shown) = match self {
            Self::Strategic(patch) => {
                // A strategic merge patch changes an object whose kind is known: it cannot change that.
                tree::copy(&mut value, old, "apiVersion");
                tree::copy(&mut value, old, "kind");
                let patch: Value = serde_json::from_slice(patch).unwrap_or_default();
                (schema::convert_tree(&value, schema, collect), api::go::value(&patch))
            }
            Self::Json(_) | Self::Merge(_) | Self::Apply(_) => {
                let decoded =
                    decode::check_type(call, &value).and_then(|()| decode::patched_tree(&resource, &value, collect));
                tree::copy(&mut value, old, "apiVersion");
                tree::copy(&mut value, old, "kind");
                (decoded, value.to_string())
            }
        };
        decode::patched(call, decoded, findings, &shown, validation)
    }

    /// The patched tree, not yet checked against its schema.
    pub(crate) fn apply_to(&self, old: &Value, schema: schema::Schema<'_>) -> Result<Patched, Status> {
        match self {
            Self::Json(patch) => api::patch::json(old, patch),
            Self::Merge(patch) => api::patch::merge(old, patch),
            Self::Strategic(patch) => api::patch::strategic(old, patch, schema),
            Self::Apply(_) => Err(Status::internal("an apply configuration is no plain patch")),
        }
    }
}

/// Server-side apply: creates the object when it is not there.
async fn apply(mut call: Call, body: &Bytes, options: &WriteOptions) -> Result<Answer, Status> {
    let configuration = configuration(body)?;
    let doubled = decode::doubled_in_yaml(&call, options.validation);
    let key = call.key();
    if super::commit::read(&call, &key).await?.is_none() {
        if !call.subresource().is_empty() {
            return Err(Status::not_found(call.about()));
        }
        let object = applied(&mut call, None, &configuration, &doubled, options)?;
        refuse_uid(&call, &object)?;
        update::may_create(&call)?;
        match super::create_object(&mut call, object, options, managed::Tracking::Done).await {
            Err(status) if status.is_already_exists() => {}
            created => {
                let json = created?;
                return call.answer(201, json);
            }
        }
    }
    let make = |call: &mut Call, old: &Value| applied(call, Some(old), &configuration, &doubled, options);
    let json = update::replace(&mut call, &key, options, managed::Tracking::Done, make).await?;
    call.answer(200, json)
}

pub(crate) fn configuration(body: &Bytes) -> Result<Value, Status> {
    let undecodable = |why: &str| Status::bad_request(format!("error decoding YAML: {why}"));
    let tree = api::yaml::parse(body);
    match tree.map_err(|error| undecodable(&format!("error converting YAML to JSON: {error}")))? {
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        tree @ Value::Object(_) => Ok(tree),
        other => {
            let found = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) | Value::Null | Value::Object(_) => "bool",
            };
            Err(undecodable(&format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type \
                 map[string]interface {{}}"
            )))
        }
    }
}

fn applied(
    call: &mut Call,
    live: Option<&Value>,
    configuration: &Value,
    doubled: &[String],
    options: &WriteOptions,
) -> Result<Value, Status> {
    let mut object = managed::applied(call, live, configuration, options)?;
    match options.validation {
        Validation::Strict if !doubled.is_empty() => {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
                doubled.join("\n  ")
            )));
        }
        Validation::Strict | Validation::Ignore => {}
        Validation::Warn => call.warnings.extend(doubled.iter().cloned()),
    }
    meta::place(call, &mut object)?;
    Ok(object)
}

/// Who names a uid means an object that exists.
fn refuse_uid(call: &Call, object: &Value) -> Result<(), Status> {
    let uid = tree::text(object, "metadata.uid");
    if uid.is_empty() {
        return Ok(());
    }
    let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
    Err(Status::conflict(call.about(), &why))
}
