//! PATCH: the four ways to change an object, applied to the newest one and tried again when others write.

use api::schema::{self, Validation};
use api::{Status, status::Cause};
use bytes::Bytes;
use serde_json::Value;

use super::{Answer, Call, WriteOptions, decode, managed, meta, update};
use crate::tree;

/// A patch by its content type, parsed.
pub(crate) enum Patch {
    Json(Bytes),
    Merge(Bytes),
    Strategic(Bytes),
    /// The configuration that is applied.
    Apply(Value),
}

pub(super) async fn patch(mut call: Call) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "PatchOptions")?;
    match Patch::read(&call)? {
        Patch::Apply(configuration) => apply(call, &configuration, &options).await,
        patch => {
            if options.force {
                return Err(refused("force", "Forbidden: may not be specified for non-apply patch"));
            }
            let key = call.key();
            let make = |call: &mut Call, old: &Value| patch.patched(call, old, options.validation);
            let json = update::replace(&mut call, &key, &options, managed::Tracking::Changes, make).await?;
            call.answer(200, json)
        }
    }
}

impl Patch {
    pub(crate) fn read(call: &Call) -> Result<Self, Status> {
        let content_type = call.context.content_type.split(';').next().unwrap_or_default().trim();
        let tree = || -> Result<Value, Status> {
            let json = decode::json_body(call)?;
            serde_json::from_slice(&json).map_err(|error| {
                Status::bad_request(format!("error decoding patch: {}", schema::syntax_error(&json, &error)))
            })
        };
        match content_type {
            "application/json-patch+json" => Ok(Self::Json(call.context.body.clone())),
            "application/merge-patch+json" => Ok(Self::Merge(call.context.body.clone())),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(call.context.body.clone())),
            "application/apply-patch+yaml" => Ok(Self::Apply(tree()?)),
            _ => Err(decode::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                 application/apply-patch+yaml, application/apply-patch+cbor",
            )),
        }
    }

    fn patched(&self, call: &mut Call, old: &Value, validation: Validation) -> Result<Value, Status> {
        let schema = decode::schema_of(&call.resource)?;
        let patched = self.apply_to(old, schema)?;
        let object = decode::patched(call, &patched, validation)?;
        check_identity(call, &object, old)?;
        Ok(object)
    }

    /// The patched tree, not yet checked against its schema.
    pub(crate) fn apply_to(&self, old: &Value, schema: schema::Schema<'_>) -> Result<Value, Status> {
        match self {
            Self::Json(patch) => api::patch::json(old, patch),
            Self::Merge(patch) => api::patch::merge(old, patch),
            Self::Strategic(patch) => api::patch::strategic(old, patch, schema),
            Self::Apply(_) => Err(Status::internal("an apply configuration is no plain patch")),
        }
    }
}

fn check_identity(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    let (name, wanted) = (tree::text(new, "metadata.name"), tree::text(old, "metadata.name"));
    if name != wanted {
        let why = format!("the name of the object ({name}) does not match the name on the URL ({wanted})");
        return Err(Status::bad_request(why));
    }
    if tree::text(new, "metadata.namespace") != tree::text(old, "metadata.namespace") {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let kind = &call.resource.kind;
    if tree::text(new, "kind") != kind.kind || tree::text(new, "apiVersion") != kind.api_version() {
        return Err(Status::bad_request("the patch may not change apiVersion or kind"));
    }
    Ok(())
}

/// Server-side apply: creates the object when it is not there.
async fn apply(mut call: Call, configuration: &Value, options: &WriteOptions) -> Result<Answer, Status> {
    if call.context.params.get("fieldManager").is_none() {
        return Err(refused("fieldManager", "Required value: is required for apply patch"));
    }
    let checked = checked_configuration(&mut call, configuration, options)?;
    let key = call.key();
    if super::commit::read(&call, &key).await?.is_none() {
        if !call.subresource().is_empty() {
            return Err(Status::not_found(call.about()));
        }
        let mut object = managed::applied(&call, None, &checked, options)?;
        meta::place(&call, &mut object)?;
        match super::create_object(&mut call, object, options, managed::Tracking::Done).await {
            Err(status) if status.is_already_exists() => {}
            created => {
                let json = created?;
                return call.answer(201, json);
            }
        }
    }
    let make = |call: &mut Call, old: &Value| managed::applied(call, Some(old), &checked, options);
    let json = update::replace(&mut call, &key, options, managed::Tracking::Done, make).await?;
    call.answer(200, json)
}

fn checked_configuration(call: &mut Call, configuration: &Value, options: &WriteOptions) -> Result<Value, Status> {
    let kind = call.resource.kind.clone();
    let schema = decode::schema_of(&call.resource)?;
    if tree::text(configuration, "kind") != kind.kind || tree::text(configuration, "apiVersion") != kind.api_version() {
        let why = format!(
            "invalid object type: {}, Kind={}",
            tree::text(configuration, "apiVersion"),
            tree::text(configuration, "kind")
        );
        return Err(Status::bad_request(why));
    }
    let decoded = schema::decode_tree(configuration, schema, options.validation)
        .map_err(|why| schema::bad_request(&kind.version, &kind.kind, &kind.kind, &why))?;
    call.warnings.extend(decoded.warnings);
    let mut checked = decoded.value;
    if tree::is_set(&checked, "metadata.managedFields") {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    meta::place(call, &mut checked)?;
    Ok(checked)
}

fn refused(field: &str, message: &str) -> Status {
    let reason = if message.starts_with("Required") { "FieldValueRequired" } else { "FieldValueForbidden" };
    let cause = Cause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() };
    let text = format!("PatchOptions.meta.k8s.io \"\" is invalid: {field}: {message}");
    let details = api::status::Details {
        group: "meta.k8s.io".to_owned(),
        kind: "PatchOptions".to_owned(),
        causes: vec![cause],
        ..Default::default()
    };
    Status::failure(422, "Invalid", text).with_details(details)
}
