//! pods/binding: puts a pod on a node. The node's name and the PodScheduled condition are written at once.

use api::Status;
use api::status::About;
use serde_json::{Value, json};

use crate::admission::{self, Attributes, Operation};
use crate::tree;
use crate::verbs::{self, Answer, Call, CommitError, Existing, Expect, WriteOptions};

const ATTEMPTS_MAX: usize = 16;

pub(crate) async fn create(mut call: Call) -> Result<Answer, Status> {
    let options = WriteOptions::read(&call, "CreateOptions")?;
    let binding = verbs::decode_as(&mut call, "io.k8s.api.core.v1.Binding", "v1", "Binding", &options)?;
    let node = target(&binding)?.to_owned();
    call.catch_up().await?;
    let name = call.context.info.name.clone();
    let attributes = Attributes::new(&call, &name, Operation::Create, options.dry_run, None);
    admission::validate(&attributes, &binding)?;
    for _ in 0..ATTEMPTS_MAX {
        let key = call.key();
        let existing = Existing::read(&call, &key).await?.ok_or_else(|| Status::not_found(call.about()))?;
        let mut pod = existing.tree.clone();
        bind(&mut pod, &binding, &node, &call)?;
        if options.dry_run {
            return Ok(created());
        }
        let bytes = verbs::encode(&call, &pod);
        match verbs::put(&call, &key, Expect::At(existing.revision), bytes).await {
            Ok(_) => return Ok(created()),
            Err(CommitError::Conflict | CommitError::Outrun) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    Err(conflict(&name, "the pod is being written too often; please try again"))
}

fn target(binding: &Value) -> Result<&str, Status> {
    let node = tree::text(binding, "target.name");
    let kind = tree::text(binding, "target.kind");
    let invalid = |field: &str, message: &str, reason: &str| {
        let cause =
            api::status::Cause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() };
        let kind = api::Gvk::new("", "v1", "Binding");
        crate::resource::invalid(&kind, tree::text(binding, "metadata.name"), vec![cause])
    };
    if !matches!(kind, "" | "Node") {
        let message = format!("Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\"");
        invalid("target.kind", &message, "FieldValueNotSupported")?;
    }
    if node.is_empty() {
        invalid("target.name", "Required value", "FieldValueRequired")?;
    }
    Ok(node)
}

fn bind(pod: &mut Value, binding: &Value, node: &str, call: &Call) -> Result<(), Status> {
    let name = tree::text(pod, "metadata.name").to_owned();
    let (uid, asked) = (tree::text(pod, "metadata.uid"), tree::text(binding, "metadata.uid"));
    if !asked.is_empty() && asked != uid {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}");
        return Err(conflict(&name, &why));
    }
    if tree::is_set(pod, "metadata.deletionTimestamp") {
        return Err(conflict(&name, &format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let present = tree::text(pod, "spec.nodeName");
    if !present.is_empty() {
        let why = format!("pod {name} is already assigned to node {present:?}");
        return Err(conflict(&name, &why));
    }
    if !tree::list(pod, "spec.schedulingGates").is_empty() {
        return Err(conflict(&name, &format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    tree::set(pod, "spec.nodeName", node);
    for (key, value) in tree::at(binding, "metadata.annotations").and_then(Value::as_object).into_iter().flatten() {
        tree::map_mut(pod, "metadata.annotations").insert(key.clone(), value.clone());
    }
    let now = verbs::timestamp(call.now());
    let conditions = tree::list_mut(pod, "status.conditions");
    conditions.retain(|condition| tree::text(condition, "type") != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
    }));
    Ok(())
}

fn conflict(name: &str, why: &str) -> Status {
    Status::conflict(About { group: "", resource: "pods/binding", name }, why)
}

/// What upstream answers to a binding and to an eviction.
pub(super) fn created() -> Answer {
    let status = Status { code: 201, ..Status::success(None) };
    Answer::json(201, status.to_json().into())
}
