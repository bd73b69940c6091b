//! scale: the replicas of an object as an autoscaling/v1 Scale, read and written without knowing its kind.

use api::Status;
use serde_json::{Value, json};

use crate::resource::Subresource;
use crate::tree;
use crate::verbs::{self, Answer, Call, Existing, Patch, Tracking, WriteOptions};

const SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

struct Paths {
    spec: &'static str,
    status: &'static str,
    selector: &'static str,
}

fn paths(subresource: Subresource) -> Result<Paths, Status> {
    match subresource {
        Subresource::Scale { spec_replicas: spec, status_replicas: status, selector } => {
            Ok(Paths { spec, status, selector })
        }
        _ => Err(Status::internal("not a scale subresource")),
    }
}

pub(crate) async fn get(call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let paths = paths(subresource)?;
    let existing = Existing::read(&call, &call.key()).await?.ok_or_else(|| Status::not_found(call.about()))?;
    let scale = scale_of(&existing.tree, &paths);
    call.answer(200, verbs::json_of(&scale))
}

pub(crate) async fn update(mut call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "UpdateOptions")?;
    let scale = verbs::decode_as(&mut call, SCHEMA, "autoscaling/v1", "Scale", &options)?;
    let name = tree::text(&scale, "metadata.name");
    if !name.is_empty() && name != call.context.info.name {
        let why =
            format!("the name of the object ({name}) does not match the name on the URL ({})", call.context.info.name);
        return Err(Status::bad_request(why));
    }
    write(call, paths(subresource)?, &options, |_| Ok(scale.clone())).await
}

pub(crate) async fn patch(call: Call, subresource: Subresource) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "PatchOptions")?;
    let patch = Patch::read(&call)?;
    let schema = verbs::named_schema(SCHEMA)?;
    let make = |present: &Value| match &patch {
        // Of an applied Scale only the replicas can be owned, and they are set either way.
        Patch::Apply(configuration) => api::patch::merge(present, configuration.to_string().as_bytes()),
        patch => patch.apply_to(present, schema),
    };
    write(call, paths(subresource)?, &options, make).await
}

async fn write(
    mut call: Call,
    paths: Paths,
    options: &WriteOptions,
    make: impl Fn(&Value) -> Result<Value, Status>,
) -> Result<Answer, Status> {
    let key = call.key();
    let change = |call: &mut Call, object: &Value| {
        let present = scale_of(object, &paths);
        let wanted = make(&present)?;
        let replicas = tree::int(&wanted, "spec.replicas").unwrap_or_default();
        check(call, replicas)?;
        let mut object = object.clone();
        tree::set(&mut object, paths.spec, replicas);
        match tree::at(&wanted, "metadata.resourceVersion") {
            Some(revision) => tree::set(&mut object, "metadata.resourceVersion", revision.clone()),
            None => drop(tree::remove(&mut object, "metadata.resourceVersion")),
        }
        Ok(object)
    };
    let json = verbs::replace(&mut call, &key, options, Tracking::Changes, change).await?;
    let object: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
    let scale = scale_of(&object, &paths);
    call.answer(200, verbs::json_of(&scale))
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
    let mut status = json!({ "replicas": tree::int(object, paths.status).unwrap_or_default() });
    let selector = selector_text(tree::at(object, paths.selector));
    if !selector.is_empty() {
        tree::set(&mut status, "selector", selector);
    }
    let mut spec = json!({});
    if let Some(replicas) = tree::int(object, paths.spec).filter(|replicas| *replicas != 0) {
        tree::set(&mut spec, "replicas", replicas);
    }
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status })
}

/// A label selector as one line.
pub(crate) fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return String::new() };
    let labels = tree::at(selector, "matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut terms: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for term in tree::list(selector, "matchExpressions") {
        let (key, values) = (tree::text(term, "key"), tree::texts(term, "values").join(","));
        terms.push(match tree::text(term, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    terms.join(",")
}
