//! Stage 1, decode: a request's body to a tree that fits the resource's schema. Defaults follow at once (stage 2), as
//! upstream's decoder does both.

use std::borrow::Cow;

use api::Status;
use api::schema::{self, Schema, Validation};
use bytes::Bytes;
use serde_json::Value;

use super::{Call, RequestContext, WriteOptions};
use crate::resource::Resource;
use crate::tree;

/// The body as the object that the resource holds, with defaults.
pub(crate) fn body(call: &mut Call, options: &WriteOptions) -> Result<Value, Status> {
    let json = json_body(call)?;
    let mut object = object(call, &json, options.validation)?;
    super::prepare::apply_defaults(&call.resource, &mut object);
    Ok(object)
}

/// The schema of the resource's objects.
pub(crate) fn schema_of(resource: &Resource) -> Result<Schema<'static>, Status> {
    named_schema(&resource.schema)
}

pub(crate) fn named_schema(name: &str) -> Result<Schema<'static>, Status> {
    schema::builtin().lookup(name).ok_or_else(|| Status::internal(format!("no schema is known for {name}")))
}

fn object(call: &mut Call, json: &[u8], validation: Validation) -> Result<Value, Status> {
    let schema = schema_of(&call.resource)?;
    let kind = call.resource.kind.clone();
    let (object, warnings) = typed(json, schema, &kind.api_version(), &kind.kind, validation)?;
    call.warnings.extend(warnings);
    Ok(object)
}

/// The body of a subresource, which is of another kind than the resource (Binding, Scale). It gets no defaults.
pub(crate) fn decode_as(
    call: &mut Call,
    schema: &str,
    api_version: &str,
    kind: &str,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let json = json_body(call)?;
    let (object, warnings) = typed(&json, named_schema(schema)?, api_version, kind, options.validation)?;
    call.warnings.extend(warnings);
    Ok(object)
}

/// The body of a review.
pub(crate) fn decode_review(resource: &Resource, context: &RequestContext) -> Result<Value, Status> {
    let json = json_of_body(&context.content_type, &context.body)?;
    let kind = &resource.kind;
    let schema = schema_of(resource)?;
    let (mut object, _) = typed(&json, schema, &kind.api_version(), &kind.kind, Validation::Ignore)?;
    schema::normalize(&mut object, schema);
    Ok(object)
}

fn typed(
    json: &[u8],
    schema: Schema<'_>,
    api_version: &str,
    wanted: &str,
    validation: Validation,
) -> Result<(Value, Vec<String>), Status> {
    let claimed = claimed_type(json, wanted)?;
    let claimed_kind = claimed.kind.as_deref().unwrap_or(wanted);
    let claimed_version = claimed.api_version.as_deref().unwrap_or(api_version);
    if claimed_kind != wanted || claimed_version != api_version {
        return Err(wrong_type(claimed_version, claimed_kind, wanted, api_version));
    }
    let decoded = schema::decode(json, schema, validation)
        .map_err(|why| schema::bad_request(&short_version(claimed_version), claimed_kind, wanted, &why))?;
    let mut object = decoded.value;
    tree::set(&mut object, "apiVersion", api_version);
    tree::set(&mut object, "kind", wanted);
    Ok((object, decoded.warnings))
}

/// Checks a tree that a patch made, as a body is checked.
pub(crate) fn patched(call: &mut Call, object: &Value, validation: Validation) -> Result<Value, Status> {
    let schema = schema_of(&call.resource)?;
    let kind = call.resource.kind.clone();
    let decoded = schema::decode_tree(object, schema, validation)
        .map_err(|why| schema::bad_request(&kind.version, &kind.kind, &kind.kind, &why))?;
    for warning in decoded.warnings {
        if !call.warnings.contains(&warning) {
            call.warnings.push(warning);
        }
    }
    let mut object = decoded.value;
    super::prepare::apply_defaults(&call.resource, &mut object);
    Ok(object)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claimed<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
}

fn claimed_type<'a>(json: &'a [u8], wanted: &str) -> Result<Claimed<'a>, Status> {
    let claimed: Result<Claimed<'a>, _> = serde_json::from_slice(json);
    claimed.map_err(|error| {
        let why = schema::syntax_error(json, &error);
        let shown = summary(json);
        let parse = format!("couldn't get version/kind; json parse error: {why}");
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {wanted}): {parse} ({shown})"
        ))
    })
}

/// The beginning of a body, for messages: as it is if it looks like JSON.
fn summary(body: &[u8]) -> String {
    const LEN_MAX: usize = 30;
    let begin = &body[..body.len().min(LEN_MAX)];
    let shown = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(begin).into_owned(),
        Some(_) => begin.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > LEN_MAX { format!("{shown} ...") } else { shown }
}

fn short_version(api_version: &str) -> String {
    api::name::split_api_version(api_version).1.to_owned()
}

fn wrong_type(api_version: &str, kind: &str, wanted: &str, wanted_version: &str) -> Status {
    let group = api::name::split_api_version(wanted_version).0;
    let (claimed_group, version) = api::name::split_api_version(api_version);
    let known = schema::builtin().kinds().any(|(g, v, k, _)| g == claimed_group && v == version && k == kind);
    if !known {
        let message = format!(
            "{kind} in version {version:?} cannot be handled as a {wanted}: no kind {kind:?} is registered for version \
             {api_version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        );
        return Status::bad_request(message);
    }
    let internal = |group: &str| match group {
        "" => "core".to_owned(),
        group => group.split('.').next().unwrap_or(group).to_owned(),
    };
    let why = format!("converting ({version}.{kind}) to ({}.{wanted}): unknown conversion", internal(group));
    schema::bad_request(version, kind, wanted, &why)
}

/// The body as JSON: itself, or converted from YAML. Other content types are refused.
pub(crate) fn json_body(call: &Call) -> Result<Bytes, Status> {
    json_of_body(&call.context.content_type, &call.context.body)
}

fn json_of_body(content_type: &str, body: &Bytes) -> Result<Bytes, Status> {
    match &*media_type(content_type) {
        "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => Ok(in_utf8(body)),
        "application/yaml" | "application/apply-patch+yaml" => yaml_to_json(body),
        _ => Err(unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// A Content-Type without its parameters; JSON where it is empty. What is malformed stays and is known to nobody.
pub(crate) fn media_type(content_type: &str) -> String {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let well_formed = parts.all(|part| part.is_empty() || part.split_once('=').is_some_and(|(key, _)| !key.is_empty()));
    match (media, well_formed) {
        ("", _) if content_type.is_empty() => "application/json".to_owned(),
        (media, true) => media.to_ascii_lowercase(),
        (_, false) => content_type.to_owned(),
    }
}

/// Bytes that are no UTF-8 count as U+FFFD, as Go reads them.
fn in_utf8(body: &Bytes) -> Bytes {
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(_) => body.clone(),
        Cow::Owned(text) => text.into(),
    }
}

pub(crate) fn unsupported_media_type(message: &str) -> Status {
    Status::failure(415, "UnsupportedMediaType", message)
}

/// JSON is YAML: what already is JSON stays as it is, with its duplicate fields.
fn yaml_to_json(yaml: &Bytes) -> Result<Bytes, Status> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(yaml).is_ok() {
        return Ok(yaml.clone());
    }
    let tree = api::yaml::parse(yaml).map_err(|error| Status::bad_request(format!("error parsing YAML: {error}")))?;
    let json = serde_json::to_vec(&tree).map_err(Status::internal)?;
    Ok(json.into())
}
