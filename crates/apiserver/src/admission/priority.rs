//! Priority: a pod's class as a number. Only the two built-in system classes exist until PriorityClass is served.

use api::Status;
use serde_json::Value;

use super::{Attributes, Plugin};
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "Priority", mutate: Some(mutate), validate: None };

const SYSTEM_CLASSES: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn mutate(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if !attributes.creates_pod() {
        return Ok(());
    }
    let class = tree::text(pod, "spec.priorityClassName");
    let priority = match SYSTEM_CLASSES.iter().find(|(name, _)| *name == class) {
        Some((_, priority)) => *priority,
        None if class.is_empty() => 0,
        None => return Err(attributes.forbidden(&format!("no PriorityClass with name {class} was found"))),
    };
    if let Some(asked) = tree::int(pod, "spec.priority").filter(|asked| *asked != priority) {
        let why = format!(
            "the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(&why));
    }
    tree::set(pod, "spec.priority", priority);
    tree::set_default(pod, "spec.preemptionPolicy", "PreemptLowerPriority");
    Ok(())
}
