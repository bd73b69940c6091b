//! scale: the replicas of an object as an autoscaling/v1 Scale, read and written without knowing its kind.

use api::Status;
use api::apply::Writer;
use api::apply::scale::{show_owners, take_owners};
use api::name::Str;
use api::schema::Validation;
use api::selector::LabelSelector;
use api::status::About;
use api::validation::Path;
use serde_json::{Value, json};

use crate::resource::{Resource, Subresource};
use crate::tree;
use crate::verbs::{self, Answer, Call, Existing, Patch, Tracking, WriteOptions};

const API_VERSION: &str = "autoscaling/v1";
const SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

struct Paths {
    spec: Str,
    status: Str,
    selector: Str,
    /// Without replicas there is nothing to scale: only a built-in kind has always some.
    required: bool,
}

fn paths(resource: &Resource, subresource: Subresource) -> Result<Paths, Status> {
    match (subresource, resource.custom.as_ref().and_then(|custom| custom.scale.as_ref())) {
        (Subresource::Scale { spec_replicas: spec, status_replicas: status, selector }, _) => {
            Ok(Paths { spec: spec.into(), status: status.into(), selector: selector.into(), required: false })
        }
        (Subresource::CustomScale, Some(scale)) => Ok(Paths {
            spec: scale.spec.clone().into(),
            status: scale.status.clone().into(),
            selector: scale.selector.clone().into(),
            required: true,
        }),
        _ => Err(Status::internal("not a scale subresource")),
    }
}

pub(crate) async fn get(call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let paths = paths(&call.resource, subresource)?;
    let existing = Existing::read(&call, &call.key()).await?.ok_or_else(|| Status::not_found(call.about()))?;
    if paths.required && tree::at(&existing.tree, &paths.spec).is_none() {
        return Err(Status::internal(format!("the spec replicas field \".{}\" does not exist", paths.spec)));
    }
    let scale = scale_of(&existing.tree, &paths);
    call.answer(200, scale.to_string().into())
}

pub(crate) async fn update(mut call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "UpdateOptions")?;
    let scale = verbs::decode_as(&mut call, SCHEMA, API_VERSION, "Scale", &options)?;
    verbs::check_name(tree::text(&scale, "metadata.name"), &call.context.info.name)?;
    let make = |call: &Call, present: &Value| {
        let mut new = scale.clone();
        track(call, present, &mut new, &options)?;
        Ok(new)
    };
    let paths = paths(&call.resource, subresource)?;
    write(call, paths, &options, make).await
}

pub(crate) async fn patch(call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let patch = Patch::read(&call)?;
    let applies = matches!(patch, Patch::Apply(_));
    let options = WriteOptions::of_patch(&call, applies)?;
    let schema = verbs::named_schema(SCHEMA)?;
    let configuration = match &patch {
        Patch::Apply(body) => Some(verbs::configuration(body)?),
        Patch::Json(_) | Patch::Merge(_) | Patch::Strategic(_) => None,
    };
    let make = |call: &Call, present: &Value| {
        let Some(configuration) = &configuration else {
            let patched = patch.apply_to(present, schema)?.value;
            let decoded = api::schema::decode_tree(&patched, schema, Validation::Ignore);
            let shown = patched.to_string();
            let refused =
                |why: String| Status::invalid("", "", "", vec![Path::new("patch").invalid(shown.as_str(), &why)]);
            let mut new = decoded.map_err(refused)?.value;
            track(call, present, &mut new, &options)?;
            return Ok(new);
        };
        if tree::text(configuration, "kind") != "Scale" {
            return Err(verbs::foreign(configuration));
        }
        api::apply::apply(Some(present), configuration, options.force, schema, writer(call, &options))
    };
    let paths = paths(&call.resource, subresource)?;
    write(call, paths, &options, make).await
}

