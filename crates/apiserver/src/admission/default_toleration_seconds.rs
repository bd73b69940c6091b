//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable, unless it says else.

use api::Status;
use serde_json::{Value, json};

use super::{Attributes, Operation, Plugin};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "DefaultTolerationSeconds", mutate: Some(mutate), validate: None };

const SECS: i64 = 300;
const TAINTS: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

fn mutate(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if !attributes.is("", "pods") || attributes.operation == Operation::Delete {
        return Ok(());
    }
    for taint in TAINTS {
        if !tree::list(pod, "spec.tolerations").iter().any(|toleration| covers(toleration, taint)) {
            let toleration =
                json!({ "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECS });
            tree::list_mut(pod, "spec.tolerations").push(toleration);
        }
    }
    Ok(())
}

/// The toleration is about this taint, or about all, and about eviction.
fn covers(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (tree::text(toleration, "key"), tree::text(toleration, "effect"));
    (key == taint || key.is_empty()) && matches!(effect, "NoExecute" | "")
}
