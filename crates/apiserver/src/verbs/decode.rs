//! Stage 1, decode: a request's body to a tree that fits the resource's schema. Defaults follow at once (stage 2), as
//! upstream's decoder does both.

use std::borrow::Cow;

use api::schema::{self, Schema, Validation};
use api::validation::Path;
use api::{Status, protobuf};
use bytes::Bytes;
use serde_json::Value;

use super::{Call, RequestContext, WriteOptions};
use crate::resource::Resource;
use crate::tree;

/// The body as the object that the resource holds, with defaults.
pub(crate) fn body(call: &mut Call, options: &WriteOptions) -> Result<Value, Status> {
    let resource = call.resource.clone();
    let kind = &resource.kind;
    let mut object = match &resource.custom {
        Some(custom) => {
            let read = |json: &[u8]| {
                let decoded = custom.decode(&resource, json, options.validation)?;
                Ok((decoded.value, decoded.warnings))
            };
            read_body(call, &kind.api_version(), &kind.kind, options.validation, read)?
        }
        None => typed_body(call, schema_of(&resource)?, &kind.api_version(), &kind.kind, options.validation)?,
    };
    super::prepare::apply_defaults(&call.resource, &mut object);
    Ok(object)
}

fn typed_body(
    call: &mut Call,
    schema: Schema<'_>,
    api_version: &str,
    kind: &str,
    validation: Validation,
) -> Result<Value, Status> {
    let read = |json: &[u8]| typed(json, schema, api_version, kind, validation);
    read_body(call, api_version, kind, validation, read)
}

fn read_body(
    call: &mut Call,
    api_version: &str,
    kind: &str,
    validation: Validation,
    read: impl FnOnce(&[u8]) -> Result<(Value, Vec<String>), Status>,
) -> Result<Value, Status> {
    let json = json_body(call).map_err(|why| match why.code {
        400 => unrecognized(&call.context.body, kind, &why.message),
        _ => why,
    })?;
    let doubled = if json == call.context.body { Vec::new() } else { doubled_in_yaml(call, validation) };
    let decoded = read(&json);
    if validation == Validation::Strict && !doubled.is_empty() {
        // What strict reading of YAML says comes before what strict decoding says.
        let unmarshal = format!("yaml: unmarshal errors:\n  {}", doubled.join("\n  "));
        let more = decoded
            .err()
            .filter(|status| status.message.contains(STRICT))
            .map(|status| status.message.split_once(STRICT).map_or_else(String::new, |(_, rest)| format!(", {rest}")));
        let why = format!("{STRICT}{unmarshal}{}", more.unwrap_or_default());
        return Err(schema::bad_request(&short_version(api_version), kind, kind, &why));
    }
    let (object, warnings) = decoded?;
    call.warnings.extend(doubled);
    call.warnings.extend(warnings);
    Ok(object)
}

const STRICT: &str = "strict decoding error: ";

/// The keys that a body in YAML has twice, which conversion to JSON loses.
pub(crate) fn doubled_in_yaml(call: &Call, validation: Validation) -> Vec<String> {
    if validation == Validation::Ignore { Vec::new() } else { api::yaml::duplicates(&call.context.body) }
}

/// The schema of the resource's objects.
pub(crate) fn schema_of(resource: &Resource) -> Result<Schema<'_>, Status> {
    match &resource.custom {
        Some(custom) => Ok(custom.schema().schema()),
        None => named_schema(&resource.schema),
    }
}

pub(crate) fn named_schema(name: &str) -> Result<Schema<'static>, Status> {
    schema::builtin().lookup(name).ok_or_else(|| Status::internal(format!("no schema is known for {name}")))
}

/// The body of a subresource, which is of another kind than the resource (Binding, Scale). It gets no defaults.
pub(crate) fn decode_as(
    call: &mut Call,
    schema: &str,
    api_version: &str,
    kind: &str,
    options: &WriteOptions,
) -> Result<Value, Status> {
    typed_body(call, named_schema(schema)?, api_version, kind, options.validation)
}

/// The body of a review.
pub(crate) fn decode_review(resource: &Resource, context: &RequestContext) -> Result<Value, Status> {
    let json = json_of_body(&context.content_type, &context.body)?;
    let kind = &resource.kind;
    let schema = schema_of(resource)?;
    let (mut object, _) = typed(&json, schema, &kind.api_version(), &kind.kind, Validation::Ignore)?;
    schema::normalize(&mut object, schema);
    schema::settle(&mut object, schema);
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

/// Checks a tree that a patch made, as a body is checked; `shown` is what upstream shows of it. `findings` are those of
/// the patch itself, which come first.
pub(crate) fn patched(
    call: &mut Call,
    decoded: Result<schema::Decoded, String>,
    mut findings: Vec<String>,
    shown: &str,
    validation: Validation,
) -> Result<Value, Status> {
    let refused = |why: &str| Status::invalid("", "", "", vec![Path::new("patch").invalid(shown, why)]);
    let decoded = decoded.map_err(|why| refused(&why))?;
    findings.extend(decoded.warnings);
    match validation {
        Validation::Strict if !findings.is_empty() => {
            return Err(refused(&format!("strict decoding error: {}", findings.join(", "))));
        }
        Validation::Strict | Validation::Ignore => {}
        Validation::Warn => call.warnings.extend(findings),
    }
    let mut object = decoded.value;
    super::prepare::apply_defaults(&call.resource, &mut object);
    Ok(object)
}

/// A tree that a patch made, by the resource's schema. The error is the bare reason.
pub(crate) fn patched_tree(
    resource: &Resource,
    tree: &Value,
    validation: Validation,
) -> Result<schema::Decoded, String> {
    match &resource.custom {
        Some(custom) => api::custom::decode::decode_tree(tree, custom.schema(), validation),
        None => schema::decode_tree(tree, schema_of(resource).map_err(|status| status.message)?, validation),
    }
}

/// Why a tree that a patch made is of no kind that can be taken; a kind's other versions can.
pub(crate) fn check_type(call: &Call, tree: &Value) -> Result<(), String> {
    let (claimed, wanted) = ((tree::text(tree, "apiVersion"), tree::text(tree, "kind")), &call.resource.kind);
    for (field, name) in [(claimed.1, "Kind"), (claimed.0, "apiVersion")] {
        if field.is_empty() {
            return Err(format!("Object '{name}' is missing in '{tree}'"));
        }
    }
    match (claimed.1 == wanted.kind).then(|| wanted.api_version()) {
        Some(version) if version == claimed.0 => Ok(()),
        _ => foreign(claimed.0, claimed.1, &wanted.kind, &wanted.api_version()).map_or(Ok(()), Err),
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claimed<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
}

/// How many bytes of a body that is not understood are shown.
const SHOWN_LEN_MAX: usize = 30;

fn claimed_type<'a>(json: &'a [u8], wanted: &str) -> Result<Claimed<'a>, Status> {
    interpret(json).map_err(|why| unrecognized(json, wanted, &why))
}