fn writer<'a>(call: &'a Call, options: &'a WriteOptions) -> Writer<'a> {
    let manager = &options.field_manager;
    Writer { manager, api_version: API_VERSION, subresource: "scale", now: call.now(), reset: &["status"], also: &[] }
}

/// Makes the replicas the writer's where they change.
fn track(call: &Call, present: &Value, new: &mut Value, options: &WriteOptions) -> Result<(), Status> {
    api::apply::track_update(Some(present), new, verbs::named_schema(SCHEMA)?, writer(call, options));
    Ok(())
}

async fn write(
    mut call: Call,
    paths: Paths,
    options: &WriteOptions,
    make: impl Fn(&Call, &Value) -> Result<Value, Status>,
) -> Result<Answer, Status> {
    let key = call.key();
    let version = call.resource.kind.api_version();
    let change = |call: &mut Call, object: &Value| {
        let mut present = scale_of(object, &paths);
        show_owners(object, &mut present, &paths.spec);
        let wanted = make(call, &present)?;
        let replicas = tree::int(&wanted, "spec.replicas").unwrap_or_default();
        check(call, replicas)?;
        check_uid(call, &wanted, object)?;
        let mut object = object.clone();
        tree::set(&mut object, &paths.spec, replicas);
        take_owners(&mut object, &wanted, &paths.spec, &version);
        match tree::at(&wanted, "metadata.resourceVersion") {
            Some(revision) => tree::set(&mut object, "metadata.resourceVersion", revision.clone()),
            // A custom resource must name what it changes: what was read just now.
            None if paths.required => {}
            None => drop(tree::remove(&mut object, "metadata.resourceVersion")),
        }
        Ok(object)
    };
    let json = verbs::replace(&mut call, &key, options, Tracking::Done, change).await?;
    let object: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
    let scale = scale_of(&object, &paths);
    call.answer(200, scale.to_string().into())
}

fn check_uid(call: &Call, scale: &Value, object: &Value) -> Result<(), Status> {
    let (asked, uid) = (tree::text(scale, "metadata.uid"), tree::text(object, "metadata.uid"));
    if asked.is_empty() || asked == uid {
        return Ok(());
    }
    let resource = format!("{}/scale", call.resource.gvr.resource);
    let about = About { group: &call.resource.gvr.group, resource: &resource, name: &call.context.info.name };
    let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}");
    Err(Status::conflict(about, &why))
}

fn check(call: &Call, replicas: i64) -> Result<(), Status> {
    if replicas >= 0 {
        return Ok(());
    }
    let why = "must be greater than or equal to 0";
    let cause = crate::causes::invalid_value("spec.replicas", &replicas.into(), why);
    crate::resource::invalid(&api::Gvk::new("autoscaling", "v1", "Scale"), &call.context.info.name, vec![cause])
}

fn scale_of(object: &Value, paths: &Paths) -> Value {
    let mut meta = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        tree::copy(&mut meta, &tree::at(object, "metadata").cloned().unwrap_or_default(), field);
    }
    let mut status = json!({ "replicas": tree::int(object, &paths.status).unwrap_or_default() });
    let selector = selector_text(tree::at(object, &paths.selector));
    if !selector.is_empty() {
        tree::set(&mut status, "selector", selector);
    }
    let mut spec = json!({});
    if let Some(replicas) = tree::int(object, &paths.spec).filter(|replicas| *replicas != 0) {
        tree::set(&mut spec, "replicas", replicas);
    }
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status })
}

/// A label selector, or plain labels, as one line.
pub(crate) fn selector_text(selector: Option<&Value>) -> String {
    if let Some(Value::String(text)) = selector {
        return text.clone();
    }
    let plain = |labels: &serde_json::Map<String, Value>| labels.values().all(Value::is_string);
    if let Some(labels) = selector.and_then(Value::as_object).filter(|labels| plain(labels)) {
        let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        return LabelSelector::from_labels(pairs).to_string();
    }
    LabelSelector::from_object(selector).map(|selector| selector.to_string()).unwrap_or_default()
}
