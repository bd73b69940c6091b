//! NodeRestriction: a kubelet writes its own Node and Lease, and pods on its own node, and nothing else
//! (<https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>).

use api::Status;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::resources::core::pod_rules::{MIRROR, is_mirror};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "NodeRestriction", mutate: None, validate: Some(validate) };

const USER_PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";
const LEASES_NAMESPACE: &str = "kube-node-lease";

/// The node whose kubelet asks.
fn node_of<'a>(attributes: &Attributes<'a>) -> Option<&'a str> {
    let user = attributes.user;
    user.name.strip_prefix(USER_PREFIX).filter(|_| user.groups.iter().any(|group| group == GROUP))
}

fn validate(attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let Some(node) = node_of(attributes) else { return Ok(()) };
    let gvr = &attributes.resource.gvr;
    match (&*gvr.group, &*gvr.resource) {
        ("", "nodes") => validate_node(attributes, node, object),
        ("", "pods") => validate_pod(attributes, node, object),
        ("coordination.k8s.io", "leases") => validate_lease(attributes, node),
        _ => Ok(()),
    }
}

fn validate_node(attributes: &Attributes<'_>, node: &str, object: &Value) -> Result<(), Status> {
    if attributes.name != node {
        let why = format!("node {node:?} is not allowed to modify node {:?}", attributes.name);
        return Err(attributes.forbidden(&why));
    }
    let Some(old) = attributes.old.filter(|_| attributes.operation == Operation::Update) else { return Ok(()) };
    if tree::at(object, "spec.taints") != tree::at(old, "spec.taints") {
        return Err(attributes.forbidden(&format!("node {node:?} is not allowed to modify taints")));
    }
    if tree::at(object, "metadata.ownerReferences") != tree::at(old, "metadata.ownerReferences") {
        return Err(attributes.forbidden(&format!("node {node:?} is not allowed to modify ownerReferences")));
    }
    Ok(())
}

fn validate_pod(attributes: &Attributes<'_>, node: &str, object: &Value) -> Result<(), Status> {
    match (attributes.operation, attributes.subresource) {
        (Operation::Create, "") => {
            if !is_mirror(object) {
                let why = format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods");
                return Err(attributes.forbidden(&why));
            }
            on_node(attributes, node, object, "can only create pods with spec.nodeName set to itself")
        }
        (Operation::Create, "eviction") => Ok(()),
        (Operation::Update, "status") => {
            let bound = attributes.old.unwrap_or(object);
            on_node(attributes, node, bound, "can only update pod status for pods with spec.nodeName set to itself")
        }
        (Operation::Delete, _) => {
            on_node(attributes, node, object, "can only delete pods with spec.nodeName set to itself")
        }
        (operation, _) => Err(attributes
            .forbidden(&format!("unexpected operation {operation:?}, node can only create and delete mirror pods"))),
    }
}

fn on_node(attributes: &Attributes<'_>, node: &str, pod: &Value, why: &str) -> Result<(), Status> {
    if tree::text(pod, "spec.nodeName") == node {
        return Ok(());
    }
    Err(attributes.forbidden(&format!("node {node:?} {why}")))
}

fn validate_lease(attributes: &Attributes<'_>, node: &str) -> Result<(), Status> {
    if attributes.namespace != LEASES_NAMESPACE {
        let why = format!("can only access leases in the {LEASES_NAMESPACE:?} system namespace");
        return Err(attributes.forbidden(&why));
    }
    if attributes.name != node {
        return Err(attributes.forbidden("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}