fn unrecognized(body: &[u8], wanted: &str, why: &str) -> Status {
    let head = &body[..body.len().min(SHOWN_LEN_MAX)];
    let more = if body.len() > SHOWN_LEN_MAX { " ..." } else { "" };
    let shown = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => format!("{}{more}", hex(head)),
    };
    Status::bad_request(format!("the object provided is unrecognized (must be of type {wanted}): {why} ({shown})"))
}

/// The kind that a body says it is of.
fn interpret(json: &[u8]) -> Result<Claimed<'_>, String> {
    if json.trim_ascii() == b"null" {
        return Ok(Claimed::default());
    }
    serde_json::from_slice(json).map_err(|error| {
        let why = if error.is_data() { type_fault(json) } else { schema::syntax_error(json, &error) };
        format!("couldn't get version/kind; json parse error: {why}")
    })
}

/// Go's words for a body that is JSON, but no object that names its kind.
fn type_fault(json: &[u8]) -> String {
    let found = |value: &Value| match value {
        Value::Null | Value::Object(_) => "object",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    let tree: Value = serde_json::from_slice(json).unwrap_or_default();
    let field = ["apiVersion", "kind"]
        .into_iter()
        .find_map(|name| tree.get(name).filter(|v| !v.is_string()).map(|v| (name, v)));
    match field {
        Some((name, value)) => {
            format!("json: cannot unmarshal {} into Go struct field .{name} of type string", found(value))
        }
        None => format!(
            "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
             Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            found(&tree)
        ),
    }
}

/// Checks the kind that the options of a deletion say they are of.
pub(crate) fn claimed_kind(json: &[u8], wanted: &str) -> Result<(), String> {
    let claimed = interpret(json)?;
    match claimed.kind.as_deref() {
        Some(other) if other != wanted => Err(format!(
            "no kind {other:?} is registered for version {:?} in scheme \"pkg/apis/meta/internalversion/scheme/register.go:31\"",
            claimed.api_version.as_deref().unwrap_or("meta.k8s.io/v1")
        )),
        Some(_) | None => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn short_version(api_version: &str) -> String {
    api::name::split_api_version(api_version).1.to_owned()
}

fn wrong_type(api_version: &str, kind: &str, wanted: &str, wanted_version: &str) -> Status {
    let version = short_version(api_version);
    match foreign(api_version, kind, wanted, wanted_version) {
        Some(why) => schema::bad_request(&version, kind, wanted, &why),
        None => Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({wanted_version})"
        )),
    }
}

/// Why objects of a kind cannot become those of the wanted one; none when it is the same in another version.
fn foreign(api_version: &str, kind: &str, wanted: &str, wanted_version: &str) -> Option<String> {
    let group = api::name::split_api_version(wanted_version).0;
    let (claimed_group, version) = api::name::split_api_version(api_version);
    let known = schema::builtin().kinds().any(|(g, v, k, _)| g == claimed_group && v == version && k == kind);
    if !known {
        return Some(format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        ));
    }
    // Both groups of events hold the same objects.
    if kind == wanted && (claimed_group == group || kind == "Event") {
        return None;
    }
    let internal = match group {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or(group),
    };
    Some(format!("converting ({version}.{kind}) to ({internal}.{wanted}): unknown conversion"))
}

/// The body as JSON: itself, or converted from YAML. Other content types are refused.
pub(crate) fn json_body(call: &Call) -> Result<Bytes, Status> {
    json_of_body(&call.context.content_type, &call.context.body)
}

fn json_of_body(content_type: &str, body: &Bytes) -> Result<Bytes, Status> {
    match &*media_type(content_type) {
        "application/json" => Ok(in_utf8(body)),
        "application/yaml" => yaml_to_json(body),
        protobuf::CONTENT_TYPE => match protobuf::decode(body) {
            Ok(tree) => Ok(tree.to_string().into()),
            Err(why) => Err(Status::bad_request(why.to_string())),
        },
        _ => Err(unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// A Content-Type without its parameters; JSON where it is empty. What is malformed stays and is known to nobody.
fn media_type(content_type: &str) -> String {
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
    let tree = api::yaml::parse(yaml)
        .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))?;
    let json = serde_json::to_vec(&tree).map_err(Status::internal)?;
    Ok(json.into())
}
